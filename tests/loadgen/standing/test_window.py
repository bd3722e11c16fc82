"""Which requests of a block count; times by hand, in milliseconds."""

from __future__ import annotations

from typing import Any

import pytest

from modeldyno.loadgen.standing.blocks import BlockOrder
from modeldyno.loadgen.standing.window import Window
from modeldyno.loadgen.stats.recording import FailureKind

NS_PER_MS = 1_000_000
REFUSED = FailureKind(None, "refused", "connection refused")
BUSY = FailureKind(503, "status", "busy")


class Told:
    """A window that is told of requests: user, begin and end in milliseconds, failure."""

    def __init__(self, **order: Any) -> None:
        self.window = Window(BlockOrder(url="http://127.0.0.1:1", **order), 0)

    def __call__(self, user: int, start: float, end: float, failure: FailureKind | None = None) -> Window:
        self.window.begin(int(start * NS_PER_MS))
        self.window.end(user, int(start * NS_PER_MS), int(end * NS_PER_MS), failure)
        return self.window


def test_one_user_begins_with_the_end_of_the_last_dropped_request_and_ends_with_the_last_counted_one() -> (
    None
):
    told = Told(requests=2, shortest_s=0.0)
    for start, end in ((0, 10), (11, 20), (21, 25), (26, 33)):
        window = told(0, start, end)
    assert (window.begin_ns, window.end_ns) == (20 * NS_PER_MS, 33 * NS_PER_MS)
    assert list(window.latency_us) == [4000, 7000]
    assert window.full


def test_it_goes_on_until_it_is_long_enough() -> None:
    told = Told(requests=1, shortest_s=0.01, dropped=1)
    told(0, 0, 10)
    assert told(0, 10, 15).end_ns is None
    assert told(0, 15, 20).end_ns == 20 * NS_PER_MS


def test_the_slowest_user_to_drop_begins_the_window_and_what_others_began_before_counts_in_it() -> None:
    told = Told(users=2, requests=9, dropped=1)
    told(0, 0, 1)
    told(0, 1, 9)
    assert list(told(1, 0, 10).latency_us) == []  # nor the second of user 0: it ended before
    window = told(0, 9, 14)
    assert window.begin_ns == 10 * NS_PER_MS
    assert list(window.latency_us) == [5000]


def test_without_dropped_requests_it_begins_with_the_first_that_is_sent() -> None:
    told = Told(dropped=0)
    window = told(0, 3, 5)
    assert (window.begin_ns, list(window.latency_us)) == (3 * NS_PER_MS, [2000])


def test_an_answer_behind_the_longest_is_not_counted() -> None:
    told = Told(dropped=1, longest_s=0.1)
    told(0, 0, 10)
    told(0, 10, 100)
    window = told(0, 100, 111)
    assert (window.end_ns, window.full) == (110 * NS_PER_MS, False)
    assert (len(window.latency_us), window.sent) == (1, 3)


def test_what_ends_behind_the_window_is_sent_and_not_counted() -> None:
    told = Told(users=2, requests=1, shortest_s=0.0, dropped=0)
    told(0, 0, 5)
    window = told(1, 0, 7, BUSY)
    assert (len(window.latency_us), window.sent, window.errors, window.first_error) == (1, 2, 0, "")
    assert window.last_ns == 7 * NS_PER_MS


def test_failures_of_the_window_are_counted_and_dropped_ones_are_not() -> None:
    told = Told(requests=1, shortest_s=0.0)
    for number, failure in enumerate((REFUSED, BUSY, BUSY, REFUSED, None)):
        window = told(0, number, number + 1, failure)
    assert (window.errors, window.first_error, window.sent) == (2, "busy", 3)
    assert window.full


@pytest.mark.parametrize(("every_ms", "ends_at"), [(100, 20), (25, 40), (1, 1000)])
def test_twenty_failures_and_a_second_without_a_success_end_it(every_ms: int, ends_at: int) -> None:
    told, number = Told(), 0
    while told.window.end_ns is None:
        number += 1
        told(0, (number - 1) * every_ms, number * every_ms, REFUSED)
    assert number == ends_at
    assert not told.window.full


def test_a_success_between_failures_keeps_it_open() -> None:
    told = Told(requests=99)
    for number in range(1, 60):
        told(0, number * 100, (number + 1) * 100, None if number % 20 == 0 else BUSY)
    assert told.window.end_ns is None


def test_a_window_that_never_begins_says_why() -> None:
    told = Told(longest_s=0.1)
    window = told(0, 0, 200, FailureKind(None, "timeout", "no whole answer within 0.2 s"))
    assert (window.begin_ns, window.end_ns, window.errors) == (None, 100 * NS_PER_MS, 0)
    assert window.first_error == "no whole answer within 0.2 s"
