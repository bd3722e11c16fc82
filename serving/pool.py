"""Worker threads, each with a backend of its own, that keep inference off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from serving.backends import Backend

T = TypeVar("T")


class WorkerPool:
    """`workers` threads. Making one loads every backend, in the thread that will use it.

    A compiled model's own thread pool belongs to the thread that first runs it, hence the fixed pairs.
    """

    def __init__(self, load: Callable[[], Backend], workers: int) -> None:
        self.workers = workers
        self._local = threading.local()
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="inference")
        self.backends = self._on_each(lambda: self._keep(load()))

    async def run(self, job: Callable[[Backend], T]) -> T:
        """Run `job` on the first free worker."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._call, job)

    def run_on_each(self, job: Callable[[Backend], T]) -> list[T]:
        """Run `job` once on every worker at the same time, and wait."""
        return self._on_each(lambda: self._call(job))

    def close(self) -> None:
        """Let the threads end after what they have begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _keep(self, backend: Backend) -> Backend:
        self._local.backend = backend
        return backend

    def _call(self, job: Callable[[Backend], T]) -> T:
        return job(self._local.backend)

    def _on_each(self, job: Callable[[], T]) -> list[T]:
        # Nobody passes the barrier before all are there, so no thread takes two of the jobs.
        barrier = threading.Barrier(self.workers)

        def meet_and_run() -> T:
            barrier.wait()
            return job()

        futures = [self._executor.submit(meet_and_run) for _ in range(self.workers)]
        return [future.result() for future in futures]
