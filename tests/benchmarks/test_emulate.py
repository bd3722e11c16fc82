"""The counts of `benchmarks.emulate`: read, added up, and right where the multiply-adds are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.emulate.__main__ import built_plugin, counted, shares, totals
from modeldyno.compiler.check.emulation.root import Emulator
from modeldyno.compiler.targets.catalog import TARGETS
from tests.compiler.models import model, node, saved, tensor, weights
from tests.emulation.conftest import emulator

__all__ = ["emulator"]
NONE = {"fma_vector": 0, "fma_half_vector": 0, "fma_scalar": 0, "stack_vector": 0, "other": 0}


def test_kinds_that_several_patterns_make_up_are_added() -> None:
    assert totals("x\ncount fma_vector 4\ncount fma_vector 3\ncount other 9\n") == {
        "fma_vector": 7,
        "other": 9,
    }


def test_shares_weigh_each_multiply_add_by_its_lanes() -> None:
    # 3 of four lanes (24 operations), 1 of two (4), 2 of one (4): 24 / 32. The floor of 48 operations is 6.
    counts = NONE | {"fma_vector": 3, "fma_half_vector": 1, "fma_scalar": 2, "stack_vector": 6, "other": 18}
    found = shares(counts, 48)
    assert found == {"vector_share": 0.75, "fma_per_floor": 0.5, "fma_density": 0.1, "stack_per_fma": 2.0}


def test_a_model_without_multiply_adds_has_no_share() -> None:
    assert shares(NONE | {"other": 5}, 0)["vector_share"] == 0.0


@pytest.mark.slow
@pytest.mark.emulated
def test_a_product_that_fills_its_tiles_is_as_many_vector_multiply_adds_as_it_must_be(
    emulator: Emulator,
    tmp_path: Path,
) -> None:
    net = model(
        [node("MatMul", "x w", "y")], [tensor("x", [8, 64])], [tensor("y", [8, 48])], [weights("w", 64, 48)]
    )
    row = counted(
        saved(tmp_path / "net.onnx", net),
        TARGETS["cortex-a72"],
        emulator,
        built_plugin(tmp_path),
        tmp_path,
    )
    assert row["executed"]["fma_vector"] == 8 * 64 * 48 // 4
    assert (row["vector_share"], row["fma_per_floor"]) == (1.0, 1.0)
    assert row["executed"]["sve"] == 0
    assert row["max_rel"] < 1e-5
