"""What of a side is certain without measuring: sizes, what is compiled, and what the parity check found."""

from __future__ import annotations

from dataclasses import dataclass

from modeldyno.gate.sides.record import Side
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.records.manifest_file import read_manifest
from modeldyno.runtime.records.parity import Parity, ParityReport


@dataclass(frozen=True)
class ParityFacts:
    """The largest difference of an output from the source model's, as a share of that output's largest value.

    within: whether every sample lies within what is accepted; None where nothing was compared.
    words: the tolerance, or why nothing was compared.
    """

    max_rel: float | None
    within: bool | None
    words: str


@dataclass(frozen=True)
class Facts:
    """None: it has none, since nothing of it is compiled, or an older version compiled it."""

    bytes: int | None = None
    compiled_share: float | None = None
    compiled_flops_share: float | None = None
    fallback_operators: int | None = None
    parity: ParityFacts | None = None


def facts_of(side: Side) -> Facts:
    """Read what is certain of a side: of an artifact all, of what is served as it is the size of its files.

    Raises:
        ArtifactError: the artifact is damaged.
    """
    if side.kind == "artifact" and side.path is not None:
        return facts_of_manifest(read_manifest(side.path))
    return Facts(bytes=side.content.bytes if side.content and side.served else None)


def facts_of_manifest(manifest: Manifest) -> Facts:
    """Give what a manifest says; the size is that of code and weights, since its own hangs on times in it."""
    coverage = manifest.coverage
    return Facts(
        bytes=manifest.bytes,
        compiled_share=coverage.operators_share if coverage else None,
        compiled_flops_share=coverage.flops_share if coverage else None,
        fallback_operators=len(coverage.fallback) if coverage else None,
        parity=_parity(manifest.parity, manifest.parity_skipped),
    )


def _parity(report: ParityReport | None, skipped: str) -> ParityFacts:
    if report is None:
        return ParityFacts(None, None, f"not checked: {skipped}" if skipped else "not checked")
    largest = max((row.max_rel for row in report.outputs), default=0.0)
    within = all(map(_row_within, report.outputs)) and all(
        sample.share <= 1 or sample.output in sample.undecided for sample in report.samples
    )
    return ParityFacts(largest, within, f"tolerance {report.tolerance_max_rel:g}")


def _row_within(row: Parity) -> bool:
    """Whether max |a - b| <= tolerance x max |b| + 8 delta, or no difference decides anything."""
    if row.tolerance is None or not row.decided or row.max_rel <= row.tolerance:
        return True
    largest = row.max_abs / row.max_rel if row.max_rel else 0.0
    return row.max_abs <= row.tolerance * largest + 8 * (row.delta or 0.0)
