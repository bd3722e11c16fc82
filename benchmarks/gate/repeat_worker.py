"""Profile an artifact of which one kernel is called again: python -m benchmarks.gate.repeat_worker ARTIFACT.

With --kernel NAME --longer-ms T it is called again, with the same arguments, until it takes so much longer in
each inference. The profile is printed as JSON.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from modeldyno.runtime.sessions.whole import Observer, WholeSession
from modeldyno.runtime.tools.profiler import profile


class Repeater:
    """Calls one kernel again behind each of its calls, before an observer sees that end."""

    def __init__(self, kernel: str, longer_ms: float, calls: int) -> None:
        self._kernel, self._longer_ns = kernel, 1e6 * longer_ms / calls
        self.observer: Observer | None = None

    def __call__(self, function: Any, name: str, before: bool, result: Any, *arguments: Any) -> None:
        """What the VM calls before and after each call."""
        if not before and name == self._kernel:
            began = time.perf_counter_ns()
            while time.perf_counter_ns() - began < self._longer_ns:
                function(*arguments)
        if self.observer is not None:
            self.observer(function, name, before, result, *arguments)


def install(repeater: Repeater) -> None:
    """Let it stand between every session of this process and its observer, and where there is none."""
    original = WholeSession.instrument

    def instrument(session: WholeSession, observer: Observer | None) -> None:
        repeater.observer = observer
        original(session, repeater)

    setattr(WholeSession, "instrument", instrument)  # noqa: B010 - a method is replaced on purpose
    run = WholeSession.run

    def first_run(session: WholeSession, *arguments: Any, **named: Any) -> Any:
        if session._observer is None:
            instrument(session, None)
        return run(session, *arguments, **named)

    setattr(WholeSession, "run", first_run)  # noqa: B010


def main() -> None:
    """Print the profile."""
    parser = argparse.ArgumentParser(prog="benchmarks.gate.repeat_worker")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--kernel")
    parser.add_argument("--longer-ms", type=float, default=0.0)
    parser.add_argument("--calls", type=int, default=1, help="of the kernel in one inference")
    parser.add_argument("--inferences", type=int, default=50)
    args = parser.parse_args()
    # Without a kernel it stands there as well: what it costs is on both sides.
    install(Repeater(args.kernel or "", args.longer_ms, args.calls))
    print(profile(args.artifact, threads=1, repeats=args.inferences).model_dump_json())


if __name__ == "__main__":
    main()
