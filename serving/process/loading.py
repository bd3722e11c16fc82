"""The models of one process: each loaded, run once, and put on the shelf."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from time import perf_counter

from modeldyno.base.command.console import say
from modeldyno.base.errors import ModelError
from modeldyno.base.host.facts import usable_cores
from modeldyno.base.rowflow.records import UNPROVED
from modeldyno.base.units import BYTES_PER_MIB
from modeldyno.serving.dispatch.admission import Queue
from modeldyno.serving.dispatch.batching import Batcher
from modeldyno.serving.dispatch.joining import Joining, JoinOrder, joining_of
from modeldyno.serving.dispatch.pool import WorkerPool
from modeldyno.serving.dispatch.shelf import Shelf, ShelvedModel
from modeldyno.serving.meters.board import Member
from modeldyno.serving.meters.metrics import Meters
from modeldyno.serving.meters.per_model import ModelMeter
from modeldyno.serving.models.loader import model_source
from modeldyno.serving.settings import NamedModel, ServeSettings


def load_shelf(settings: ServeSettings, threads: int, meters: Meters, member: Member) -> Shelf:
    """Load all models with `threads` threads inside one inference, and run each for the first time.

    Raises:
        ModelError, ArtifactError: one can't be loaded, or fails its first inference.
    """
    loaded: list[ShelvedModel] = []
    try:
        for number, named in enumerate(settings.models):
            meter = ModelMeter(meters, member, number)
            model = _loaded(named, settings, threads, meters=meters, meter=meter, member=member)
            loaded.append(model)
    except BaseException:
        Shelf(loaded).close()
        raise
    return Shelf(loaded)


def _loaded(
    named: NamedModel,
    settings: ServeSettings,
    threads: int,
    *,
    meters: Meters,
    meter: ModelMeter,
    member: Member,
) -> ShelvedModel:
    before_bytes = _resident_bytes()
    source = model_source(named.path, threads)
    # Before the model takes its memory: reading its graph takes some too.
    verdict = source.verdict() if settings.max_batch > 1 else UNPROVED
    say(
        f"loading {named.path} with workers: {settings.workers}, threads in each: {threads}, "
        f"cores: {','.join(map(str, usable_cores()))}"
    )
    started_s = perf_counter()
    pool = WorkerPool(source.loader(), settings.workers)
    try:
        engine = pool.models[0].signature.engine
        say(f"loaded with backend {engine} in {perf_counter() - started_s:.2f} s")
        warm_up(named.path, pool)
        joining = joining_of(pool, _order(settings), verdict)
    except BaseException:
        pool.close()
        raise
    if line := joining.line():
        say(line)
    memory_bytes = max(0, _resident_bytes() - before_bytes)
    facts = {
        "model": named.path.name,
        "backend": engine,
        "processes": str(len(member.board.rows)),
        "threads": str(threads),
        "workers": str(settings.workers),
    }
    meters.add_model(named.name, facts, memory_bytes)
    return ShelvedModel(
        named.name,
        pool,
        Queue(member.row, settings.max_waiting, pool.workers * _rows(joining)),
        joining,
        _batcher(pool, joining, meter),
        meter,
        max_body_bytes=settings.max_body_mib * BYTES_PER_MIB,
        timeout_s=None if settings.timeout_ms is None else settings.timeout_ms / 1000,
        memory_bytes=memory_bytes,
    )


def warm_up(path: Path, pool: WorkerPool) -> None:
    """Run inferences on zeros in every worker: one in each shape that is compiled, or of the smallest sizes.

    A model whose free sizes have no limits may need others than 1: that is said and no error.

    Raises:
        ModelError: a model of fixed shape fails.
    """
    started_s = perf_counter()
    signature = pool.models[0].signature
    try:
        count = pool.run_on_each(lambda model: model.warm_up())[0]
    except Exception as error:  # a model may raise anything, and none of it is a bug here
        message = f"{path} fails its first inference, on zeros: {error}"
        if all(None not in spec.shape or spec.limits for spec in signature.inputs):
            raise ModelError(message) from error
        say(f"no warm-up: {message}")
        return
    if not count:
        say(f"no warm-up: only its callers know what {signature.engine} takes")
        return
    each = f" in each of {count} compiled shapes" if count > 1 else ""
    say(f"first inference{each} in {(perf_counter() - started_s) * 1000:.1f} ms")


def _order(settings: ServeSettings) -> JoinOrder:
    return JoinOrder(
        settings.max_batch, settings.batch_delay_ms, settings.preferred_batch, settings.rows_independent
    )


def _rows(joining: Joining) -> int:
    return joining.limits.max_rows if joining.limits else 1


def _batcher(pool: WorkerPool, joining: Joining, meter: ModelMeter) -> Batcher | None:
    return Batcher(pool, joining.limits, meter.joined_inference) if joining.limits else None


def _resident_bytes() -> int:
    """Memory that this process has; 0 where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
