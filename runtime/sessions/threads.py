"""How many threads work inside one inference, and on which cores."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from modeldyno.base.errors import ConfigError
from modeldyno.base.host.facts import usable_cores
from modeldyno.runtime import tvm_light

# Modes of TVM's thread pool. Without pinning, its threads may each run on any of the given cores: which core
# is the kernel's business, since a server process is pinned from outside when it is to be pinned.
_ONE_CORE_EACH, _SHARE_CORES = -2, -3
_pool = threading.local()  # .threads: those of the calling thread's pool, whichever session made them


@dataclass(frozen=True)
class Threads:
    """`count` threads; with `cores`, each is pinned to one of these."""

    count: int
    cores: tuple[int, ...] = ()

    def configure(self) -> None:
        """Size TVM's pool, which each calling thread has one of its own of."""
        current = getattr(_pool, "threads", None)
        if current is self or current == self:
            return
        cores = [str(core) for core in self.cores or usable_cores()]
        mode = _ONE_CORE_EACH if self.cores else _SHARE_CORES
        tvm_light.load().get_global_func("runtime.config_threadpool")(mode, self.count, cores)
        _pool.threads = self


def chosen_threads(count: int | None, cores: Sequence[int] | None) -> Threads:
    """Take `count` threads, by default one for each of `cores`, or of the usable cores.

    Raises:
        ConfigError: a core that this process may not use, or fewer cores than threads.
    """
    pinned = _checked_cores(cores, count)
    return Threads(count or len(pinned or usable_cores()), pinned)


def _checked_cores(cores: Sequence[int] | None, count: int | None) -> tuple[int, ...]:
    """Give the cores to pin to; none where nothing is pinned."""
    if cores is None:
        return ()
    chosen, usable = tuple(dict.fromkeys(cores)), usable_cores()
    foreign = [core for core in chosen if core not in usable]
    if foreign or not chosen:
        named = f"core {foreign[0]} can't be used" if foreign else "no core is given"
        raise ConfigError(f"{named}; this process may run on {', '.join(map(str, usable))}")
    if count and count > len(chosen):
        raise ConfigError(f"{count} threads can't be pinned to {len(chosen)} core(s): one each")
    return chosen
