"""Whether, and how, the requests of one model are joined: decided once, when it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modeldyno.base.rowflow.records import Verdict
from modeldyno.serving.dispatch.batch_check import decide
from modeldyno.serving.dispatch.batching import BatchLimits
from modeldyno.serving.dispatch.pool import WorkerPool


@dataclass(frozen=True)
class JoinOrder:
    """What the server was asked for; `given` is the user's word that rows are independent."""

    max_rows: int
    max_delay_ms: float = 0.0
    preferred: tuple[int, ...] = ()
    given: bool = False


@dataclass(frozen=True)
class Joining:
    """What came of it: limits, or the reason why requests are not joined; neither where nobody asked."""

    limits: BatchLimits | None = None
    refusal: str = ""
    reason: str = ""
    """Why rows are taken to be independent."""

    def line(self) -> str:
        """Say it in one line; nothing where nobody asked."""
        if self.limits is None:
            return f"no batching: {self.refusal}" if self.refusal else ""
        sizes = f", best {','.join(map(str, self.limits.preferred))}" if self.limits.preferred else ""
        return (
            f"batching: up to {self.limits.max_rows} rows{sizes}, a delay of "
            f"{self.limits.max_delay_s * 1000:g} ms at most; rows are independent: {self.reason}"
        )

    def facts(self) -> dict[str, Any]:
        """Say it as JSON, for the model's own address; nothing where nobody asked."""
        if self.limits is None:
            return {"batching": {"max_rows": 1, "refusal": self.refusal}} if self.refusal else {}
        told = {
            "max_rows": self.limits.max_rows,
            "max_delay_ms": self.limits.max_delay_s * 1000,
            "preferred_rows": list(self.limits.preferred),
            "reason": self.reason,
        }
        return {"batching": told}


def joining_of(pool: WorkerPool, order: JoinOrder, verdict: Verdict) -> Joining:
    """Decide for a loaded model, by what is proved of it and by a trial."""
    if order.max_rows == 1:
        return Joining()
    found = pool.run_on_each(lambda model: decide(model, verdict, given=order.given))[0]
    if found.refusal:
        return Joining(refusal=found.refusal)
    signature = pool.models[0].signature
    rows = min(order.max_rows, signature.most_rows or order.max_rows)
    if rows == 1:
        return Joining(refusal="the artifact is compiled for exact sizes, and 2 rows are not among them")
    sizes: Sequence[int] = order.preferred or signature.preferred_rows
    preferred = tuple(sorted(size for size in set(sizes) if size <= rows))
    limits = BatchLimits(rows, order.max_delay_ms / 1000, preferred, found.equal)
    return Joining(limits, reason=found.reason)
