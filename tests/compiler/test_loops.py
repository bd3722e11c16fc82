"""What schedules can't say: prefetches, the last tile moved back, tiles on the stack."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from tvm import relax

from modeldyno.compiler.stages.run import run_stages
from modeldyno.compiler.targets.machine import Machine
from tests.compiler.relaxed import AVX512, module, run_staged, source_of, staged_until, target_for
from tests.compiler.test_kernels import normal


def pointwise(size: tuple[int, int], depth: int, channels: int, *, residual: bool = False) -> Any:
    """1x1 convolution of an NHWC image with a bias, a residual if asked for, and a ReLU."""
    weight, bias = normal(channels, 1, 1, depth), normal(1, 1, 1, channels)

    def body(builder: Any, x: Any, *others: Any) -> Any:
        conv = relax.op.nn.conv2d(x, relax.const(weight), data_layout="NHWC", kernel_layout="OHWI")
        y = builder.emit(relax.op.add(builder.emit(conv), relax.const(bias)))
        for other in others:
            y = builder.emit(relax.op.add(y, other))
        return builder.emit(relax.op.nn.relu(y))

    shapes = [(1, *size, depth), *([(1, *size, channels)] if residual else [])]
    return module(shapes, body)


def scheduled(mod: Any, machine: Machine = AVX512) -> str:
    return str(staged_until(mod, machine, "schedule").script())


def without_prefetches(script: str) -> str:
    return "\n".join(line for line in script.splitlines() if "T.prefetch" not in line)


def assembly(mod: Any) -> str:
    executable = run_stages(source_of(mod), target_for(AVX512)).executable
    return "".join(str(part.inspect_source("asm")) for part in executable.mod.imports)


def test_weights_beyond_the_cache_are_fetched_a_block_ahead() -> None:
    assert AVX512.block_bytes < 1024 * 1024 * 4
    script = scheduled(pointwise((14, 14), 1024, 1024))
    fetched = re.findall(r"T\.prefetch\(T\.address_of\(param_0\[(.*)\]\), 0, 2, 1\)", script)
    assert fetched
    # 1024 deep, 32 wide: a panel of 128 KiB, two in a block of 256 KiB; the next block is 2 panels on.
    assert all("+ T.int64(2)" in place for place in fetched), fetched[0]


def test_weights_in_the_cache_are_not_fetched() -> None:
    assert ", 0, 2, 1)" not in scheduled(pointwise((14, 14), 64, 64))


def test_a_stream_of_weights_is_fetched_a_page_ahead_of_itself() -> None:
    script = scheduled(pointwise((1, 1), 4096, 1024))
    assert re.search(r"T\.prefetch\(T\.address_of\(param_0\[.*T\.int64\(64\)\) \* T\.int64\(16\)", script)


def test_a_tile_fetches_what_its_tail_reads_and_writes_spread_over_the_steps_of_its_sum() -> None:
    script = scheduled(pointwise((14, 14), 64, 32, residual=True))
    # 8 chunks of 8 steps, the last 2 left out: 3 of the 14 rows in each of 5 chunks, 2 vectors a row; and the
    # same number of reads of the residual and writes of the output.
    assert len(re.findall(r"T\.prefetch\(.*, 0, 3, 1\)", script)) == 6
    assert len(re.findall(r"T\.prefetch\(.*, 1, 3, 1\)", script)) == 6


def test_a_sum_too_short_to_spread_over_fetches_at_its_beginning() -> None:
    script = scheduled(pointwise((14, 14), 9, 32, residual=True))
    assert len(re.findall(r"T\.prefetch\(.*, 0, 3, 1\)", script)) == 28
    assert len(re.findall(r"T\.prefetch\(.*, 1, 3, 1\)", script)) == 28


def fetched_input(script: str) -> list[str]:
    return re.findall(r"T\.prefetch\(T\.address_of\(x0\[(.*)\]\), 0, 2, 1\)", script)


def test_an_input_beyond_the_cache_is_fetched_a_row_of_tiles_ahead() -> None:
    # 56 * 56 * 256 numbers are 3 MiB. Each of 14 rows in every second chunk of 8 steps: a line of 16.
    script = scheduled(pointwise((56, 56), 256, 64))
    assert len(fetched_input(script)) == 14
    assert re.search(r"next1: .*_fused \+ T\.int64\(2\)\) // T\.int64\(8\)", script)


def test_an_input_in_the_cache_is_not_fetched() -> None:
    assert not fetched_input(scheduled(pointwise((14, 14), 256, 64)))


@pytest.mark.parametrize("width", [17, 23, 25, 29])
def test_ragged_rows_are_neither_padded_nor_checked(width: int) -> None:
    mod = pointwise((3, width), 64, 64)
    script = scheduled(mod)
    assert "T.min(" in without_prefetches(script)
    assert 'T.sblock("pad")' not in script
    assert "T.where" not in script
    data = normal(1, 3, width, 64)
    found = run_staged(mod, AVX512, data)[0]
    weight, bias = normal(64, 1, 1, 64)[:, 0, 0], normal(1, 1, 1, 64)
    right = np.maximum(data.astype(np.float64) @ weight.T.astype(np.float64) + bias, 0)
    assert float(np.abs(found - right).max()) <= 1e-5 * float(right.max())


def test_even_rows_are_left_as_they_are() -> None:
    assert "T.min(" not in without_prefetches(scheduled(pointwise((3, 28), 64, 64)))


def test_a_tile_of_twenty_eight_sums_is_not_allocated() -> None:
    text = assembly(pointwise((14, 14), 64, 32))
    assert "vfmadd231ps" in text
    assert "TVMBackendAllocWorkspace" not in text
