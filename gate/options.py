"""The options of `dyno gate`, in the order of its help."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from modeldyno.base.errors import ConfigError
from modeldyno.base.host.cores import own_core_numbers
from modeldyno.base.settings import Setting
from modeldyno.gate.store.place import DEFAULT_STORE

DEFAULT_BUDGET_S = 60.0
DEFAULT_BUDGET_AT_A_RATE_S = 600.0
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def seconds(text: str, field: str = "budget_s") -> float:
    """Read a length of time: `90`, `90s`, `10m`.

    Raises:
        ConfigError: it is none, or not above 0.
    """
    found = _SECONDS.fullmatch(text.strip())
    value = float(found[1]) * _UNITS_S[found[2]] if found else 0.0
    if not 0 < value <= 86_400:
        raise ConfigError(f"`{field}` {text}: expected a time such as 60s or 10m, at most 24h", field=field)
    return value


def share(text: str, field: str) -> float:
    """Read a share: `5%` or `0.05`.

    Raises:
        ConfigError: it is none, or not from 0 to below 1.
    """
    found = _SHARE.fullmatch(text.strip())
    try:
        value = float(found[1]) / 100 if found else float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise ConfigError(f"`{field}` {text}: expected a share such as 5% or 0.05", field=field)
    return value


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What is compared."""

    baseline: Annotated[
        str | None,
        Setting(
            "What it is measured against: an .onnx file, an artifact or server folder, a URL, a saved "
            "result, or a name (`dyno baseline`).",
            metavar="REF",
        ),
    ] = None
    candidate: Annotated[str | None, Setting("What is judged.", metavar="REF")] = None
    store: Annotated[Path, Setting("Folder of the baselines that have names.")] = DEFAULT_STORE


@dataclass(frozen=True, kw_only=True)
class Judging:
    """When a difference is a regression, and how sure that has to be."""

    max_regression: Annotated[
        tuple[str, ...],
        Setting(
            "Worse by so much is a regression; several may be given.",
            absent="p50_ms=5%",
            metavar="METRIC=SHARE",
        ),
    ] = ()
    ignore_below: Annotated[
        tuple[str, ...],
        Setting(
            "Worse by less is none, however sure.",
            absent="half of the limit, and what starts differ by",
            metavar="METRIC=SHARE",
        ),
    ] = ()
    budget_s: Annotated[
        float | None,
        Setting(
            "Measure at most so long, e.g. 60s or 10m; a clear answer comes sooner.",
            absent="60s; 10m with `rate_rps`",
            parse=seconds,
            flag="--budget",
            metavar="TIME",
        ),
    ] = None
    alpha: Annotated[
        float,
        Setting(
            "Chance of a false alarm, and of a regression that passes.",
            absent="1%",
            parse=lambda text: share(text, "alpha"),
            metavar="SHARE",
        ),
    ] = 0.01
    force: Annotated[bool, Setting("Measure sides that are the same to the last byte, too.")] = False
    trust_url: Annotated[
        bool, Setting("Of URLs say `regression` too, though nothing is known of what else they do.")
    ] = False
    inconclusive_is: Annotated[
        Literal["fail", "pass"] | None,
        Setting("End with 1 or 0 where it is not decided.", absent="end with 3"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How both sides are served and loaded."""

    users: Annotated[
        int | None,
        Setting("Users who wait for each answer.", absent="as many as workers", least=1, most=10_000),
    ] = None
    rate_rps: Annotated[
        float | None,
        Setting("Latency at so many arrivals a second instead, in windows of 10 s.", above=0, flag="--rate"),
    ] = None
    payload: Annotated[
        str | None,
        Setting(
            "Request body: file or folder, or several with their weights.",
            absent="random tensors for the model's inputs",
            metavar="PATH[=WEIGHT,...]",
        ),
    ] = None
    content_type: Annotated[str | None, Setting("Of the payload.", absent="by its ending")] = None
    shapes: Annotated[
        tuple[str, ...],
        Setting("Shape of the random tensor for an input.", flag="--shape", metavar="NAME=1,3,224,224"),
    ] = ()
    cpus: Annotated[
        tuple[int, ...] | None,
        Setting("Cores of the servers, e.g. 0,1.", absent="all but one", parse=own_core_numbers),
    ] = None
    threads: Annotated[
        int | None, Setting("Threads inside one inference.", absent="cores divided by workers", least=1)
    ] = None
    workers: Annotated[int, Setting("Inferences that may run side by side.", least=1, most=256)] = 1
    timeout_s: Annotated[
        float, Setting("A request that takes longer is an error.", above=0, flag="--timeout")
    ] = 30.0
    seed: Annotated[int, Setting("Of bodies, orders and coins.")] = 0


@dataclass(frozen=True, kw_only=True)
class Writing:
    """Where the answer goes."""

    output: Annotated[
        Path,
        Setting("Folder for gate.json, every block, and the servers' logs.", short="-o", path="folder"),
    ] = Path(".dyno/gate")
    as_json: Annotated[bool, Setting("Print gate.json instead of text.", flag="--json")] = False
    markdown: Annotated[Path | None, Setting("Write Markdown for a pull request.", path="file")] = None
    junit: Annotated[Path | None, Setting("Write JUnit XML.", path="file")] = None
    html: Annotated[Path | None, Setting("Write a one-file HTML page.", path="file")] = None
    github_benchmark: Annotated[
        Path | None, Setting("Write JSON for github-action-benchmark.", path="file")
    ] = None
    bencher: Annotated[Path | None, Setting("Write JSON for Bencher.", path="file")] = None
    openmetrics: Annotated[Path | None, Setting("Write OpenMetrics text.", path="file")] = None
    sarif: Annotated[Path | None, Setting("Write SARIF 2.1.0.", path="file")] = None
    sarif_anchor: Annotated[
        str | None,
        Setting("Line of the repository that SARIF results stand at.", metavar="FILE:LINE"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Several:
    """Many comparisons instead of one."""

    self_test: Annotated[
        int | None,
        Setting(
            "Compare the baseline with itself so many times: how often does this machine cry wolf?",
            least=2,
            most=1000,
            metavar="TIMES",
        ),
    ] = None
    bisect: Annotated[
        str | None,
        Setting(
            "Find the first bad one, from a good to a bad baseline by age, or revision.",
            metavar="GOOD..BAD",
        ),
    ] = None
    revisions: Annotated[
        str | None,
        Setting(
            "Command that prints the revisions of `bisect`, oldest first, e.g. 'git rev-list --reverse "
            "{good}..{bad}'.",
            metavar="COMMAND",
        ),
    ] = None
    build: Annotated[
        str | None,
        Setting(
            "Command that makes a revision, {rev}; the last line that it prints is a REF.", metavar="COMMAND"
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class GateOptions(Several, Writing, Loading, Judging, Sides):
    """All options."""
