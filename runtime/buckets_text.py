"""The buckets of an artifact in words: its axes, and one row for each bucket."""

from __future__ import annotations

from modeldyno.base.units import percent
from modeldyno.runtime.records.buckets import Bucket, Buckets
from modeldyno.runtime.sessions.axes import shown_sizes, sizes_text

Row = tuple[str, ...]


def sentences(found: Buckets) -> list[str]:
    """Say what each axis takes, which dimensions it binds, and on what the times rest."""
    texts = []
    for axis in found.axes:
        places = ", ".join(f"{place.tensor}[{place.dimension}]" for place in axis.inputs)
        named = f"{axis.name} ({places})" if places != axis.name else axis.name
        compiled = f"compiled for {', '.join(map(str, axis.sizes))}" if axis.padded else "never padded"
        texts.append(f"{named}: {sizes_text(axis)}; {compiled}")
        if axis.padding == "tried":
            texts.append(
                f"{axis.name}: that padding changes no answer was tried, not proved: {axis.padding_unproved}"
            )
        if axis.splits:
            basis = (
                "was measured to be cheaper" if found.measured_on else "more than a third would be padding"
            )
            texts.append(f"{axis.name}: rows are run in several pieces where that {basis}")
    if found.measured_on is None:
        texts.append("padding: a share of the numbers; nothing was measured, for another machine than this")
    else:
        texts.append(
            f"ms: median of a full run, measured on {found.measured_on} with {found.measured_threads} "
            "thread(s)"
        )
    return texts


def columns(found: Buckets) -> Row:
    """Name the columns; the first is the bucket."""
    times = ("ms", "ms per row") if found.measured_on else ()
    shares = ("compiled",) if found.not_compiled else ()
    return ("bucket", *times, "GFLOP", *shares, "most padding", "at")


def shares_differ(found: Buckets) -> bool:
    """Whether more is compiled in one bucket than in another."""
    return len({(bucket.operators_share, bucket.flops_share) for bucket in found.buckets}) > 1


def bucket_rows(found: Buckets) -> list[Row]:
    """Give a row for each bucket."""
    rows = []
    for bucket in found.buckets:
        times: Row = ()
        if found.measured_on:
            ms = bucket.p50_ms
            times = ("", "") if ms is None else (f"{ms:.3f}", f"{ms / _rows(found, bucket):.3f}")
        rows.append(
            (
                shown_sizes(bucket.sizes),
                *times,
                "" if bucket.flops is None else f"{bucket.flops / 1e9:.3f}",
                *((_compiled(bucket),) if found.not_compiled else ()),
                f"{bucket.padding_share:.0%}" if bucket.padding_share else "none",
                shown_sizes(bucket.worst_sizes) if bucket.padding_share else "",
            )
        )
    return rows


def _compiled(bucket: Bucket) -> str:
    """Word the share of a bucket's operations that is compiled, or that of its operators."""
    if bucket.flops_share is not None:
        return f"{percent(bucket.flops_share)} of the FLOPs"
    return "" if bucket.operators_share is None else f"{percent(bucket.operators_share)} of the operators"


def _rows(found: Buckets, bucket: Bucket) -> int:
    """Give a bucket's rows: its size on an axis that is the first dimension wherever it is one, or 1."""
    for axis, size in zip(found.axes, bucket.sizes, strict=True):
        if not any(place.dimension for place in axis.inputs):
            return size
    return 1
