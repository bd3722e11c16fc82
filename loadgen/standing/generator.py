"""A Locust process that stays up for a whole run, and takes one block after another, at any server.

Starting Locust takes seconds, so that a block of a quarter of a second can't have one of its own. What counts
in a block is said in loadgen.standing.blocks; requests are timed by the very code of `dyno load`.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from modeldyno.base.errors import ConfigError, LoadTestError
from modeldyno.base.host.facts import usable_cores
from modeldyno.base.process.procs import Child, start
from modeldyno.loadgen.generator.fleet import backend, locust
from modeldyno.loadgen.generator.in_flight import check_users
from modeldyno.loadgen.payloads.body import Payload
from modeldyno.loadgen.payloads.files import Mix, single
from modeldyno.loadgen.payloads.store import save_mix
from modeldyno.loadgen.server.endpoint import endpoint_url
from modeldyno.loadgen.standing.blocks import BlockOrder, BlockTaken
from modeldyno.loadgen.standing.folder import FOLDER_VARIABLE, Folder
from modeldyno.loadgen.standing.talk import CUT, FD_VARIABLE, Answer, Channel, Failed, order_line

LOCUSTFILE = Path(__file__).parent / "inside" / "locustfile.py"
STARTUP_LIMIT_S = 60.0
OVERTIME_LIMIT_S = 30.0
"""Beyond what a block may take by its order."""
LOOK_EVERY_S = 0.5
"""How often a dead process is looked for."""
GRACE_S = 2.0
"""The child has nothing to save."""


class _Look:
    """Asks whether the server is there, until it is not."""

    def __init__(self, still_serving: Callable[[], bool] | None) -> None:
        self._still_serving = still_serving
        self.error: Exception | None = None

    def finds_it_gone(self) -> bool:
        """Whether it has gone since the last look."""
        if self._still_serving is None:
            return False
        try:
            gone = not self._still_serving()
        except Exception as error:  # whatever the caller makes of a server that is gone
            gone, self.error = True, error
        if gone:
            self._still_serving = None
        return gone


class StandingGenerator:
    """A context: the process lives from entering to leaving it. `payload` is what every block sends.

    Enter it in a thread that lives as long: the kernel ends the process with the thread that started it.
    """

    def __init__(self, payload: Payload | Mix, users_most: int = 1) -> None:
        """Get ready for `users_most` users; an order for more has them started then.

        Raises:
            ConfigError: there are none, or more than this machine's open files allow.
        """
        _check_users(users_most)
        self._mix = payload if isinstance(payload, Mix) else single(payload)
        self._users_most = users_most
        self._stack = ExitStack()
        self._child: Child | None = None
        self._channel: Channel | None = None

    @property
    def pid(self) -> int:
        """The process that sends."""
        return self._running()[0].pid

    def __enter__(self) -> StandingGenerator:
        try:
            self._start()
            self._answer(STARTUP_LIMIT_S, _Look(None))
        except EOFError as error:
            raise self._ended() from error
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def take(self, order: BlockOrder, still_serving: Callable[[], bool] | None = None) -> BlockTaken:
        """Take one block; returns when the server is idle again.

        `still_serving` is asked twice a second; once it denies, the block ends at once with what it has, not
        `full`, and what is in flight is given up. An error of `still_serving` ends the block as well, and is
        raised when the process is ready for another. An interrupt ends the process.

        Raises:
            ConfigError: the order can't be carried out here.
            LoadTestError: the process has ended or hangs.
        """
        order, look = _checked(order), _Look(still_serving)
        _, channel = self._running()
        try:
            channel.send(order_line(order))
            answer = self._answer(2 * order.longest_s + order.timeout_s + OVERTIME_LIMIT_S, look)
        except EOFError as error:
            raise self._ended() from error
        except BaseException:
            self._end()
            raise
        if look.error is not None:
            raise look.error
        if isinstance(answer, Failed):
            raise LoadTestError(f"the load generator could not take a block at {order.url}: {answer.why}")
        assert isinstance(answer, BlockTaken)  # noqa: S101 - it is ready but once
        return answer

    def _start(self) -> None:
        folder = Folder(Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dyno-standing-"))))
        save_mix(self._mix, folder.bodies, folder.index)
        ours, theirs = socket.socketpair()
        self._stack.enter_context(ours)
        ours.settimeout(LOOK_EVERY_S)
        with theirs:
            fd = theirs.fileno()
            env = backend(open_loop=False) | {FD_VARIABLE: str(fd), FOLDER_VARIABLE: str(folder.path)}
            users = str(self._users_most)
            command = locust("--headless", "--users", users, "--spawn-rate", users, locustfile=LOCUSTFILE)
            self._child = start(command, log=folder.log, env=env, pass_fds=(fd,))
        self._stack.callback(self._child.stop, GRACE_S)
        self._channel = Channel(ours)

    def _answer(self, limit_s: float, look: _Look) -> Answer:
        _, channel = self._running()
        end_by = time.monotonic() + limit_s
        while time.monotonic() < end_by:
            try:
                return channel.answer()
            except TimeoutError:
                if look.finds_it_gone():
                    channel.send(CUT)
                    end_by = min(end_by, time.monotonic() + OVERTIME_LIMIT_S)
        raise self._lost(f"hangs: no answer within {limit_s:.0f} s")

    def _lost(self, what: str) -> LoadTestError:
        child, _ = self._running()
        tail = child.log_tail()
        self._end()
        return LoadTestError(f"the load generator (process {child.pid}) {what}" + (tail and f"\n{tail}"))

    def _ended(self) -> LoadTestError:
        child, _ = self._running()
        with suppress(subprocess.TimeoutExpired):  # its socket closes a moment before
            child.process.wait(GRACE_S)
        return self._lost(f"ended by exit status {child.returncode()}")

    def _running(self) -> tuple[Child, Channel]:
        if self._child is None or self._channel is None:
            raise LoadTestError("the load generator does not run")
        return self._child, self._channel

    def _end(self) -> None:
        self._child = self._channel = None
        self._stack.close()


def _checked(order: BlockOrder) -> BlockOrder:
    _check_users(order.users)
    if order.requests < 1 or order.dropped < 0:
        raise ConfigError(
            f"a block counts {order.requests} requests and drops {order.dropped}: no such thing"
        )
    if not (0 <= order.shortest_s <= order.longest_s and order.longest_s > 0 and order.timeout_s > 0):
        raise ConfigError(
            f"a block from {order.shortest_s:g} to {order.longest_s:g} s, with a timeout of "
            f"{order.timeout_s:g} s: no such thing"
        )
    foreign = sorted(set(order.cpus) - set(usable_cores()))
    if foreign:
        raise ConfigError(f"the load generator can't be pinned to cores that are not there: {foreign}")
    return replace(order, url=endpoint_url(order.url))


def _check_users(users: int) -> None:
    if users < 1:
        raise ConfigError(f"a block has at least one user, got {users}", field="users")
    check_users(users)
