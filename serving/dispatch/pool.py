"""Worker threads, each with a model of its own, that keep inference off the event loop.

A queue of its own, since an executor's costs more than a small model: a lock and a condition for each job,
and a wake-up of the event loop for each answer. Here all answers that are there when the event loop comes
are handed over at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import Generic, TypeAlias, TypeVar, cast

from modeldyno.serving.models.base import ServedModel

T = TypeVar("T")
Done: TypeAlias = Callable[[T | None, Exception | None], None]
_Job = Callable[[], None]


class HungError(Exception):
    """A job of a worker that was left behind, as it took too long, has ended after all."""


class _Worker:
    """One thread: what it is at."""

    __slots__ = ("left", "loading", "since_s")

    def __init__(self) -> None:
        self.since_s: float | None = None
        """Since when it has been running its job, by time.monotonic; None while it has none."""
        self.loading = True
        self.left = False
        """Whether another has taken its place: it ends with its job, if that ever does."""


class WorkerPool:
    """`workers` threads. Making one loads every model, in the thread that will use it.

    A compiled model's own thread pool belongs to the thread that first runs it, hence the fixed pairs.
    """

    def __init__(self, load: Callable[[], ServedModel], workers: int) -> None:
        self.workers = workers
        self.after_job: Callable[[], None] | None = None
        """Called in the thread after each job."""
        self.failure: Exception | None = None
        """Why a worker could not be replaced."""
        self._load = load
        self._local = threading.local()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._answers: _Answers | None = None
        self._crew = [_Worker() for _ in range(workers)]
        self._left: list[_Worker] = []
        for number, worker in enumerate(self._crew):
            self._start_thread(self._work, number, worker)
        try:
            self.models = self._on_each(lambda: self._keep(load()))
        except BaseException:
            self.close()
            raise

    def stuck(self, limit_s: float) -> int:
        """Count the workers that take no jobs: they run one for longer than that, or are not loaded yet."""
        return sum(worker.loading for worker in self._crew) + len(self._hung(limit_s))

    def hung(self, limit_s: float) -> int:
        """Count the workers that have been running one job for longer."""
        return len(self._hung(limit_s))

    def replace_hung(self, limit_s: float, most: int) -> int:
        """Give those that run one job for longer a successor, while no more than `most` are left behind.

        A thread can't be ended: it stays until its job ends. Returns how many got one.
        """
        self._left = [worker for worker in self._left if worker.since_s is not None]
        replaced = 0
        for worker in self._hung(limit_s)[: max(0, most - len(self._left))]:
            worker.left = True
            if worker not in self._hung(limit_s):  # it came to an end just now
                worker.left = False
                continue
            self._left.append(worker)
            number = self._crew.index(worker)
            self._crew[number] = successor = _Worker()
            self._start_thread(self._replace, number, successor)
            replaced += 1
        return replaced

    def start(self, job: Callable[[ServedModel], T]) -> asyncio.Future[T]:
        """Have the first free worker run `job`; called on the event loop, which the result comes back to."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.submit(job, partial(settle, future))
        return future

    def submit(self, job: Callable[[ServedModel], T], done: Done[T]) -> None:
        """Like `start`, but call `done` on the event loop with the result, or else the error."""
        if self._answers is None:
            self._answers = _Answers(asyncio.get_running_loop())
        answers = self._answers

        def work() -> None:
            try:
                result = job(self._local.model)
                if self._local.worker.left:
                    raise HungError
            except Exception as error:
                answers.put(partial(done, None, error))
            except BaseException as error:  # it would end the event loop, and the requests of all others
                answers.put(partial(done, None, RuntimeError(f"{type(error).__name__}: {error}")))
            else:
                answers.put(partial(done, result, None))

        self._jobs.put(work)

    def run_on_each(self, job: Callable[[ServedModel], T]) -> list[T]:
        """Run `job` once on every worker at the same time, and wait."""
        return self._on_each(lambda: job(self._local.model))

    def close(self) -> None:
        """Let the threads end after what they have begun."""
        for _ in range(self.workers):
            self._jobs.put(None)

    def _start_thread(self, work: Callable[[_Worker], None], number: int, worker: _Worker) -> None:
        # Daemons: one that never ends must not keep the process from ending.
        threading.Thread(target=work, args=(worker,), name=f"inference-{number}", daemon=True).start()

    def _work(self, worker: _Worker) -> None:
        self._local.worker = worker
        while (job := self._jobs.get()) is not None:
            worker.since_s = monotonic()
            job()
            del job  # else its request's body is kept until the next comes
            if self.after_job is not None:
                self.after_job()
            worker.since_s = None
            if worker.left:
                return
        if (model := getattr(self._local, "model", None)) is not None:
            model.close()

    def _replace(self, worker: _Worker) -> None:
        try:
            model = self._keep(self._load(), worker)
            model.warm_up()
        except Exception as error:
            self.failure = error
        else:
            self._work(worker)

    def _hung(self, limit_s: float) -> list[_Worker]:
        began_s = monotonic() - limit_s
        return [worker for worker in self._crew if worker.since_s is not None and worker.since_s < began_s]

    def _keep(self, model: ServedModel, worker: _Worker | None = None) -> ServedModel:
        self._local.model = model
        (worker or self._local.worker).loading = False
        return model

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
    """Brings calls from the threads to the event loop, which is woken once for several."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def put(self, call: Callable[[], None]) -> None:
        """Have the event loop make `call`; from any thread."""
        with self._lock:
            self._ready.append(call)
            first = len(self._ready) == 1
        if first:
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            ready, self._ready = self._ready, []
        for call in ready:
            call()


def settle(future: asyncio.Future[T], result: T | None, error: Exception | None) -> None:
    """Give a future its result, or else its error."""
    if future.done():  # its request is gone
        return
    if error is None:
        future.set_result(cast("T", result))
    elif isinstance(error, StopIteration):  # a future takes anything but this
        future.set_exception(RuntimeError(f"StopIteration: {error}"))
    else:
        future.set_exception(error)
