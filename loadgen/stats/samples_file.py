"""Every request of a load test as a table in a file: Parquet where pyarrow is installed, else CSV or .npz."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from modeldyno.base.errors import ConfigError, OutputError
from modeldyno.base.files import write_bytes
from modeldyno.base.records.load import LoadResult
from modeldyno.base.records.load_spec import LoadSpec
from modeldyno.loadgen.stats.outcomes import outcome_names, statuses
from modeldyno.loadgen.stats.recording import US_PER_S, Recording

SUFFIXES = (".parquet", ".csv", ".npz")
COLUMNS = ("worker", "endpoint", "outcome", "status", "start_us", "latency_us", "lateness_us", "in_window")
NO_STATUS = 0


class SamplesLostError(OutputError):
    """The samples could not be written when the test was over; its result is here."""

    def __init__(self, message: str, result: LoadResult) -> None:
        super().__init__(message)
        self.result = result


def check_samples_file(path: Path) -> None:
    """Refuse a file that can't be written, before the test.

    Raises:
        ConfigError: its ending is none of SUFFIXES, or it is Parquet and pyarrow is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"`samples` {path}: the ending must be one of {', '.join(SUFFIXES)}", field="samples"
        )
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ConfigError(
            f"`samples` {path}: Parquet needs pyarrow, which is not installed",
            field="samples",
            hint="pip install 'modeldyno[parquet]', or give a .csv or .npz file",
        )


def write_samples(path: Path, parts: Sequence[Recording], spec: LoadSpec, window_s: float) -> None:
    """Write one row for each finished request, warm-up included, in the order of their start."""
    table = samples_table(parts, spec, window_s)
    if path.suffix == ".npz":
        stream = io.BytesIO()
        np.savez_compressed(stream, **table)
        content = stream.getvalue()
    elif path.suffix == ".csv":
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(zip(*(table[name].tolist() for name in COLUMNS), strict=True))
        content = text.getvalue().encode()
    else:
        content = _parquet(table)
    write_bytes(path, content)


def samples_table(parts: Sequence[Recording], spec: LoadSpec, window_s: float) -> dict[str, Any]:
    """Give COLUMNS as arrays of equal length; `status` is 0 where there was no answer."""
    tables = [_part(part, number) for number, part in enumerate(parts, 1)]
    table = {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}
    order = np.argsort(table["start_us"], kind="stable")
    table = {name: column[order] for name, column in table.items()}
    first = round(spec.warmup_s * US_PER_S)
    last = first + round(window_s * US_PER_S)
    table["in_window"] = (table["start_us"] >= first) & (table["start_us"] < last)
    table["endpoint"] = np.full(len(order), urlsplit(spec.url).path or "/")
    return {name: table[name] for name in COLUMNS}


def _part(part: Recording, number: int) -> dict[str, Any]:
    succeeded, failed = len(part.start_us), len(part.failure_start_us)
    names = np.array([*outcome_names(part), ""])
    codes = np.array([kind.status or NO_STATUS for kind in part.kinds] + [NO_STATUS], np.int64)
    status = statuses(part)
    lag_us = part.failure_lag_us if len(part.failure_lag_us) == failed else np.zeros(failed, np.int64)
    return {
        "worker": np.full(succeeded + failed, number, np.int64),
        "outcome": np.concatenate((status.astype(str), names[part.failure_kind])),
        "status": np.concatenate((status, codes[part.failure_kind])),
        "start_us": np.concatenate((part.start_us, part.failure_start_us)),
        "latency_us": np.concatenate((part.latency_us, part.failure_latency_us)),
        "lateness_us": np.concatenate((part.lag_us, lag_us)),
    }


def _parquet(table: dict[str, Any]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    stream = io.BytesIO()
    arrays = {name: pyarrow.array(column.tolist()) for name, column in table.items()}
    pyarrow.parquet.write_table(pyarrow.table(arrays), stream, compression="zstd")
    return stream.getvalue()
