"""How late the event loop was within one block; as loadgen.generator.meter, but asleep between blocks."""

from __future__ import annotations

import gevent

from modeldyno.loadgen.generator.meter import EVERY_NS, EVERY_S
from modeldyno.loadgen.generator.wire.sender import now_ns


class BlockLag:
    """Asks to be woken every 10 ms, and notes when it was due and when it was woken."""

    def __init__(self) -> None:
        self._ticks: list[tuple[int, int]] = []
        self._due_ns = now_ns() + EVERY_NS
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """End."""
        self._greenlet.kill(block=False)

    def worst_ns(self, begin_ns: int, end_ns: int) -> int:
        """How late it was at worst within a window; the tick that is overdue at its end counts so far."""
        ticks = [*self._ticks, (self._due_ns, end_ns)]
        late = (min(woken_ns, end_ns) - max(due_ns, begin_ns) for due_ns, woken_ns in ticks)
        return max(0, *late)

    def _run(self) -> None:
        while True:
            self._due_ns = now_ns() + EVERY_NS
            gevent.sleep(EVERY_S)
            self._ticks.append((self._due_ns, now_ns()))
