"""Tile sizes, worked by hand."""

from __future__ import annotations

import pytest

from compiler.schedules.machine import Machine

AVX512, AVX2, SSE, NEON = Machine(16, 32), Machine(8, 16), Machine(4, 16), Machine(4, 32)


@pytest.mark.parametrize("machine", [AVX512, AVX2, SSE, NEON])
def test_the_sums_a_weight_each_and_one_input_fit_the_registers(machine: Machine) -> None:
    for rows in (1, 2, 7, 13, 56, 129):
        for columns in (1, 16, 17, 48, 1000):
            for tall, wide in machine.tiles(rows, columns):
                vectors = wide // machine.lanes
                assert wide % machine.lanes == 0
                assert 1 <= tall <= rows
                assert tall * vectors + vectors + 1 <= machine.registers or tall == 1
                assert (vectors - 1) * machine.lanes < columns  # no vector is all padding


def test_fifty_six_rows_go_into_tiles_of_fourteen() -> None:
    # 32 registers hold 14 x 2 sums, 2 weights and 1 input (31); 56 = 4 x 14 computes no row twice.
    assert AVX512.tile(56, 64) == (14, 32)


def test_seven_rows_are_one_tile() -> None:
    assert AVX512.tile(7, 512) == (7, 32)


def test_seventeen_rows_are_two_tiles_of_nine() -> None:
    # 18 rows counted; 27 sums, 3 weights, 1 input.
    assert AVX512.tile(17, 192) == (9, 48)


def test_channels_that_fill_three_vectors_get_three() -> None:
    assert AVX512.tile(28, 48)[1] == 48
    assert AVX512.tile(28, 24)[1] in (16, 32)


def test_sixteen_registers_hold_at_most_six_rows_of_two_vectors() -> None:
    # (16 - 1 - 2) // 2 = 6: 12 sums, 2 weights, 1 input.
    assert AVX2.most_rows(16) == 6
    assert AVX2.tile(12, 64) == (6, 16)


def test_a_single_row_is_a_tile_of_one() -> None:
    assert AVX512.tile(1, 4096)[0] == 1


def test_cycles_count_whole_tiles_and_the_slowest_of_four_limits() -> None:
    # 13 rows in tiles of 4 are 4 tiles, 40 columns in tiles of 32 are 2. One step of 4 x 2 sums: 4 cycles of
    # multiply-adds, 3 of loads, 4 of latency, 3.2 of weights; 0.1 for each of 4 inputs, 0.5 for 2 weights.
    assert AVX512.cycles(13, 40, (4, 32)) == pytest.approx(8 * (4 + 0.4 + 1))
    # 1 x 1 sums: the latency of 4 cycles counts.
    assert AVX512.cycles(3, 16, (1, 16)) == pytest.approx(3 * (4 + 0.1 + 0.5))
    # 1 x 6 sums: 6 vectors of weights are 384 bytes, at 40 a cycle 9.6.
    assert AVX512.cycles(1, 96, (1, 96)) == pytest.approx(9.6 + 0.1 + 3)


def test_rows_that_share_a_set_of_the_cache_are_no_more_than_it_holds() -> None:
    # 1024 floats are 4096 bytes: the lines of 14 rows want one set, which holds 8. Of 512 floats each 7 do.
    assert AVX512.tile(14, 256, 4096) == (7, 32)
    assert AVX512.tile(14, 256, 2048) == (14, 32)
    assert AVX512.tile(14, 256, 4096 + 64) == (14, 32)
