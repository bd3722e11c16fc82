"""Norms that come as single operators: found in all their spellings, and only where they are norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tvm import relax

from modeldyno.compiler.graph.norms import fuse_norms
from tests.compiler.relaxed import AVX512, Array, call_counts, module, run_default, run_staged

R = relax.op
WIDTH = 24
GAMMA = np.random.default_rng(1).normal(1, 0.2, WIDTH).astype(np.float32)
BETA = np.random.default_rng(2).standard_normal(WIDTH).astype(np.float32)
DATA = np.random.default_rng(3).normal(2, 3, (2, 5, WIDTH)).astype(np.float32)
Emit = Callable[[Any], Any]


def number(value: float) -> Any:
    return relax.const(np.float32(value))


SQUARES: dict[str, Callable[[Any], Any]] = {
    "power": lambda x: R.power(x, number(2)),
    "square": R.square,
    "product": lambda x: R.multiply(x, x),
}
ROOTS: dict[str, Callable[[Emit, Any, Any], Any]] = {
    "divided": lambda emit, x, v: R.divide(x, emit(R.sqrt(v))),
    "rsqrt": lambda emit, x, v: R.multiply(x, emit(R.rsqrt(v))),
    "one over root": lambda emit, x, v: R.multiply(emit(R.divide(number(1), emit(R.sqrt(v)))), x),
    "half power": lambda emit, x, v: R.multiply(x, emit(R.power(v, number(-0.5)))),
}


def variance(emit: Emit, centred: Any, square: str, axis: int = -1) -> Any:
    return emit(R.add(emit(R.mean(emit(SQUARES[square](centred)), [axis], True)), number(1e-5)))


def written_norm(square: str, root: str, axis: int = -1) -> Callable[..., Any]:
    """Give the body of a layer norm in single operators."""

    def body(builder: Any, x: Any) -> Any:
        centred = builder.emit(R.subtract(x, builder.emit(R.mean(x, [axis], True))))
        spread = variance(builder.emit, centred, square, axis)
        out = builder.emit(ROOTS[root](builder.emit, centred, spread))
        scaled = builder.emit(R.multiply(out, relax.const(GAMMA)))
        return builder.emit(R.add(scaled, relax.const(BETA)))

    return body


def written_rms(builder: Any, x: Any) -> Any:
    out = builder.emit(ROOTS["rsqrt"](builder.emit, x, variance(builder.emit, x, "power")))
    return builder.emit(R.multiply(relax.const(GAMMA), out))


def layer_norm(values: Array) -> Array:
    wide = values.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * GAMMA + BETA


@pytest.mark.parametrize("square", SQUARES)
@pytest.mark.parametrize("root", ROOTS)
def test_each_spelling_of_a_layer_norm_becomes_one_operator(square: str, root: str) -> None:
    mod = module([DATA.shape], written_norm(square, root))
    assert call_counts(fuse_norms(mod)) == {"nn.layer_norm": 1}
    found = run_staged(mod, AVX512, DATA)[0]
    np.testing.assert_allclose(found, layer_norm(DATA), rtol=1e-4, atol=1e-5)


def test_rms_norm_becomes_one_operator() -> None:
    mod = module([DATA.shape], written_rms)
    assert call_counts(fuse_norms(mod)) == {"nn.rms_norm": 1}
    wide = DATA.astype(np.float64)
    expected = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-5) * GAMMA
    np.testing.assert_allclose(run_staged(mod, AVX512, DATA)[0], expected, rtol=1e-5, atol=1e-6)


def test_a_norm_over_another_axis_stays_and_is_right() -> None:
    mod = module([DATA.shape], written_norm("power", "divided", axis=1))
    assert "nn.layer_norm" not in call_counts(fuse_norms(mod))
    expected = run_default(mod, DATA)[0]
    np.testing.assert_allclose(run_staged(mod, AVX512, DATA)[0], expected, rtol=1e-4, atol=1e-5)


def test_the_mean_of_something_else_makes_no_norm() -> None:
    def body(builder: Any, x: Any, y: Any) -> Any:
        centred = builder.emit(R.subtract(x, builder.emit(R.mean(y, [-1], True))))
        out = builder.emit(ROOTS["divided"](builder.emit, centred, variance(builder.emit, centred, "power")))
        scaled = builder.emit(R.multiply(out, relax.const(GAMMA)))
        return builder.emit(R.add(scaled, relax.const(BETA)))

    mod = module([DATA.shape, DATA.shape], body)
    assert "nn.layer_norm" not in call_counts(fuse_norms(mod))


def test_the_squares_of_something_else_make_no_norm() -> None:
    def body(builder: Any, x: Any, y: Any) -> Any:
        centred = builder.emit(R.subtract(x, builder.emit(R.mean(x, [-1], True))))
        out = builder.emit(ROOTS["divided"](builder.emit, centred, variance(builder.emit, y, "power")))
        scaled = builder.emit(R.multiply(out, relax.const(GAMMA)))
        return builder.emit(R.add(scaled, relax.const(BETA)))

    mod = module([DATA.shape, DATA.shape], body)
    assert not {"nn.layer_norm", "nn.rms_norm"} & set(call_counts(fuse_norms(mod)))


def test_what_else_reads_the_middle_of_a_norm_still_gets_it() -> None:
    def body(builder: Any, x: Any) -> Any:
        centred = builder.emit(R.subtract(x, builder.emit(R.mean(x, [-1], True))))
        out = builder.emit(ROOTS["divided"](builder.emit, centred, variance(builder.emit, centred, "power")))
        scaled = builder.emit(R.multiply(out, relax.const(GAMMA)))
        return relax.Tuple([builder.emit(R.add(scaled, relax.const(BETA))), centred])

    mod = module([DATA.shape], body)
    assert call_counts(fuse_norms(mod))["nn.layer_norm"] == 1
    found = run_staged(mod, AVX512, DATA)
    np.testing.assert_allclose(found[0], layer_norm(DATA), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1], DATA - DATA.mean(-1, keepdims=True), rtol=1e-4, atol=1e-5)
