"""Winograd convolutions against numpy in float64, their matrices, and what is chosen when."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tvm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tvm import relax

from modeldyno.compiler.kernels.choice import Choice, Workload, candidates, choose
from modeldyno.compiler.kernels.winograd import TRANSFORMS, Tiling, pack_winograd_weight, winograd_tilings
from modeldyno.compiler.lower.legalize import legalize
from modeldyno.compiler.stages.base import Context
from modeldyno.compiler.stages.cpu import CPU
from modeldyno.compiler.targets.machine import Machine
from tests.compiler.relaxed import AVX2, AVX512, MACHINES, module, source_of, target_for
from tests.compiler.test_kernels import conv_reference, normal

Array = npt.NDArray[Any]
# Largest error relative to the largest output, in float32; direct convolution keeps to 1e-6.
BOUNDS = {2: 2e-6, 4: 8e-6}

few = settings(
    max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def workload(batch: int, size: tuple[int, int], depth: int, channels: int, pad: tuple[int, ...]) -> Workload:
    top, left, bottom, right = pad
    return Workload(
        kind="conv2d",
        batch=batch,
        image=size,
        out=(size[0] + top + bottom - 2, size[1] + left + right - 2),
        depth=depth,
        channels=channels,
        kernel=(3, 3),
        padding=(top, left, bottom, right),
    )


def convolve(data: Array, weight: Array, pad: tuple[int, ...], choice: Choice, machine: Machine) -> Array:
    """Convolve NHWC data with OHWI weights by this choice, with a bias of 0.5, a residual and a ReLU."""
    out = (data.shape[0], *workload(1, data.shape[1:3], 1, 1, pad).out, weight.shape[0])

    def body(builder: Any, x: Any, residual: Any) -> Any:
        y = builder.emit(
            relax.op.nn.conv2d(x, relax.const(weight), padding=pad, data_layout="NHWC", kernel_layout="OHWI")
        )
        y = builder.emit(relax.op.add(y, relax.const(np.full((1, 1, 1, out[3]), 0.5, np.float32))))
        return builder.emit(relax.op.nn.relu(builder.emit(relax.op.add(y, residual))))

    mod = module([data.shape, out], body)
    target, residual = target_for(machine), normal(*out, seed=9)
    with target.tvm_target():
        mod = legalize(mod, machine, lambda *_: choice)
    built = CPU.between("lower_rest", "schedule").apply(mod, Context(source_of(mod), target))
    mod = CPU.between("generate", "generate").apply(built, Context(None, target))
    found = relax.VirtualMachine(mod, tvm.cpu())["main"](
        tvm.runtime.tensor(data), tvm.runtime.tensor(residual)
    )
    result: Array = found.numpy() - 0.0
    assert (result >= 0).all()
    return result


def expected(data: Array, weight: Array, pad: tuple[int, ...]) -> Array:
    sums = conv_reference(
        data.transpose(0, 3, 1, 2),
        weight.transpose(0, 3, 1, 2),
        strides=(1, 1),
        padding=pad,
        dilation=(1, 1),
        groups=1,
    ).transpose(0, 2, 3, 1)
    return np.maximum(sums + 0.5 + normal(*sums.shape, seed=9), 0)


@pytest.mark.parametrize("machine", MACHINES, ids=["16 lanes", "8 lanes", "4 lanes"])
@given(
    work=st.builds(
        workload,
        batch=st.sampled_from([1, 2]),
        size=st.tuples(*[st.sampled_from([1, 3, 5, 7, 13, 14, 33])] * 2),
        depth=st.sampled_from([16, 48]),
        channels=st.sampled_from([1, 3, 17, 32, 40]),
        pad=st.tuples(*[st.integers(1, 2)] * 4),
    ),
    number=st.integers(0, 5),
)
@few
def test_any_size_is_right_to_the_stated_error(machine: Machine, work: Workload, number: int) -> None:
    depth, channels, pad = work.depth, work.channels, work.padding
    tilings = winograd_tilings(machine, work.out, depth, channels)
    tiling = tilings[number % len(tilings)][1]
    data, weight = normal(work.batch, *work.image, depth), normal(channels, 3, 3, depth, seed=1)
    found = convolve(data, weight, pad, Choice(tiling.rows, tiling.columns, winograd=tiling), machine)
    right = expected(data, weight, pad)
    scale = max(1.0, float(np.abs(right).max()))
    assert float(np.abs(found - right).max()) / scale <= BOUNDS[tiling.side]


def test_many_bands_are_right_as_few_are() -> None:
    data, weight = normal(1, 40, 12, 32), normal(32, 3, 3, 32, seed=1)
    for band in (1, 5, 10):
        tiling = Tiling(side=4, rows=3, columns=32, band=band)
        found = convolve(data, weight, (1, 1, 1, 1), Choice(3, 32, winograd=tiling), AVX512)
        np.testing.assert_allclose(found, expected(data, weight, (1, 1, 1, 1)), atol=2e-3)


@pytest.mark.parametrize("side", [2, 4])
def test_packed_weights_are_the_transformed_filters_with_zeros_behind(side: int) -> None:
    weight = normal(5, 3, 3, 4)
    packed = pack_winograd_weight(weight, side, 4)
    points = (side + 2) ** 2
    assert packed.shape == (2, points, 4, 4)
    # The first point of both is zero, where a filter's value is its corner; the last one is at infinity.
    np.testing.assert_allclose(packed[1, 0, :, 0], weight[4, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(packed[1, -1, :, 0], weight[4, 2, 2], rtol=1e-6)
    assert not packed[1, :, :, 1:].any()


@pytest.mark.parametrize("side", [2, 4])
def test_the_matrices_convolve_exactly_but_for_rounding(side: int) -> None:
    """On the line: A^T [(G g) * (B^T d)] is the correlation of d with g."""
    transform = TRANSFORMS[side]
    data, taps = np.arange(1.0, side + 3) ** 2, np.array([2.0, -3.0, 5.0])
    products = (np.array(transform.filter) @ taps) * (np.array(transform.input) @ data)
    np.testing.assert_allclose(np.array(transform.output) @ products, np.correlate(data, taps), rtol=1e-12)


def test_big_images_are_convolved_by_winograd_and_others_directly() -> None:
    def chosen(size: int, depth: int, channels: int) -> Tiling | None:
        return choose(workload(1, (size, size), depth, channels, (1, 1, 1, 1)), AVX512).winograd

    assert chosen(56, 64, 64) is not None
    assert chosen(28, 128, 128) is not None
    assert chosen(224, 3, 64) is None  # three channels don't fill a vector
    assert chosen(2, 512, 512) is None  # mostly padding, and the weights would be four times as many


def test_only_three_by_three_at_stride_one_is_a_case_for_it() -> None:
    work = workload(1, (56, 56), 64, 64, (1, 1, 1, 1))
    for change in ({"kernel": (5, 5)}, {"strides": (2, 2)}, {"dilation": (2, 2)}, {"kind": "dense"}):
        other = Workload(**{**work.record(), **change})
        assert all(choice.winograd is None for choice in candidates(other, AVX512))


def test_candidates_are_distinct_and_begin_with_the_default() -> None:
    for machine in (AVX512, AVX2):
        work = workload(1, (28, 28), 128, 128, (1, 1, 1, 1))
        found = candidates(work, machine)
        assert found[0] == choose(work, machine)
        assert len(set(found)) == len(found)
        assert {choice.winograd is None for choice in found} == {True, False}
        assert all(Choice.from_record(choice.record()) == choice for choice in found)


def test_tiles_of_four_are_left_out_where_their_filters_would_fill_the_memory() -> None:
    def sides(depth: int, channels: int) -> set[int]:
        return {tiling.side for _, tiling in winograd_tilings(AVX512, (28, 28), depth, channels)}

    assert sides(256, 256) == {2, 4}  # 36 * 256 * 256 * 4 bytes: 9 MiB
    assert sides(256, 512) == {2}  # 18 MiB
