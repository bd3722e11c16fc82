"""What `dyno compile` prints of an artifact that it made."""

from __future__ import annotations

from pathlib import Path

import click

from modeldyno.base.command import console
from modeldyno.base.units import BYTES_PER_MIB, short_duration
from modeldyno.runtime.buckets_text import bucket_rows, columns, sentences
from modeldyno.runtime.records.buckets import Buckets
from modeldyno.runtime.records.kernels import TuningFacts
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.tools.inspection import compiled_lines, road_line
from modeldyno.runtime.tools.parity_text import parity_lines


def print_manifest(manifest: Manifest, output: Path, seconds: float) -> None:
    """Print what was compiled, for a person."""
    size = manifest.bytes / BYTES_PER_MIB
    click.echo(
        f"compiled {manifest.model} for {manifest.target.name} in {short_duration(seconds)}: "
        f"{output} ({size:.1f} MiB)"
    )
    if manifest.road and manifest.road.reason:
        click.echo(f"import path: {road_line(manifest.road)}")
    if " " in manifest.precision:
        click.echo(f"precision: {manifest.precision}")
    _show_buckets(manifest.buckets)
    _show_tuning(manifest.tuning)
    for line in compiled_lines(manifest):
        click.echo(line)
    if manifest.parity is None:
        click.echo(f"parity: not checked: {manifest.parity_skipped}")
        return
    for line in parity_lines(manifest.parity):
        click.echo(line)


def _show_buckets(found: Buckets | None) -> None:
    """Print the shapes that were compiled, and what padding costs; nothing where there is one shape."""
    if found is None:
        return
    console.print_table(columns(found), bucket_rows(found), right=columns(found)[1:])
    for line in sentences(found):
        click.echo(line)


def _show_tuning(tuning: TuningFacts | None) -> None:
    """Print where the kernels come from and those that measuring made faster; nothing if untuned."""
    if tuning is None or not tuning.measured + tuning.from_records:
        return
    click.echo(
        f"kernels: {tuning.measured} measured now, {tuning.from_records} from records, "
        f"{tuning.default} not measured; {len(tuning.faster)} faster than by default"
    )
    if not tuning.faster:
        return
    saved = sorted(tuning.faster, key=lambda kernel: -kernel.calls * (kernel.default_us - kernel.tuned_us))
    console.print_table(
        ("kernel", "calls", "before us", "after us", "ratio"),
        [
            (
                kernel.kernel,
                str(kernel.calls),
                f"{kernel.default_us:.1f}",
                f"{kernel.tuned_us:.1f}",
                f"{kernel.tuned_us / kernel.default_us:.2f}",
            )
            for kernel in saved
        ],
        right=("calls", "before us", "after us", "ratio"),
    )
