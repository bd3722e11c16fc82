"""Connections from one listening socket: who takes them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from modeldyno.serving.meters.board import Board, shared_memory
from modeldyno.serving.web.acceptor import Acceptor


@asynccontextmanager
async def two_on_one_socket() -> AsyncIterator[tuple[tuple[str, int], Board, list[Acceptor]]]:
    """Two takers, as two processes would be: each with its own descriptor of the socket."""
    descriptor = shared_memory()
    board = Board(descriptor, 2)
    os.close(descriptor)
    for row in board.rows:
        row.ready = True
    with socket.create_server(("127.0.0.1", 0)) as listener:
        takers = [Acceptor(listener.dup(), asyncio.Protocol, board, own) for own in range(2)]
        try:
            yield listener.getsockname(), board, takers
        finally:
            for taker in takers:
                taker.close()


async def connect(stack: ExitStack, address: tuple[str, int], board: Board, count: int) -> None:
    """Open so many connections, one after the other; return when they are taken."""
    before = sum(row.connections for row in board.rows)
    for number in range(1, count + 1):
        client = stack.enter_context(socket.socket())
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, address)
        while sum(row.connections for row in board.rows) < before + number:
            await asyncio.sleep(0)


def test_who_has_fewer_connections_takes_the_next_ones() -> None:
    async def found() -> list[int]:
        async with two_on_one_socket() as (address, board, _):
            board.rows[0].connections = 5
            with ExitStack() as stack:
                await connect(stack, address, board, 7)
            return [row.connections for row in board.rows]

    assert asyncio.run(found()) == [6, 6]


def test_a_connection_is_taken_by_somebody_where_who_has_fewer_does_not_come() -> None:
    async def found() -> list[int]:
        async with two_on_one_socket() as (address, board, takers):
            takers[1].close()  # as if its process were busy: it still says that it is ready
            board.rows[0].connections = 5
            with ExitStack() as stack:
                await connect(stack, address, board, 2)
            return [row.connections for row in board.rows]

    assert asyncio.run(found()) == [7, 0]


def test_closing_takes_what_has_come_already() -> None:
    async def found() -> int:
        async with two_on_one_socket() as (address, board, takers):
            takers[1].close()
            with ExitStack() as stack:
                for _ in range(3):
                    stack.enter_context(socket.create_connection(address))  # nobody can take them meanwhile
                takers[0].close()
                return board.rows[0].connections

    assert asyncio.run(found()) == 3
