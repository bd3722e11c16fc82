"""How far the polynomials are from numpy in float64. The names state the bounds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tvm import relax

from modeldyno.compiler.lower.legalize import legalize
from modeldyno.compiler.stages.run import run_stages
from tests.compiler.relaxed import (
    AVX512,
    Array,
    call_counts,
    module,
    run_default,
    run_staged,
    source_of,
    target_for,
)

POINTS = 1 << 18
erf = np.vectorize(math.erf, otypes=[np.float64])
OPERATORS: dict[str, Callable[[Any], Any]] = {
    "exp": relax.op.exp,
    "sinh": relax.op.sinh,
    "cosh": relax.op.cosh,
    "tanh": relax.op.tanh,
    "erf": relax.op.erf,
    "sigmoid": relax.op.sigmoid,
    "silu": relax.op.nn.silu,
    "gelu": relax.op.nn.gelu,
    "gelu_tanh": relax.op.nn.gelu_tanh,
    "log": relax.op.log,
    "softplus": relax.op.nn.softplus,
    "mish": lambda x: relax.op.multiply(x, relax.op.tanh(relax.op.nn.softplus(x))),
}
REFERENCES: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "erf": erf,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x / 2 * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "log": np.log,
    "softplus": lambda x: np.logaddexp(0, x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
}


def computed(name: str, values: Array) -> Array:
    mod = module([values.shape], lambda builder, x: builder.emit(OPERATORS[name](x)))
    return run_staged(mod, AVX512, values)[0].astype(np.float64)


def errors(name: str, low: float, high: float) -> tuple[Array, Array]:
    """Give the absolute errors over a range, and the expected values."""
    values = np.linspace(low, high, POINTS, dtype=np.float32)
    expected = REFERENCES[name](values.astype(np.float64))
    return np.abs(computed(name, values) - expected), expected


@pytest.mark.parametrize(
    ("name", "low", "high", "bound"),
    [
        *(
            ("exp", 88, 88.7, 4e-7),
            ("sinh", -89, 89, 8e-6),
            ("sinh", -1.5, 1.5, 4e-7),
            ("cosh", -89, 89, 8e-6),
        ),
        *(("exp", -87, 88, 4e-7), ("tanh", -20, 20, 5e-7), ("erf", -6, 6, 5e-7), ("sigmoid", -87, 87, 4e-7)),
        *(("log", 0.5, 2, 2e-7), ("log", 2, 3e38, 2e-7), ("log", 1e-45, 0.5, 2e-7)),
        *(("softplus", -80, 80, 4e-7), ("mish", -70, 70, 8e-7)),
    ],
)
def test_the_relative_error_is_at_most(name: str, low: float, high: float, bound: float) -> None:
    found, expected = errors(name, low, high)
    assert (found[expected != 0] / np.abs(expected[expected != 0])).max() <= bound
    assert (found[expected == 0] == 0).all()


def test_the_relative_error_of_silu_is_at_most_4e_7_from_minus_80_to_80() -> None:
    found, expected = errors("silu", -80, 80)
    assert (found <= 4e-7 * np.abs(expected)).all()


def test_the_error_of_gelu_is_at_most_4e_7_of_its_argument() -> None:
    values = np.linspace(-10, 10, POINTS, dtype=np.float32).astype(np.float64)
    assert (errors("gelu", -10, 10)[0] <= 4e-7 * np.abs(values)).all()


def test_the_error_of_gelu_by_tanh_is_at_most_4e_7_of_its_argument() -> None:
    values = np.linspace(-10, 10, POINTS, dtype=np.float32).astype(np.float64)
    assert (errors("gelu_tanh", -10, 10)[0] <= 4e-7 * np.abs(values)).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exp", [0, np.inf, 0, np.inf, 1, 1]),
        ("tanh", [-1, 1, -1, 1, 0, 1e-30]),
        ("erf", [-1, 1, -1, 1, 0, 1.1283792e-30]),
        ("sigmoid", [0, 1, 0, 1, 0.5, 0.5]),
    ],
)
def test_far_arguments_give_the_limits_and_small_ones_keep_their_digits(
    name: str, expected: list[float]
) -> None:
    values = np.array([-np.inf, np.inf, -1e30, 1e30, 0, 1e-30], np.float32)
    np.testing.assert_allclose(computed(name, values), expected, rtol=4e-7, atol=0)


@pytest.mark.parametrize("name", ["exp", "tanh", "erf", "sigmoid", "silu", "gelu"])
def test_denormal_arguments_do_no_harm(name: str) -> None:
    values = np.array([1e-40, -1e-40, 1e-44, -0.0], np.float32)
    expected = REFERENCES[name](values.astype(np.float64))
    np.testing.assert_allclose(computed(name, values), expected, rtol=4e-7, atol=2e-42)


def test_the_logarithm_at_the_edges_of_its_domain() -> None:
    values = np.array([0, -0.0, np.inf, -1, -np.inf, 1e-40, 1], np.float32)
    expected = [-np.inf, -np.inf, np.inf, np.nan, np.nan, math.log(float(values[5])), 0]
    np.testing.assert_allclose(computed("log", values), expected, rtol=2e-7)


@pytest.mark.parametrize(("exponent", "rtol"), [(0.5, 1e-7), (1, 0), (2, 1e-7), (3, 2e-7), (-1.5, 1e-6)])
def test_powers_by_a_constant_are_right(exponent: float, rtol: float) -> None:
    values = np.linspace(0.1, 9, 333, dtype=np.float32)
    power = relax.const(np.float32(exponent))
    mod = module([values.shape], lambda builder, x: builder.emit(relax.op.power(x, power)))
    expected = values.astype(np.float64) ** exponent
    np.testing.assert_allclose(run_staged(mod, AVX512, values)[0], expected, rtol=rtol)


@pytest.mark.parametrize(
    "name", ["exp", "tanh", "erf", "sigmoid", "silu", "gelu", "gelu_tanh", "log", "softplus", "mish"]
)
def test_the_compiled_loop_calls_nothing(name: str) -> None:
    mod = module([(4, 4096)], lambda builder, x: builder.emit(OPERATORS[name](x)))
    executable = run_stages(source_of(mod), target_for(AVX512)).executable
    text = "\n".join(part.inspect_source("asm") for part in executable.mod.imports)
    assert "zmm" in text or "ymm" in text or "xmm" in text
    called = set(re.findall(r"call\w*\s+(\w+)@PLT", text))
    assert not called & {"expf", "tanhf", "erff", "logf", "log1pf", "powf", "fmaxf", "fminf", "floorf"}


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "silu", "gelu", "log", "softplus"])
def test_what_is_no_number_stays_none(name: str) -> None:
    assert np.isnan(computed(name, np.full(3, np.nan, np.float32))).all()


def test_softmax_is_within_1e_6_of_float64_even_where_it_is_masked() -> None:
    scores = np.random.default_rng(0).normal(0, 8, (64, 48)).astype(np.float32)
    scores[:, 40:] = -np.inf
    mod = module([scores.shape], lambda builder, x: builder.emit(relax.op.nn.softmax(x, axis=-1)))
    powers = np.exp(scores.astype(np.float64) - scores.max(-1, keepdims=True))
    np.testing.assert_allclose(
        run_staged(mod, AVX512, scores)[0], powers / powers.sum(-1, keepdims=True), rtol=0, atol=1e-6
    )


def test_other_types_keep_tvms_own_functions() -> None:
    mod = module([(4,)], lambda builder, x: builder.emit(relax.op.exp(x)), "float64")
    assert call_counts(legalize(mod, AVX512)).get("exp") == 1
    values = np.linspace(-2, 2, 4)
    np.testing.assert_allclose(run_default(legalize(mod, AVX512), values)[0], np.exp(values), rtol=1e-12)
