"""A gate as one HTML file that loads nothing: the answer, both sides drawn over each other, the method."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from modeldyno.base.records.gate import GateMetric, GateRecord, GateSide
from modeldyno.base.units import short_duration
from modeldyno.gate.show import words
from modeldyno.gate.show.charts import change_chart, latencies, overlay_chart, overlay_finding
from modeldyno.gate.show.console import kernel_times
from modeldyno.reports.page.page import keep_together
from modeldyno.reports.text.digits import MISSING, count, plain, share
from modeldyno.reports.text.phrases import log_text, moment

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MetricCard:
    """One metric as the page shows it."""

    title: str
    verdict: str
    kind: str
    text: str
    baseline: str
    candidate: str
    change: str
    limit: str
    floor: str
    smallest: str
    pairs: str


@dataclass(frozen=True)
class Percentiles:
    """One row of the table beside the overlay."""

    side: str
    requests: str
    values: tuple[str, ...]


SHARES = (0.5, 0.9, 0.95, 0.99)


def render(record: GateRecord) -> str:
    """Return the page; the same record gives the same bytes.

    Raises:
        ConfigError: a histogram of the record is damaged.
    """
    sides = latencies(record)
    warnings = words.warnings(record)
    template = _templates().get_template("gate.html.j2")
    return template.render(
        record=record,
        kind={"regression": "none", "inconclusive": "open"}.get(record.verdict, ""),
        verdict=words.VERDICTS[record.verdict],
        pair=words.pair(record),
        made_at=moment(record.created_at),
        host=f"{record.host.cpu_model}, {count(record.host.usable_cores, 'core')}",
        differ=words.outputs_differ(record),
        found=words.found(record),
        measured=words.measured(record),
        metrics=[_card(record, each) for each in record.metrics],
        first_warnings=[(each.rank, words.warning(each)) for each in warnings[: words.MOST_WARNINGS]],
        more_warnings=[(each.rank, words.warning(each)) for each in warnings[words.MOST_WARNINGS :]],
        change=change_chart(record),
        overlay=overlay_chart(sides),
        finding=overlay_finding(sides) if sides else "",
        percentiles=[
            Percentiles(one.name, f"{one.count:,}", tuple(plain(one.quantile(part)) for part in SHARES))
            for one in sides
        ],
        shares=[f"p{100 * part:g}" for part in SHARES],
        kernels=[(each.name, kernel_times(each), share(each.share)) for each in record.kernels],
        sides=[("Baseline", _side(record.baseline)), ("Candidate", _side(record.candidate))],
        method=_method(record),
    )


def _card(record: GateRecord, metric: GateMetric) -> MetricCard:
    verdict, said = words.verdict(record, metric), words.said(record, metric)
    other = "tie" if said == words.VERDICTS[verdict] else "base"
    return MetricCard(
        title=words.title(metric),
        verdict=said,
        kind={"regression": "bad", "inconclusive": "warn"}.get(verdict, other),
        text=metric.text,
        baseline=words.value(metric, metric.baseline),
        candidate=words.value(metric, metric.candidate),
        change=words.change(metric),
        limit=words.limit(metric),
        floor=MISSING if metric.ignore_below is None else f"{100 * metric.ignore_below:g} %",
        smallest=share(metric.smallest_found),
        pairs=str(metric.pairs) if metric.pairs else MISSING,
    )


def _side(side: GateSide) -> Facts:
    facts = [
        ("named", side.reference),
        ("what", f"{side.kind} {side.detail}".strip()),
        ("digest", side.digest),
    ]
    if side.starts:
        facts.append(("servers measured", str(side.starts)))
    if side.startup_s:
        facts.append(("start-up", ", ".join(short_duration(each) for each in side.startup_s)))
    facts += [("requests", f"{side.requests:,}"), ("failed", f"{side.errors:,}")]
    if side.memory_mib is not None:
        facts.append(("highest memory", f"{side.memory_mib:,.0f} MiB"))
    return tuple(facts)


def _method(record: GateRecord) -> Facts:
    how = record.load
    facts = [
        ("load", words.load(record)),
        ("took", f"{short_duration(record.seconds)} of at most {short_duration(how.budget_s)} of measuring"),
        ("certainty", f"a wrong regression, and a wrong pass, at most {share(how.alpha)} of the time each"),
    ]
    if record.measured:
        facts.append(("pairs", f"{record.pairs:,} judged, {record.pairs_dropped:,} dropped"))
        facts += [(f"dropped for {why}", str(number)) for why, number in sorted(record.dropped_for.items())]
        spread = "not known" if record.between_starts is None else share(record.between_starts)
        facts.append(("starts differ by", f"{spread} (standard deviation, of {record.epochs} of each side)"))
    if record.outputs is not None:
        facts.append(("answers", f"{count(record.outputs.bodies, 'request')} to both: {record.outputs.text}"))
    facts.append(("seed", str(how.seed)))
    facts += [(name, version) for name, version in sorted(record.host.packages.items())]
    return tuple(facts)


def _templates() -> Environment:
    loaders = [
        PackageLoader("modeldyno.gate.show", "templates"),
        PackageLoader("modeldyno.reports.page", "templates"),
    ]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda found: log_text(found) if type(found) is str else found,
    )
    environment.filters["together"] = keep_together
    return environment
