"""Each candidate in a start of its own: does it come up and answer, how fast, in how much memory?

Memory and its limit are judged here: servers that run together may map the same weights, and count its pages
once each.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from modeldyno.base.clock import utc_now
from modeldyno.base.errors import LoadTestError, ServerError
from modeldyno.base.records.fields import Field
from modeldyno.base.records.record import Record
from modeldyno.base.units import BYTES_PER_MIB
from modeldyno.loadgen.server.signature import why_not_joined
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.loadgen.watch.looks import look
from modeldyno.loadgen.watch.processes import process_tree
from modeldyno.trials.measure.trial import log_tail
from modeldyno.trials.providers.base import Deployment, Order, Provider
from modeldyno.trials.rounds.turns import Place, Turns
from modeldyno.trials.selection.contenders import Contender, Lengths
from modeldyno.trials.selection.plan import too_slow

OUT_OF_MEMORY = "exceeded the"
"""In what a provider says of a server that the kernel killed for its memory."""
PROBE = BlockOrder(url="", requests=20, shortest_s=0.5, longest_s=20.0, dropped=1)


class Alone(Record):
    """What a candidate did in a start of its own."""

    key: str
    started_at: str
    seconds: float
    startup_s: float | None = None
    failure: str | None = Field(default=None, description="why it takes no part")
    server_log_tail: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    memory_mib: float | None = None
    shared_cores: int = Field(default=0, description="cores that server and generator share")
    request_s: dict[str, float] = Field(
        default_factory=dict, description="by cell: one over its requests a second"
    )
    left_out: dict[str, str] = Field(default_factory=dict, description="cells that are not measured, and why")
    too_small: dict[str, str] = Field(
        default_factory=dict, description="instance types whose memory it exceeded, and how it ended there"
    )


@dataclass
class _Seen:
    startup_s: float | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    memory_mib: float | None = None
    shared_cores: int = 0
    request_s: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def measure_alone(turns: Turns, contender: Contender, provider: Provider, lengths: Lengths) -> Alone:
    """Start a candidate in its shape, with its memory limit, and load it for a moment at each level."""
    started_at, began_s = utc_now(), time.monotonic()
    seen, failure, too_small = _Seen(), "", dict[str, str]()
    for order in (contender.order, *contender.larger):
        seen, failure = _tried(turns, contender, order, provider, lengths)
        if OUT_OF_MEMORY not in failure:
            break
        too_small[order.instance.instance_type] = failure
    if not failure and not seen.request_s:
        failure = "; ".join(seen.left_out.values()) or "it has no load level"
    return Alone(
        key=contender.key,
        started_at=started_at,
        seconds=round(time.monotonic() - began_s, 3),
        failure=failure or None,
        server_log_tail=log_tail(contender.order.log) if failure else "",
        too_small=too_small,
        **vars(seen),
    )


def _tried(
    turns: Turns, contender: Contender, order: Order, provider: Provider, lengths: Lengths
) -> tuple[_Seen, str]:
    """One start; what was seen, and how it failed if it did."""
    seen = _Seen()
    try:
        with provider.deploy(order) as deployment:
            _look_at(turns, contender, deployment, lengths, seen)
    except (ServerError, LoadTestError) as error:
        return seen, str(error)
    finally:
        turns.exchange({})
    return seen, ""


def _look_at(
    turns: Turns, contender: Contender, deployment: Deployment, lengths: Lengths, seen: _Seen
) -> None:
    seen.startup_s, seen.notes = round(deployment.startup_s, 3), deployment.notes
    seen.warnings = _not_as_set(contender, deployment.url)
    if deployment.cores and deployment.generator.cpus is None:
        seen.shared_cores = len(deployment.cores)
    turns.exchange({contender.key: deployment})
    order = replace(
        PROBE,
        shortest_s=max(PROBE.shortest_s, lengths.warmup_s / 2),
        longest_s=max(PROBE.longest_s, lengths.warmup_s),
        timeout_s=lengths.timeout_s,
    )
    for cell in contender.cells():
        taken = turns.take(cell, order, Place(-1, 0, 0))
        if not taken.block.whole:
            seen.left_out[cell.name] = f"no request was answered: {taken.first_error or 'none in time'}"
            continue
        request_s = taken.block.seconds / taken.block.requests
        if why := too_slow(request_s, lengths.longest_s):
            seen.left_out[cell.name] = why
        else:
            seen.request_s[cell.name] = request_s
        seen.memory_mib = max(seen.memory_mib or 0.0, _memory_mib(deployment) or 0.0) or None


def _not_as_set(contender: Contender, url: str) -> tuple[str, ...]:
    """Say where the server could not do what its settings say, by what it tells of its model."""
    if contender.order.candidate.settings.max_batch == 1:
        return ()
    reason = why_not_joined(url)
    return (f"its requests were not joined, whatever max_batch says: {reason}",) if reason else ()


def _memory_mib(deployment: Deployment) -> float | None:
    usage = deployment.usage
    if usage is None:
        return None
    processes = process_tree((usage.pid,))
    return look(processes, shares=True).memory_bytes / BYTES_PER_MIB if processes else None


def requests_s(found: Mapping[str, Alone]) -> dict[str, float]:
    """Of every cell that takes part, one over its requests a second."""
    return {
        cell: each for alone in found.values() if not alone.failure for cell, each in alone.request_s.items()
    }
