"""`dyno targets`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from modeldyno.base.command import console
from modeldyno.base.command.complete import completing
from modeldyno.base.exit_codes import ANSWER_IS_NO

if TYPE_CHECKING:
    from modeldyno.compiler.targets.catalog import CompileTarget


def _begun(begun: str) -> list[str]:
    from modeldyno.compiler.targets.catalog import target_names

    return target_names(begun)


@click.command("targets")
@click.argument("pattern", required=False, shell_complete=completing(_begun))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def targets_command(pattern: str | None, as_json: bool) -> None:
    """List the compilation targets.

    PATTERN narrows the list, e.g. 'znver*'.

    \b
    Example:
        dyno targets 'znver*'

    Exit codes: 0 listed; 1 no target matches; 2 bad input.
    """
    from fnmatch import fnmatch

    from modeldyno.compiler.targets.catalog import TARGETS

    found = [target for name, target in TARGETS.items() if fnmatch(name, pattern or "*")]
    rows = [_target_row(target) for target in found]
    if as_json:
        console.print_json(rows)
    if not rows:
        console.say(f"no target matches {pattern!r}; the targets are: host, {', '.join(TARGETS)}")
        click.get_current_context().exit(ANSWER_IS_NO)
    if not as_json:
        _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    console.print_table(
        ("target", "architecture", "vectors", "L2", "builds here", "runs here", "what it is", "also called"),
        [
            (
                r["target"],
                r["architecture"],
                f"{r['vector_registers']} x {r['vector_bits']} bit" if r["vector_bits"] else "",
                f"{r['l2_kib']} KiB" if r["l2_kib"] else "",
                "yes" if r["builds_here"] else "no",
                r["runs_here"],
                r["note"],
                ", ".join(r["other_names"]),
            )
            for r in rows
        ],
        right=("vectors", "L2"),
    )
    for reason, names in _reasons(rows).items():
        console.say(f"{', '.join(names)}: {reason}")
    console.say("An instance type is a target too: --target c7g.xlarge, ml.c7g.xlarge or ml_c7g.")
    console.say(
        "`--target host` takes what this machine has. What runs here, or is emulated, is checked after "
        "compiling too."
    )


def _target_row(target: CompileTarget) -> dict[str, Any]:
    from modeldyno.base.host.facts import host_facts
    from modeldyno.compiler.check.reach import runs_where, why_not_built
    from modeldyno.compiler.targets.names import other_names

    gpu = target.kind == "cuda"
    running, unbuilt = runs_where(target, host_facts()), why_not_built(target)
    return {
        "target": target.name,
        "architecture": target.cpu if gpu else target.architecture,
        "vector_bits": None if gpu else target.machine.lanes * 32,
        "vector_registers": None if gpu else target.machine.registers,
        "l2_kib": None if gpu else target.machine.l2_bytes >> 10,
        "builds_here": not unbuilt,
        "builds_here_reason": unbuilt,
        "runs_here": running.runs,
        "runs_here_reason": running.reason,
        "note": target.note,
        "other_names": list(other_names(target.name)),
        "features": list(target.features),
    }


def _reasons(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Give each reason why something is not done here, and the targets that it holds for."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for key in ("builds_here", "runs_here"):
            if reason := row[f"{key}_reason"]:
                answer = "no" if row[key] is False else row[key]
                said = f"{key.replace('_', ' ')}: {answer}; {reason}"
                reasons.setdefault(said, []).append(row["target"])
    return reasons
