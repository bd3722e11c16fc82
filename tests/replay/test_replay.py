"""Compiling is replayed: each stage, kernel and file is what the record of it says, to the byte.

Where a change is meant, `python -m tests.replay` writes the records anew, and the commit says why.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from modeldyno.compiler.rules.apply import RULES
from modeldyno.compiler.targets.catalog import TARGETS
from modeldyno.compiler.tuning.revision import KERNELS_REVISION
from tests.replay.golden import golden, revision, rules
from tests.replay.nets import NETS
from tests.replay.record import record


@pytest.mark.parametrize("name", NETS)
def test_a_compile_does_what_it_did(name: str, tmp_path: Path) -> None:
    was = golden(name).read_text(encoding="utf-8").splitlines()
    now = record(NETS[name], tmp_path).splitlines()
    if was != now:
        lines = list(difflib.unified_diff(was, now, "as recorded", "now", lineterm="", n=0))
        raise AssertionError("\n".join([*lines[:40], "`python -m tests.replay` writes the records anew"]))


def test_every_schedule_rule_is_used_by_a_net() -> None:
    used = set().union(*(rules(golden(name).read_text(encoding="utf-8")) for name in NETS))
    assert {rule.name for rule in RULES} <= used


def test_every_family_of_targets_is_compiled_for() -> None:
    """x86-64 with 128, 256 and 512 bits, ARM's small and large cores with and without SVE, GPUs."""
    used = {(TARGETS[net.target].kind, TARGETS[net.target].machine) for net in NETS.values()}
    lanes = {machine.lanes for kind, machine in used if kind == "llvm"}
    assert lanes == {target.machine.lanes for target in TARGETS.values() if target.kind == "llvm"}
    assert {kind for kind, _ in used} == {target.kind for target in TARGETS.values()}


def test_measured_times_belong_to_these_kernels() -> None:
    assert revision() == KERNELS_REVISION
