"""`dyno profile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modeldyno.base.command import console
from modeldyno.base.errors import ConfigError

if TYPE_CHECKING:
    from modeldyno.runtime.tools.profile_records import KernelTime, Profile

COLUMNS = ("kernel", "calls", "ms", "% time", "GFLOP", "GFLOP/s", "% peak", "GB/s")
Row = tuple[str, ...]


@click.command("profile")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--threads", type=click.IntRange(min=1), help="Threads inside one inference [default: usable cores]."
)
@click.option("--repeat", type=click.IntRange(min=5), help="Inferences to time [default: 50].")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Time as many inferences as fit into this instead.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Kernels in the table; the others are summed in one row. JSON has all.",
)
@click.option(
    "--bucket",
    metavar="8x128",
    help="Which shape, where the artifact has several; `dyno inspect` lists them [default: the largest].",
)
@click.option("--json", "as_json", is_flag=True, help="Print all as JSON.")
def profile_command(
    artifact: Path,
    *,
    threads: int | None,
    repeat: int | None,
    seconds: float | None,
    top: int,
    bucket: str | None,
    as_json: bool,
) -> None:
    """Show where an artifact's time goes, kernel by kernel.

    Times are medians per inference, the calls of a kernel summed; shares are those of an inference that is
    not observed. GFLOP counts useful operations (2 for each multiply-add of the model). "% peak" is the share
    of the float32 multiply-adds that the cores in use can do, measured in the same run. GB/s counts each
    tensor of a kernel once.

    \b
    Example:
        dyno profile artifact --seconds 5 --top 10

    Exit codes: 0 shown; 2 bad input, or the artifact does not run here.
    """
    from modeldyno.runtime.tools.profiler import DEFAULT_REPEATS, profile

    if repeat is not None and seconds is not None:
        raise click.UsageError("give --repeat or --seconds, not both")
    result = profile(
        artifact,
        threads=threads,
        repeats=repeat or DEFAULT_REPEATS,
        seconds=seconds,
        bucket=_sizes(bucket),
    )
    if as_json:
        console.print_json(result.model_dump(mode="json"))
        return
    console.print_table(COLUMNS, table_rows(result, top), right=COLUMNS[1:])
    click.echo()
    for line in footnotes(result):
        click.echo(line)


def _sizes(bucket: str | None) -> tuple[int, ...] | None:
    if bucket is None:
        return None
    parts = bucket.split("x")
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise ConfigError(f"--bucket {bucket}: expected sizes such as 8 or 8x128; `dyno inspect` lists them")
    return tuple(map(int, parts))


def table_rows(result: Profile, top: int) -> list[Row]:
    """Rows of the table: the slowest kernels, the others in one, what is outside, and the total."""
    shown, rest = result.kernels[:top], result.kernels[top:]
    rows = [_kernel_row(kernel) for kernel in shown]
    if rest:
        ms = sum(kernel.p50_ms for kernel in rest)
        calls = sum(kernel.calls for kernel in rest)
        rows.append(_row(f"{len(rest)} other kernels", calls, ms, result, _gflop(rest)))
    rows.append(_row("outside kernels", None, result.outside_kernels_ms, result, None))
    calls = sum(kernel.calls for kernel in result.kernels)
    rows.append(_row("total", calls, result.total_p50_ms, result, _gflop(result.kernels)))
    return rows


def footnotes(result: Profile) -> list[str]:
    """Say how the numbers were taken, and what they are worth."""
    half = f"half of them within {result.total_p25_ms:.3f} to {result.total_p75_ms:.3f} ms"
    lines = [
        f"{result.model} for {result.target}, {result.threads} thread(s) on {result.cpu_model}",
        f"total: median of {result.repeats} inferences, {half}",
    ]
    if result.core_peak_gflop_per_s is None:
        lines.append("peak: unknown (the artifact has no peak function; compile the model again)")
    else:
        each = f"{result.core_peak_gflop_per_s:.1f} GFLOP/s float32 a core, measured in this run"
        median = f"best call; median {result.core_peak_p50_gflop_per_s:.1f}"
        lines.append(f"peak: {each} ({median}), times {result.peak_cores} core(s)")
    lines.append(
        f"observed inferences: {result.observed_total_p50_ms:.3f} ms; "
        f"about {result.observer_us_per_call:.1f} us were taken off each kernel's call for the observing"
    )
    builtins = [
        f"{builtin.name} {builtin.calls} calls {builtin.p50_ms:.3f} ms" for builtin in result.builtins
    ]
    if builtins:
        lines.append(f"outside kernels: copies in and out, the VM, and {', '.join(builtins)}")
    if result.outside_kernels_ms < 0:
        lines.append(
            "the kernels add up to more than the total: other load disturbed this run; try more --repeat"
        )
    if any(kernel.kind == "winograd" for kernel in result.kernels):
        lines.append(
            "winograd: GFLOP are those of the convolution as the model defines it; the kernel does 2 to 4 "
            "times fewer, so its share of the peak can be above 100 %"
        )
    if any(kernel.gflop is None for kernel in result.kernels):
        lines.append("-: not known of this kernel")
    return lines


def _kernel_row(kernel: KernelTime) -> Row:
    return (
        kernel.name,
        str(kernel.calls),
        f"{kernel.p50_ms:.3f}",
        _number(kernel.share_of_total * 100),
        _number(kernel.gflop, 4),
        _number(kernel.gflop_per_s),
        _number(None if kernel.share_of_peak is None else kernel.share_of_peak * 100),
        _number(kernel.gb_per_s),
    )


def _row(name: str, calls: int | None, ms: float, result: Profile, gflop: float | None) -> Row:
    rate = gflop / ms * 1e3 if gflop is not None and ms > 0 else None
    core = result.core_peak_gflop_per_s
    share = rate / (core * result.peak_cores) * 100 if rate is not None and core else None
    return (
        name,
        "" if calls is None else str(calls),
        f"{ms:.3f}",
        _number(ms / result.total_p50_ms * 100),
        *(("", "", "") if calls is None else (_number(gflop, 4), _number(rate), _number(share))),
        "",
    )


def _gflop(kernels: tuple[KernelTime, ...]) -> float | None:
    """Sum of what is known; None when nothing is."""
    known = [kernel.gflop for kernel in kernels if kernel.gflop is not None]
    return sum(known) if known else None


def _number(value: float | None, digits: int = 1) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if value else "0"
