"""The options of `dyno recommend`, in the order of its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from modeldyno.base.settings import Setting


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What is measured, where it is kept, and how the run ends."""

    model: Annotated[Path, Setting("An .onnx or torch.export .pt2 file.", argument=True)]
    job: Annotated[
        Path | None,
        Setting(
            "YAML file: candidates, load, limits.",
            absent="a few small instance types at 1, 2 and 4 users",
        ),
    ] = None
    output: Annotated[
        Path | None,
        Setting(
            "Run folder; one of an interrupted run is resumed.",
            absent="runs/MODEL-DATE",
            short="-o",
            path="folder",
        ),
    ] = None
    instances: Annotated[
        tuple[str, ...],
        Setting(
            "Instance type to compare, a name or a quoted pattern; in the place of the job's.",
            flag="--instance",
            metavar="NAME_OR_GLOB",
        ),
    ] = ()
    limits: Annotated[
        tuple[str, ...],
        Setting(
            "What a candidate must meet, e.g. p99_ms=100; overrides the job's.",
            flag="--limit",
            metavar="NAME=NUMBER",
        ),
    ] = ()
    traffic: Annotated[
        str | None,
        Setting(
            "Requests a second, for which a month is priced: 40, 'day=40,night=5' (day: 8 to 20 o'clock), "
            "'0=5,8=40,20=5' by hour, or a CSV file of times.",
            metavar="TEXT",
        ),
    ] = None
    headroom: Annotated[
        float | None,
        Setting("Share of the traffic that instances are there for on top.", absent="0.2", least=0, most=10),
    ] = None
    spare: Annotated[
        int | None,
        Setting("Instances on top, so that one may fail.", absent="1", least=0, most=100),
    ] = None
    shapes: Annotated[
        tuple[str, ...],
        Setting(
            "Shape of an input that the model leaves open, as `dyno compile` takes it; overrides the job's.",
            flag="--shape",
            metavar="NAME=1..32,3,224,224",
        ),
    ] = ()
    dry_run: Annotated[
        bool, Setting("Say what would be measured, how long, and what not and why; run nothing.")
    ] = False
    retry_failed: Annotated[bool, Setting("Short for --remeasure failed.")] = False
    remeasure: Annotated[
        tuple[str, ...],
        Setting(
            "Measure again what failed, was void or disturbed in this run folder, or trials by name.",
            metavar="failed|void|tainted|GLOB",
        ),
    ] = ()
    wait_idle_s: Annotated[
        float,
        Setting(
            "Wait for the machine to be idle before measuring, at most so long.",
            least=0,
            flag="--wait-idle",
            metavar="SECONDS",
        ),
    ] = 0.0
    strict: Annotated[bool, Setting("Exit 3 where no single best was told apart, too.")] = False
    require: Annotated[
        Literal["onnxruntime", "compiled"] | None,
        Setting("Exit 1 unless this backend meets the limits."),
    ] = None
    as_json: Annotated[bool, Setting("Print recommendation.json instead of tables.", flag="--json")] = False
