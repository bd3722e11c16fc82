"""A run's load points as a table for notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeldyno.base.records.load import PERCENTILES, LoadResult
from modeldyno.base.records.run import Row
from modeldyno.base.units import usd_per_million
from modeldyno.reports.results.run_folder import Run, read_run

if TYPE_CHECKING:
    import pandas as pd


def trials_frame(run_dir: Path) -> pd.DataFrame:
    """Return one row per load point, candidates in order of rank; units are in the column names.

    `chosen` marks the level that the recommendation was made from. `rank` is missing for the rejected ones;
    a candidate without any load point has no row.

    Raises:
        ConfigError: `run_dir` is no run folder, or a record is damaged or of a newer schema.
    """
    import pandas as pd

    run = read_run(run_dir)
    found = [_entry(run, row, point) for row in run.rows for point in run.points(row)]
    frame = pd.DataFrame(found, columns=_COLUMNS)
    return frame.astype({"rank": "Int64", "users": "Int64"})


_COLUMNS = [
    *(
        "rank",
        "trial",
        "instance_type",
        "backend",
        "threads",
        "workers",
        "users",
        "rate_rps",
        "stage",
        "chosen",
        "fidelity",
    ),
    *("samples", "errors", "error_rate", "throughput_rps", "throughput_low_rps", "throughput_high_rps"),
    *(f"p{percentile:g}{end}_ms" for percentile in PERCENTILES for end in ("", "_low", "_high")),
    *("usd_per_hour", "usd_per_million", "server_cpu_cores", "server_memory_mib", "generator_cpu_cores"),
    "warnings",
]


def _entry(run: Run, row: Row, point: LoadResult) -> dict[str, Any]:
    rps = point.throughput_rps
    return {
        "rank": row.rank,
        "trial": row.trial,
        "instance_type": row.instance_type,
        "backend": row.backend,
        "threads": row.settings.threads,
        "workers": row.settings.workers,
        "users": point.spec.users,
        "rate_rps": point.spec.rate_rps,
        "stage": point.spec.stage,
        "chosen": point is run.level(row),
        "fidelity": row.fidelity,
        "samples": point.samples,
        "errors": point.errors,
        "error_rate": point.error_rate,
        "throughput_rps": rps.value,
        "throughput_low_rps": rps.low,
        "throughput_high_rps": rps.high,
        **_percentiles(point),
        "usd_per_hour": row.usd_per_hour,
        "usd_per_million": usd_per_million(row.usd_per_hour, rps.value),
        "server_cpu_cores": point.server.cpu_cores_mean if point.server else None,
        "server_memory_mib": point.server.memory_mib_max if point.server else None,
        "generator_cpu_cores": point.generator.cpu_cores_mean,
        "warnings": "; ".join(point.warnings),
    }


def _percentiles(point: LoadResult) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for entry in point.percentiles:
        name = f"p{entry.percentile:g}"
        found |= {f"{name}_ms": entry.ms, f"{name}_low_ms": entry.low_ms, f"{name}_high_ms": entry.high_ms}
    return found
