"""What compiling gave: how much of the model, how it came in, its parity, its kernels."""

from __future__ import annotations

from dataclasses import dataclass

from modeldyno.base.records.compiling import CompileSummary
from modeldyno.base.units import percent, short_duration
from modeldyno.reports.results.run_folder import Run
from modeldyno.reports.text import phrases
from modeldyno.reports.text.digits import plain, share
from modeldyno.runtime.records.manifest import Manifest

Facts = tuple[tuple[str, str], ...]
MOST_KERNELS = 12
OPTIONS = {
    "winograd": "Winograd convolutions",
    "tolerance": "accepted difference, beside rounding",
    "tune_s": "seconds to tune in",
    "tuning_records": "earlier tuning used",
    "fallback": "fallback",
    "min_compiled": "least share of FLOPs compiled",
}


@dataclass(frozen=True)
class Kernel:
    """One kernel: `amount` is its time where a profile is there, else its operations."""

    name: str
    kind: str
    calls: str
    amount: str
    share: str


@dataclass(frozen=True)
class Kernels:
    """The kernels that take the most, and what `amount` counts."""

    title: str
    unit: str
    rows: tuple[Kernel, ...]
    left_out: int


def compiled(run: Run) -> Facts:
    """Word the record of the compile; empty where nothing was compiled."""
    summary = run.recommendation.compiled
    if summary is None:
        return ()
    return (
        ("target", summary.target),
        *_shares(summary),
        *_import(run.manifest),
        *_options(summary.options),
        *((("kernels", summary.tuning),) if summary.tuning else ()),
        ("compile time", short_duration(summary.seconds)),
        *_parity(summary, run.manifest),
    )


def kernels(run: Run) -> Kernels | None:
    """List the kernels by time where `profile.json` is in the run folder, else by operations."""
    if run.profile is not None:
        timed = sorted(run.profile.kernels, key=lambda one: -one.p50_ms)
        rows = [
            Kernel(
                one.name,
                one.kind or "",
                str(one.calls),
                plain(one.p50_ms),
                share(min(1.0, one.share_of_total)),
            )
            for one in timed
        ]
        return Kernels("Kernels by time", "ms", tuple(rows[:MOST_KERNELS]), max(0, len(rows) - MOST_KERNELS))
    if run.manifest is None:
        return None
    counted = [(one, one.calls * (one.flops or 0)) for one in run.manifest.kernels]
    total = sum(flops for _, flops in counted)
    if not total:
        return None
    ordered = sorted(counted, key=lambda pair: (-pair[1], pair[0].name))
    rows = [
        Kernel(one.name, one.kind, str(one.calls), plain(flops / 1e6), share(flops / total))
        for one, flops in ordered
        if flops
    ]
    title = "Kernels by operations"
    return Kernels(title, "million", tuple(rows[:MOST_KERNELS]), max(0, len(rows) - MOST_KERNELS))


def shapes(summary: CompileSummary | None) -> tuple[tuple[str, str, str], ...]:
    """Word each shape that was compiled: its sizes, ms of a full run, share of padding at worst."""
    return tuple(
        (one.sizes, plain(one.p50_ms), share(one.padding_share) if one.padding_share else "none")
        for one in (summary.shapes if summary else ())
    )


def _shares(facts: CompileSummary) -> Facts:
    """How much is compiled; nothing where the record does not say."""
    if facts.operators_share is None:
        return ()
    of_flops = "not known" if facts.flops_share is None else percent(facts.flops_share)
    shares = (("operators compiled", percent(facts.operators_share)), ("FLOPs compiled", of_flops))
    return (*shares, ("run in ONNX Runtime", ", ".join(facts.fallback))) if facts.fallback else shares


def _import(manifest: Manifest | None) -> Facts:
    if manifest is None or manifest.road is None:
        return ()
    reason = f": {manifest.road.reason}" if manifest.road.reason else ""
    return (("import path", phrases.log_text(f"{manifest.road.name}{reason}")),)


def _options(chosen: dict[str, str]) -> Facts:
    """Word what was chosen; the target stands above with its full name."""
    return tuple((OPTIONS.get(name, name), value) for name, value in chosen.items() if name != "target")


def _parity(summary: CompileSummary, manifest: Manifest | None) -> Facts:
    """How far its outputs are from the source model's."""
    reference = manifest.parity.reference if manifest is not None and manifest.parity is not None else ""
    return (
        *((("outputs compared with", reference),) if reference else ()),
        ("largest absolute difference", f"{summary.max_abs:.3g}"),
        ("largest relative difference", f"{summary.max_rel:.3g} (of the largest expected value)"),
        ("cosine similarity", f"{summary.cosine:.7f}"),
        *((("compared on inputs of the kinds", ", ".join(summary.samples)),) if summary.samples else ()),
        *((("not decided by the check", ", ".join(summary.undecided)),) if summary.undecided else ()),
    )
