"""Tile sizes, worked by hand."""

from __future__ import annotations

import pytest

from modeldyno.compiler.targets.machine import Machine

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


def test_with_sixteen_registers_no_tile_has_more_than_twelve_sums() -> None:
    # 14 x 1 sums, 1 weight and 1 input are 16, but LLVM wants room to spare and would keep sums in memory.
    assert (AVX2.most_rows(8), AVX2.most_rows(24), SSE.most_rows(4)) == (12, 4, 12)
    for rows, columns in ((14, 64), (28, 128), (56, 256)):
        assert all(tall * wide // 8 <= 12 for tall, wide in AVX2.tiles(rows, columns))


def test_with_sixteen_registers_each_input_is_a_load_that_counts() -> None:
    # 8 x 1 sums: 9 loads of 0.56 cycles are 5.04, more than 4 of multiply-adds; with a latency of 4, the norm
    # of degree 3.6 is 5.04 * (1 + (4 / 5.04) ** 3.6) ** (1 / 3.6) = 5.04 * 1.435 ** 0.278 = 5.57.
    assert AVX2.cycles(8, 8, (8, 8)) == pytest.approx(5.57, abs=0.01)
    # 6 x 2 sums: 6 cycles of multiply-adds; 6 * (1 + (4 / 6) ** 3.6) ** 0.278 = 6 * 1.232 ** 0.278 = 6.36.
    assert AVX2.cycles(6, 16, (6, 16)) == pytest.approx(6.36, abs=0.01)
    # So fourteen rows are three tiles of five and not one of fourteen; 28 are seven of four, none twice.
    assert AVX2.tile(14, 96) == (5, 16)
    assert AVX2.tile(28, 512) == (4, 24)


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
