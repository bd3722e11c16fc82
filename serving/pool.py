"""Worker threads, each with a backend of its own, that keep inference off the event loop.

A queue of its own, since an executor's costs more than a small model: a lock and a condition for each job,
and a wake-up of the event loop for each answer. Here all answers that are there when the event loop comes
are handed over at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from serving.backends import Backend

T = TypeVar("T")
_Job = Callable[[], None]


class WorkerPool:
    """`workers` threads. Making one loads every backend, in the thread that will use it.

    A compiled model's own thread pool belongs to the thread that first runs it, hence the fixed pairs.
    """

    def __init__(self, load: Callable[[], Backend], workers: int) -> None:
        self.workers = workers
        self._local = threading.local()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._answers: _Answers | None = None
        for number in range(workers):
            # Daemons: one that never ends must not keep the process from ending.
            threading.Thread(target=self._work, name=f"inference-{number}", daemon=True).start()
        try:
            self.backends = self._on_each(lambda: self._keep(load()))
        except BaseException:
            self.close()
            raise

    def start(self, job: Callable[[Backend], T]) -> asyncio.Future[T]:
        """Have the first free worker run `job`; called on the event loop, which the result comes back to."""
        if self._answers is None:
            self._answers = _Answers(asyncio.get_running_loop())
        answers = self._answers
        future: asyncio.Future[T] = answers.loop.create_future()

        def work() -> None:
            if future.cancelled():  # its request is gone
                return
            try:
                result = job(self._local.backend)
            except Exception as error:
                answers.put(future, None, error)
            except BaseException as error:  # it would end the event loop, and the requests of all others
                answers.put(future, None, RuntimeError(f"{type(error).__name__}: {error}"))
            else:
                answers.put(future, result, None)

        self._jobs.put(work)
        return future

    def run_on_each(self, job: Callable[[Backend], T]) -> list[T]:
        """Run `job` once on every worker at the same time, and wait."""
        return self._on_each(lambda: job(self._local.backend))

    def close(self) -> None:
        """Let the threads end after what they have begun."""
        for _ in range(self.workers):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # else its request's body is kept until the next comes

    def _keep(self, backend: Backend) -> Backend:
        self._local.backend = backend
        return backend

    def _on_each(self, job: Callable[[], T]) -> list[T]:
        # Nobody passes the barrier before all are there, so no thread takes two of the jobs.
        barrier = threading.Barrier(self.workers)
        pending = [_Once(job, barrier) for _ in range(self.workers)]
        for one in pending:
            self._jobs.put(one)
        return [one.future.result() for one in pending]


class _Once(Generic[T]):
    """One job for one thread, begun when all threads have theirs."""

    def __init__(self, job: Callable[[], T], barrier: threading.Barrier) -> None:
        self.future: Future[T] = Future()
        self._job, self._barrier = job, barrier

    def __call__(self) -> None:
        self._barrier.wait()
        try:
            self.future.set_result(self._job())
        except BaseException as error:
            self.future.set_exception(error)


class _Answers:
    """Brings results from the threads to the futures of the event loop, which is woken once for several."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ready: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._lock = threading.Lock()
        self._woken = False

    def put(self, future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
        """Hand over one result, from any thread."""
        with self._lock:
            self._ready.append((future, result, error))
            wake = not self._woken
            self._woken = True
        if wake:
            self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            ready, self._ready = self._ready, deque()
            self._woken = False
        for future, result, error in ready:
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):  # a future takes anything but this
                future.set_exception(RuntimeError(f"StopIteration: {error}"))
            else:
                future.set_exception(error)
