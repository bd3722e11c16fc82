"""A gate as SARIF 2.1.0, which GitHub shows as code scanning alerts. Written only where it is asked for.

An alert needs a place in the repository, and a measurement has none: all stand at one line that the user
names (default: the first of pyproject.toml). GitHub shows an alert in a pull request only where that line is
in its diff. A metric's fingerprint is the same for every commit, so that its alert closes once it passes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from modeldyno.base.errors import ConfigError
from modeldyno.base.records.gate import GateMetric, GateRecord
from modeldyno.gate.show import words

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"regression": "error", "inconclusive": "warning"}


@dataclass(frozen=True)
class Anchor:
    """A line of a file of the repository, by its path from the root."""

    file: str = "pyproject.toml"
    line: int = 1


def parse_anchor(text: str) -> Anchor:
    """Read `FILE:LINE`; without a line it is the first.

    Raises:
        ConfigError: the path is none inside of a repository, or the line no number from 1.
    """
    file, colon, line = text.rpartition(":")
    if not colon:
        file, line = text, "1"
    path = file.replace("\\", "/").removeprefix("./")
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise ConfigError(
            f"{text!r} names no file of the repository", hint="give its path from the root, e.g. ci.yml:12"
        )
    if not line.isdecimal() or int(line) < 1:
        raise ConfigError(f"{text!r} has no line number after the colon", hint="lines count from 1")
    return Anchor(path, int(line))


def sarif(record: GateRecord, anchor: Anchor = Anchor(), name: str | None = None) -> str:
    """Write the metrics that are regressions or not decided as results; `name` is that of what is gated."""
    gated = name or words.subject(record)
    wrong = [each for each in record.metrics if words.verdict(record, each) in _LEVELS]
    run = {
        "tool": {"driver": _driver(record)},
        "results": [_result(record, each, anchor, gated) for each in wrong],
        "columnKind": "utf16CodeUnits",
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _driver(record: GateRecord) -> dict[str, Any]:
    driver = {
        "name": "dyno gate",
        "rules": [_rule(each) for each in record.metrics],
    }
    version = record.host.packages.get("modeldyno")
    return driver | ({"semanticVersion": version} if version else {})


def _rule(metric: GateMetric) -> dict[str, Any]:
    what = words.title(metric)
    limit = f" by more than {words.limit(metric)}" if metric.max_regression is not None else ""
    return {
        "id": metric.metric,
        "shortDescription": {"text": f"{what} got worse"},
        "fullDescription": {"text": f"The candidate's {what} is worse than the baseline's{limit}."},
        "help": {
            "text": "Measured side by side by dyno gate; gate.json has the details.",
            "markdown": "Measured side by side by `dyno gate`; `gate.json` has the details.",
        },
        "defaultConfiguration": {"level": "error"},
    }


def _result(record: GateRecord, metric: GateMetric, anchor: Anchor, gated: str) -> dict[str, Any]:
    place = {"artifactLocation": {"uri": anchor.file}, "region": {"startLine": anchor.line}}
    key = hashlib.blake2b(f"{gated}\n{metric.metric}".encode(), digest_size=16).hexdigest()
    return {
        "ruleId": metric.metric,
        "level": _LEVELS[words.verdict(record, metric)],
        "message": {"text": f"{gated}: {words.title(metric)}: {metric.text}. {record.headline}"},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"dynoGate/v1": key},
    }
