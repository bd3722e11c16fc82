"""Options of `dyno load` on answers: which count as success, and where redirects lead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from modeldyno.base.settings import Setting


def _statuses(text: str) -> tuple[int, ...]:
    from modeldyno.loadgen.spec.expected import parse_statuses

    return parse_statuses(text)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What an answer must be."""

    follow_redirects: Annotated[
        bool,
        Setting(
            "Send a request again where its answer leads (301, 302, 307, 308); all of it is its latency."
        ),
    ] = False
    expect_status: Annotated[
        tuple[int, ...],
        Setting("Statuses that count as success, e.g. 200,404.", absent="each 2xx", parse=_statuses),
    ] = ()
    expect_json: Annotated[
        tuple[str, ...],
        Setting(
            "An answer is an error unless its JSON has this value there (numbers to 1e-6), or, without "
            "a value, anything.",
            metavar="PATH[=VALUE]",
        ),
    ] = ()
    expect_body: Annotated[
        str | None, Setting("An answer is an error unless it holds this text.", metavar="TEXT")
    ] = None
