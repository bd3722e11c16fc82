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
        Path, Setting("Run folder; one of an interrupted run is resumed.", short="-o", path="folder")
    ]
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
