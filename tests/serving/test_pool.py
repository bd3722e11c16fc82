"""The worker threads: what goes wrong in one job stays there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modeldyno.serving.dispatch.pool import WorkerPool
from modeldyno.serving.models.base import ServedModel
from tests.serving import models
from tests.serving.models import loaded


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WorkerPool]:
    backend = loaded(models.matmul(tmp_path / "m.onnx"), 1)
    pool = WorkerPool(lambda: backend, 2)
    yield pool
    pool.close()


def fails(error: BaseException) -> Callable[[ServedModel], str]:
    def job(_backend: ServedModel) -> str:
        raise error

    return job


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ValueError("a"), ValueError),
        (StopIteration("b"), RuntimeError),
        (SystemExit(3), RuntimeError),
        (KeyboardInterrupt(), RuntimeError),
    ],
)
def test_an_error_of_whatever_kind_goes_to_who_asked_and_the_pool_goes_on(
    pool: WorkerPool, error: BaseException, found: type[Exception]
) -> None:
    async def ask() -> list[object]:
        jobs = [fails(error), lambda model: model.signature.engine] * 4
        return list(await asyncio.gather(*map(pool.start, jobs), return_exceptions=True))

    answers = asyncio.run(ask())
    assert [type(answer) for answer in answers] == [found, str] * 4


def test_an_answer_that_nobody_waits_for_any_more_stops_nothing(pool: WorkerPool) -> None:
    async def ask() -> str:
        gone = pool.start(lambda model: model.signature.engine)
        gone.cancel()
        return await pool.start(lambda model: model.signature.engine)

    assert asyncio.run(ask()) == "onnxruntime"


def test_a_backend_that_can_not_be_loaded_ends_the_threads_and_says_why() -> None:
    def load() -> ServedModel:
        raise LookupError("no model")

    with pytest.raises(LookupError, match="no model"):
        WorkerPool(load, 2)
