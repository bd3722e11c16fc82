"""Real servers that take turns: blocks, pauses, memory, and a window at a rate."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from modeldyno.base.host.facts import host_facts
from modeldyno.base.records.run import ServerSettings
from modeldyno.loadgen.payloads.body import JSON, Payload
from modeldyno.loadgen.payloads.files import single
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.loadgen.standing.generator import StandingGenerator
from modeldyno.trials.providers.base import Order
from modeldyno.trials.providers.here import local_provider, served
from modeldyno.trials.rounds.epochs import Start, epoch_of_servers
from modeldyno.trials.rounds.turns import Cell, Place, Turns
from modeldyno.trials.rounds.windows import WindowOrder, Windows
from tests.gate.live.servers import sleeper

PAYLOAD = Payload(b"[1.0, 2.0]", JSON)
CELLS = (Cell("one", "one"), Cell("other", "other"))
WARMUP = BlockOrder(url="", requests=5, shortest_s=0.1, dropped=1)


def start(folder: Path, *, failing: int = 0) -> Start:
    provider, shape = local_provider(host_facts(), None)
    paths = {"one": sleeper(folder / "one", 0.004), "other": sleeper(folder / "two", 0.004, failing=failing)}
    settings = served(ServerSettings(threads=1))
    orders = {
        name: Order(settings, shape, path, folder / f"{name}.log", 60.0) for name, path in paths.items()
    }
    return Start(provider, orders, CELLS, WARMUP)


@pytest.fixture(scope="module")
def generator() -> Iterator[StandingGenerator]:
    with StandingGenerator(PAYLOAD) as running:
        yield running


def stopped(pids: tuple[int, ...]) -> None:
    """A signal takes a moment until the process it stops is seen to be stopped."""
    end = time.monotonic() + 5
    while {psutil.Process(pid).status() for pid in pids} != {psutil.STATUS_STOPPED}:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_blocks_windows_and_a_pause(generator: StandingGenerator, tmp_path: Path) -> None:
    turns = Turns(generator)
    with epoch_of_servers(turns, start(tmp_path), 0) as epoch:
        assert set(epoch.servers) == {"one", "other"}
        assert not epoch.failed
        order = BlockOrder(url="", requests=10, shortest_s=0.1)
        taken = turns.take(CELLS[0], order, Place(3, 0, 1))
        block = taken.block
        assert (block.candidate, block.round, block.epoch, block.position) == ("one", 3, 0, 1)
        assert block.requests >= 10
        assert block.latency_us.min() >= 4000
        assert block.cpu_s is not None
        assert 0 < block.cpu_s < block.seconds
        assert block.readings.yardstick is not None
        assert (turns.memory_mib("one") or 0) > 20
        _at_a_rate(turns)
        turns.paused = frozenset(("one",))
        pausing = epoch.servers["one"].pausing
        assert pausing is not None
        pausing.pause()
        stopped(turns.pids["one"])
        used = turns.cpu_s("one")
        time.sleep(0.2)
        assert turns.cpu_s("one") == pytest.approx(used, abs=0.002)
        again = turns.take(CELLS[0], order, Place(4, 0, 0)).block
        assert again.requests >= 10
        stopped(turns.pids["one"])
        pausing.resume()
        pausing.resume()
    assert not turns.servers


def _at_a_rate(turns: Turns) -> None:
    windows = Windows(turns, single(PAYLOAD))
    order = WindowOrder(rate_rps=40, window_s=1.5, warmup_s=0.2)
    taken = windows.take(CELLS[1], order, Place(0, 0, 0))
    assert taken.full, taken.first_error
    assert 20 <= taken.block.requests <= 100
    assert taken.block.latency_us.min() >= 4000
    assert taken.block.seconds == pytest.approx(1.5)
    assert taken.block.cpu_s is not None
    assert taken.block.readings.void_load is not None
    assert taken.block.readings.foreign_cpu is not None


@pytest.mark.slow
def test_a_server_that_fails_every_request_is_no_part_of_an_epoch(
    generator: StandingGenerator, tmp_path: Path
) -> None:
    turns = Turns(generator)
    with epoch_of_servers(turns, start(tmp_path, failing=10), 0) as epoch:
        assert set(epoch.servers) == {"one"}
        assert epoch.failed["other"].startswith("no request was answered")


@pytest.mark.slow
def test_a_server_answers_after_a_pause_of_a_minute(generator: StandingGenerator, tmp_path: Path) -> None:
    turns = Turns(generator)
    with epoch_of_servers(turns, start(tmp_path), 0) as epoch:
        server = epoch.servers["one"]
        assert server.pausing is not None
        server.pausing.pause()
        time.sleep(60)
        server.pausing.resume()
        request = urllib.request.Request(server.url, PAYLOAD.body, {"Content-Type": JSON})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
