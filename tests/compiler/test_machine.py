"""Tile sizes, worked by hand."""

from __future__ import annotations

from compiler.schedules.machine import Machine, padded_cost

AVX512, AVX2, SSE, NEON = Machine(16, 32), Machine(8, 16), Machine(4, 16), Machine(4, 32)


def test_columns_are_two_vectors_unless_one_holds_them_all() -> None:
    assert [AVX512.column_tile(columns) for columns in (1, 16, 17, 1000)] == [16, 16, 32, 32]


def test_the_sums_a_weight_each_and_one_input_fit_the_registers() -> None:
    for machine in (AVX512, AVX2, SSE, NEON):
        for rows in range(1, 130):
            for vectors in (1, 2):
                tile = machine.row_tile(rows, vectors * machine.lanes)
                assert 1 <= tile <= rows
                assert tile * vectors + vectors + 1 <= machine.registers or tile == 1


def test_fifty_six_rows_go_into_tiles_of_fourteen() -> None:
    # 32 registers hold 14 x 2 sums, 2 weights and 1 input (31); 56 = 4 x 14 wastes no row.
    assert AVX512.row_tile(56, 32) == 14


def test_seven_rows_are_one_tile() -> None:
    assert AVX512.row_tile(7, 32) == 7


def test_thirteen_rows_are_one_tile_of_thirteen() -> None:
    # One tile of 13 computes no padded row; two of 7 compute 14.
    assert AVX512.row_tile(13, 32) == 13


def test_sixteen_registers_hold_at_most_six_rows_of_two_vectors() -> None:
    # (16 - 1 - 2) // 2 = 6: 12 sums, 2 weights, 1 input.
    assert AVX2.row_tile(6, 16) == 6
    assert AVX2.row_tile(12, 16) == 6
    assert AVX2.row_tile(7, 16) == 4  # 8 padded rows of full speed; 7 single rows would stall 4 times


def test_a_single_row_is_a_tile_of_one() -> None:
    assert AVX512.row_tile(1, 32) == 1


def test_the_cost_counts_padded_rows_stalls_and_weight_loads() -> None:
    # 13 rows in tiles of 4: 16 padded; 4 x 2 sums hide the latency; each tile loads its weights: 1 + 1/16.
    assert padded_cost(13, 4, 2) == 16 * 1.0625
    # 2 x 1 sums in flight of the 8 needed: 4 times slower.
    assert padded_cost(4, 2, 1) == 4 * 4 * 1.125
