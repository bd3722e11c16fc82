"""What a standing generator is asked for, block by block, and what it gives back; plain records."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class BlockOrder:
    """One closed loop against one server, for a moment.

    Each user sends `dropped` requests that are not counted. When the last of these has ended, the window
    begins; it ends with the answer that makes it `shortest_s` long and `requests` full, or after `longest_s`.
    Requests that end in the window count. Those in flight at its end are waited for and not counted: the
    block leaves an idle server. After 20 failures without a success between them, and a second without one,
    the block ends as well.
    """

    url: str
    users: int = 1
    requests: int = 20
    """Counted ones, at least."""
    shortest_s: float = 0.25
    longest_s: float = 30.0
    dropped: int = 2
    """First requests of each user."""
    timeout_s: float = 30.0
    """A request that takes longer is an error."""
    seed: int = 0
    """Draws the bodies: equal seeds send equal bodies."""
    cpus: tuple[int, ...] = ()
    """Cores that the generator is pinned to for this block; empty: all that it may use."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockTaken:
    """What one block gave."""

    start_ns: int
    """Begin of the window on the clock that all processes share (time.monotonic_ns)."""
    seconds: float
    """From the begin of the window to the last answer that counts; 0 where none does."""
    latency_us: Ints = field(repr=False)
    """Of the counted requests, in the order in which they ended."""
    errors: int = 0
    """Requests of the window that failed."""
    first_error: str = ""
    """Of the window; where nothing succeeded in it, of the block."""
    sent: int = 0
    """All requests of the block that got an answer, dropped ones and those after the window included."""
    whole_s: float = 0.0
    """From the first request to the last answer, dropped ones and those after the window included."""
    lag_ms: float = 0.0
    """How late the generator's event loop was at worst, within the window; it is looked at every 10 ms."""
    generator_cpu_s: float = 0.0
    """CPU time of the generator's process, within `whole_s`."""
    full: bool = True
    """Whether the window ended by its own rule, and not by `longest_s`, errors or a dead server."""
