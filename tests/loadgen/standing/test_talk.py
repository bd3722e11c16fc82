"""Orders and answers over a pair of sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from modeldyno.loadgen.standing.blocks import BlockOrder, BlockTaken
from modeldyno.loadgen.standing.talk import (
    CUT,
    Channel,
    Failed,
    Ready,
    answer_bytes,
    order_line,
    read_order,
)

ORDER = BlockOrder(url="http://127.0.0.1:1/invocations", users=3, seed=7, cpus=(0, 2))
TAKEN = BlockTaken(
    start_ns=1 << 62,
    seconds=0.25,
    latency_us=np.array([10, 1 << 40, 13], np.int64),  # 10 and 13 are line ends as bytes
    errors=1,
    first_error='a "busy"\nserver',
    full=False,
)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(0.001)
        other.settimeout(0.001)
        yield Channel(one), Channel(other)


def test_an_order_arrives_as_it_was_given(ends: tuple[Channel, Channel]) -> None:
    ends[0].send(order_line(ORDER) + CUT)
    assert read_order(ends[1].line()) == ORDER
    assert ends[1].line() == CUT


def test_answers_arrive_as_they_were_given_however_they_are_cut(ends: tuple[Channel, Channel]) -> None:
    every = answer_bytes(Ready()) + answer_bytes(TAKEN) + answer_bytes(Failed("no\ncores"))
    answers = []
    for place in range(len(every)):
        ends[0].send(every[place : place + 1])
        try:
            answers.append(ends[1].answer())
        except TimeoutError:
            continue
    ready, taken, failed = answers
    assert (ready, failed) == (Ready(), Failed("no\ncores"))
    assert isinstance(taken, BlockTaken)
    assert taken.latency_us.tolist() == TAKEN.latency_us.tolist()
    assert {**vars(taken), "latency_us": None} == {**vars(TAKEN), "latency_us": None}


def test_an_end_that_was_closed_says_so(ends: tuple[Channel, Channel]) -> None:
    ends[0].socket.close()
    with pytest.raises(EOFError):
        ends[1].answer()
    with pytest.raises(EOFError):
        ends[1].send(CUT)
