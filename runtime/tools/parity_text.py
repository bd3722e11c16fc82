"""What a parity check found, in words: for `dyno compile`, `dyno verify` and `dyno inspect`."""

from __future__ import annotations

from modeldyno.runtime.records.parity import Parity, ParityReport, ParitySample


def parity_lines(report: ParityReport) -> list[str]:
    """Say for a person what was found of each output, what is not decided, and on which samples."""
    where = "" if report.ran_on == "this machine" else f" ({report.ran_on})"
    lines = []
    for row in report.outputs:
        lines.append(
            f"parity of {row.output} with {report.reference}: max abs {row.max_abs:.1e}, max rel "
            f"{row.max_rel:.1e}, cosine {row.cosine:.7f}{where}"
        )
        if row.not_finite:
            lines.append(
                f"  {row.not_finite:.1%} of its values are NaN or infinite in both, and compare nothing"
            )
    given = [f"as given: {text}" for text in given_lines(report)]
    return [*lines, *undecided_lines(report), *given, *sample_lines(report)]


def given_lines(report: ParityReport) -> list[str]:
    """Say how far the outputs are from the file as it was given, where that is in other numbers."""
    if report.given_unknown:
        return [f"how far the outputs are from the file as it was given is not known: {report.given_unknown}"]
    tolerance = report.given_tolerance
    judged = "not judged" if tolerance is None else f"allowed {tolerance:.0e}"
    return [
        f"{row.output}: max rel {row.max_rel:.1e}, cosine {row.cosine:.5f} from the file in its own numbers "
        f"({judged})"
        for row in report.given
    ]


def undecided_lines(report: ParityReport | None) -> list[str]:
    """Say which outputs the check does not decide; nothing where it decides all."""
    return [
        f"parity of {row.output}: not decided: the source model's own output changes by {_delta(row)} when "
        "its inputs move by one unit in the last place, more than the tolerance; the artifact is kept"
        for row in (report.outputs if report else ())
        if not row.decided
    ]


def allowed_words(row: Parity, report: ParityReport) -> str:
    """Word how far off an output may be."""
    tolerance = report.tolerance_max_rel if row.tolerance is None else row.tolerance
    return f"{tolerance:.0e}" + (f" + 8 x {row.delta:.1e} abs" if row.delta else "")


def sample_lines(report: ParityReport) -> list[str]:
    """Say on which samples outputs were compared, each with its share of the accepted difference."""
    if not report.samples:
        return []
    files = sum(sample.kind == "file" for sample in report.samples)
    lines = [f"checked on {', '.join(map(_sample, report.samples))} (share of the accepted difference)"]
    if report.not_run:
        lines.append(
            f"not checked on: {', '.join(report.not_run)} (no time left, or the source model refuses them)"
        )
    return [*lines, f"{files} of them are your own inputs"] if files else lines


def _sample(sample: ParitySample) -> str:
    name = " ".join(filter(None, (sample.file or sample.kind, sample.shapes)))
    if sample.refused:
        return f"{name} refused by both"
    found = f"{name} {sample.share:.2g}"
    redrawn = f", drawn {sample.redrawn + 1} times" if sample.redrawn else ""
    return f"{found}{redrawn}" + (f", {', '.join(sample.undecided)} not decided" if sample.undecided else "")


def _delta(row: Parity) -> str:
    return "an unbounded amount" if row.delta is None else f"{row.delta:.1e}"
