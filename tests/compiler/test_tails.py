"""What the tuner measures is what the model runs: the product with all that is fused behind it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tvm import relax

from modeldyno.compiler.kernels.choice import BIAS_RELU, Choice, Workload, candidates, choose
from modeldyno.compiler.lower.epilogues import Tails
from modeldyno.compiler.tuning import candidate
from modeldyno.compiler.tuning.records import Records
from modeldyno.compiler.tuning.tuner import describe
from tests.compiler.relaxed import AVX512, module, staged_until
from tests.compiler.test_tuning import CONV, HOST, no_warnings, write_choice

R = relax.op
SHAPE = (1, 6, 6, 8)
SWISH = (("sigmoid", "0"), ("multiply", "0", "1"))
RESIDUAL = (("add", "0", "weight 1"), ("add", "1", "data 111"), ("nn.relu", "2"))


def weights(*shape: int) -> Any:
    return relax.const(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def conv(builder: Any, data: Any) -> Any:
    return builder.emit(R.nn.conv2d(data, weights(8, 1, 1, 8), data_layout="NHWC", kernel_layout="OHWI"))


def plain(builder: Any, x: Any, _other: Any) -> Any:
    return conv(builder, x)


def residual(builder: Any, x: Any, other: Any) -> Any:
    biased = builder.emit(R.add(conv(builder, x), weights(1, 1, 1, 8)))
    return builder.emit(R.nn.relu(builder.emit(R.add(biased, other))))


def swish(builder: Any, x: Any, _other: Any) -> Any:
    product = conv(builder, x)
    return builder.emit(R.multiply(product, builder.emit(R.sigmoid(product))))


def read_twice(builder: Any, x: Any, other: Any) -> Any:
    product = builder.emit(R.nn.relu(conv(builder, x)))
    first = builder.emit(R.add(product, other))
    return relax.Tuple([first, product])


def two_products(builder: Any, x: Any, other: Any) -> Any:
    first, second = conv(builder, x), conv(builder, other)
    return builder.emit(R.nn.relu(builder.emit(R.add(first, second))))


def reduced(builder: Any, x: Any, _other: Any) -> Any:
    return builder.emit(R.sum(builder.emit(R.exp(conv(builder, x))), axis=[3]))


@pytest.mark.parametrize(
    ("body", "tails"),
    [
        (plain, [()]),
        (residual, [RESIDUAL]),
        (swish, [SWISH]),
        (read_twice, [(("nn.relu", "0"),)]),
        (two_products, [(("add", "0", "data 111"), ("nn.relu", "1")), ()]),
        (reduced, [(("exp", "0"),)]),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_tail_is_what_fusion_puts_behind_the_product(body: Any, tails: list[Any]) -> None:
    mod = module([SHAPE, SHAPE], body)
    calls = []

    def visit(expr: Any) -> None:
        if isinstance(expr, relax.Call) and expr.op.name == "relax.nn.conv2d":
            calls.append(expr)

    relax.analysis.post_order_visit(mod["main"], visit)
    found = Tails(mod)
    assert [found.of(call) for call in calls] == tails
    names = [name.name_hint for name in staged_until(mod, AVX512, "fuse").get_global_vars()]
    fused = [re.sub(r"\d+(?=_|$)", "", name) for name in names if "conv2d" in name]
    steps = [[step[0].removeprefix("nn.") for step in tail] for tail in tails]
    assert sorted(fused) == sorted(
        "_".join(["fused", "conv2d", *each]) if each else "conv2d" for each in steps
    )


WORKLOADS = [replace(CONV, tail=tail) for tail in ((), RESIDUAL, SWISH, BIAS_RELU, (("clip", "0"),))] + [
    Workload("dense", 2, (1, 5), (1, 5), 8, 24, tail=(("add", "0", "weight 1"), ("add", "1", "data 111"))),
    Workload("depthwise", 1, (8, 8), (4, 4), 1, 40, (3, 3), (2, 2), (1, 1, 1, 1), groups=40, tail=SWISH),
    Workload("grouped", 1, (8, 8), (8, 8), 4, 32, (3, 3), (1, 1), (1, 1, 1, 1), groups=8, tail=RESIDUAL),
]


@pytest.mark.parametrize("workload", WORKLOADS, ids=describe)
def test_a_candidate_is_the_fused_kernel_and_is_taken_for_what_it_is(workload: Workload) -> None:
    _, arguments = candidate.lowered(workload, choose(workload, HOST.machine), HOST)
    reads = sum(each.startswith("data") for _, *given in workload.tail for each in given)
    assert [kind for kind, _ in arguments].count("data") == 1 + reads
    assert arguments[-1][1][-1] == workload.channels


def test_records_of_a_kernel_are_for_its_own_tail_and_older_ones_for_bias_and_relu(tmp_path: Path) -> None:
    kept = tmp_path / "tuning.jsonl"
    assert "tail" not in CONV.record()
    assert "groups" not in CONV.record()
    best, other = candidates(CONV, HOST.machine)[1:3]
    write_choice(kept, CONV, best)
    found = Records(kept, HOST, no_warnings)
    assert found.find(CONV) is not None
    assert found.find(replace(CONV, tail=RESIDUAL)) is None
    write_choice(kept, replace(CONV, tail=RESIDUAL), other)
    again = Records(kept, HOST, no_warnings)
    choices = [again.find(replace(CONV, tail=tail)) for tail in (BIAS_RELU, RESIDUAL)]
    assert [Choice.from_record(each.choice) for each in choices if each] == [best, other]


def test_the_name_of_a_kernel_tells_its_tail() -> None:
    assert describe(CONV) == "conv2d 3x3 16->32 to 12x12"
    assert describe(replace(CONV, tail=RESIDUAL)) == "conv2d 3x3 16->32 to 12x12, add add* relu"
    assert describe(replace(CONV, tail=())) == "conv2d 3x3 16->32 to 12x12, alone"
