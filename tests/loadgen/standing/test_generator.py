"""Blocks of a real Locust process that stays up, at real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import psutil
import pytest

from modeldyno.base.errors import ConfigError, ServerError
from modeldyno.base.process.procs import free_port
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.payloads.files import Kind, Mix
from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.loadgen.standing.generator import StandingGenerator
from tests.loadgen.standing.server import CountingServer, counting_server
from tests.loadgen.stub import load, stub_server

BODIES = tuple(Payload(bytes([number]), "application/octet-stream") for number in range(8))
SHORT = BlockOrder(url="http://127.0.0.1:1", requests=4, shortest_s=0.0)


@pytest.fixture(scope="module")
def generator() -> Iterator[StandingGenerator]:
    with StandingGenerator(Mix((Kind("", 1.0, BODIES),))) as running:
        yield running


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with counting_server() as running:
        yield running


def test_one_user_sends_what_was_ordered_and_no_more(
    generator: StandingGenerator, server: CountingServer
) -> None:
    taken = generator.take(replace(SHORT, url=server.url, requests=20))
    assert len(taken.latency_us) == 20
    assert taken.sent == len(server.bodies) == 22
    assert taken.full
    assert 0 < taken.seconds < taken.whole_s
    assert taken.latency_us.sum() / 1e6 <= taken.seconds


@pytest.mark.parametrize("users", [2, 8])
def test_each_user_drops_its_first_requests_and_has_one_connection(
    generator: StandingGenerator, server: CountingServer, users: int
) -> None:
    taken = generator.take(replace(SHORT, url=server.url, users=users, requests=30, dropped=3))
    assert len(taken.latency_us) == 30
    assert taken.sent == len(server.bodies) >= 30 + 3 * users
    assert len(server.opened) == users


def test_a_block_is_as_long_as_was_ordered(generator: StandingGenerator, server: CountingServer) -> None:
    taken = generator.take(replace(SHORT, url=server.url, requests=1, shortest_s=0.2))
    assert 0.2 <= taken.seconds <= taken.whole_s
    assert len(taken.latency_us) > 1


def test_two_servers_in_turn_keep_their_connections(
    generator: StandingGenerator, server: CountingServer
) -> None:
    with counting_server() as other:
        for url in (server.url, other.url) * 3:
            assert generator.take(replace(SHORT, url=url, users=2)).errors == 0
        assert len(server.opened) == len(other.opened) == 2


def test_a_server_that_was_restarted_is_reconnected_without_a_word(generator: StandingGenerator) -> None:
    with counting_server() as server:
        order = replace(SHORT, url=server.url, users=2)
        generator.take(order)
    with counting_server(port=server.server_address[1]) as again:
        taken = generator.take(order)
        assert (taken.errors, taken.full) == (0, True)
        assert len(again.opened) == 2


def test_a_server_that_is_not_there_ends_the_block(
    generator: StandingGenerator, server: CountingServer
) -> None:
    taken = generator.take(replace(SHORT, url=f"http://127.0.0.1:{free_port()}", longest_s=300.0))
    assert not taken.full
    assert taken.errors >= 18
    assert taken.first_error == "connection refused"
    assert (len(taken.latency_us), taken.seconds, taken.sent) == (0, 0.0, 0)
    assert generator.take(replace(SHORT, url=server.url)).full


def test_errors_are_counted_beside_what_succeeds(generator: StandingGenerator) -> None:
    with counting_server(200, 500) as server:
        taken = generator.take(replace(SHORT, url=server.url, requests=10))
    assert (len(taken.latency_us), taken.errors, taken.sent) == (10, 9, 21)
    assert taken.first_error == "HTTP 500 without a body"
    assert taken.full


def test_a_server_that_only_fails_ends_the_block(generator: StandingGenerator) -> None:
    with counting_server(503) as server:
        taken = generator.take(replace(SHORT, url=server.url, users=2, longest_s=300.0))
    assert not taken.full
    assert taken.sent == len(server.bodies) >= taken.errors > 20


def test_requests_that_hang_are_errors_after_their_timeout(generator: StandingGenerator) -> None:
    with counting_server(200, 200, 200, 0) as server:
        taken = generator.take(replace(SHORT, url=server.url, requests=5, timeout_s=0.2, longest_s=300.0))
    assert taken.full
    assert len(taken.latency_us) == 5
    assert taken.errors >= 1
    assert taken.first_error == "no whole answer within 0.2 s"


def test_the_longest_ends_a_block_and_what_is_in_flight_is_waited_for(generator: StandingGenerator) -> None:
    with counting_server(200, 0) as server:
        taken = generator.take(replace(SHORT, url=server.url, dropped=1, timeout_s=0.4, longest_s=0.1))
    assert not taken.full
    assert taken.first_error == "no whole answer within 0.4 s"
    assert taken.whole_s >= 0.4


def test_whoever_asks_may_end_a_block(generator: StandingGenerator, server: CountingServer) -> None:
    asked = []

    def still_serving() -> bool:
        asked.append(True)
        return len(asked) < 2

    with counting_server(0) as hanging:
        order = replace(SHORT, url=hanging.url, users=3, timeout_s=3000.0, longest_s=3000.0)
        taken = generator.take(order, still_serving)
    assert (taken.full, len(taken.latency_us), len(asked)) == (False, 0, 2)
    assert generator.take(replace(SHORT, url=server.url, users=3)).full


def test_what_a_look_at_the_server_raises_is_raised_and_the_next_block_is_taken(
    generator: StandingGenerator, server: CountingServer
) -> None:
    def look() -> bool:
        raise ServerError("it died")

    with counting_server(0) as hanging, pytest.raises(ServerError, match="it died"):
        generator.take(replace(SHORT, url=hanging.url, timeout_s=3000.0, longest_s=3000.0), look)
    taken = generator.take(replace(SHORT, url=server.url))
    assert (taken.sent, len(server.bodies), taken.full) == (6, 6, True)


def test_equal_seeds_send_equal_bodies_and_others_do_not(
    generator: StandingGenerator, server: CountingServer
) -> None:
    sent = []
    for seed in (1, 1, 2):
        generator.take(replace(SHORT, url=server.url, requests=20, seed=seed))
        sent.append(server.bodies[:])
        server.bodies.clear()
    assert sent[0] == sent[1] != sent[2]
    assert len(set(sent[0])) == 8


def test_a_block_is_pinned_to_its_cores_and_the_next_one_is_not(
    generator: StandingGenerator, server: CountingServer
) -> None:
    core = min(os.sched_getaffinity(0))
    generator.take(replace(SHORT, url=server.url, cpus=(core,)))
    assert os.sched_getaffinity(generator.pid) == {core}
    generator.take(replace(SHORT, url=server.url))
    assert os.sched_getaffinity(generator.pid) == os.sched_getaffinity(0)


def test_two_hundred_blocks_leave_nothing_behind(
    generator: StandingGenerator, server: CountingServer
) -> None:
    process = psutil.Process(generator.pid)
    with counting_server() as other:
        orders = [replace(SHORT, url=url, users=2) for url in (server.url, other.url)]
        for order in orders * 5:
            generator.take(order)
        files, memory = process.num_fds(), process.memory_info().rss
        for order in orders * 100:
            generator.take(order)
        assert process.num_fds() == files
        assert process.memory_info().rss - memory < 4 << 20
    for _ in range(2):  # what a block leaves behind is cleared away behind its answer
        generator.take(orders[0])
    assert process.num_fds() == files - 2  # less those to the server that has ended


def test_latencies_are_those_of_a_load_test(tmp_path: Path, generator: StandingGenerator) -> None:
    with stub_server(tmp_path, "--service-ms", "20") as server:
        p50_ms = load(server, users=1, warmup_s=0.2, duration_s=1.0).percentile_ms(50.0)
        taken = generator.take(BlockOrder(url=server.url, requests=30))
    assert p50_ms is not None
    assert taken.latency_us.min() >= 20_000
    assert p50_ms / 2 < median(taken.latency_us) / 1000 < 2 * p50_ms
    assert 0 < taken.generator_cpu_s < taken.whole_s


@pytest.mark.parametrize(
    "wrong",
    [
        {"users": 0},
        {"users": 1 << 30},
        {"requests": 0},
        {"dropped": -1},
        {"shortest_s": 2.0, "longest_s": 1.0},
        {"timeout_s": 0.0},
        {"cpus": (4096,)},
        {"url": "ftp://127.0.0.1"},
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    generator: StandingGenerator, wrong: dict[str, object]
) -> None:
    with pytest.raises(ConfigError):
        generator.take(replace(SHORT, **wrong))  # type: ignore[arg-type]
