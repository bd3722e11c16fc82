"""uvicorn, made to end well: it stops listening, answers what was accepted, and returns."""

from __future__ import annotations

import asyncio
import signal
import socket
import time

import uvicorn

from modeldyno.base.errors import ServerError
from modeldyno.serving.meters.board import Member
from modeldyno.serving.settings import ServeSettings
from modeldyno.serving.web.acceptor import Acceptor
from modeldyno.serving.web.app import App
from modeldyno.serving.web.client_clock import Watch
from modeldyno.serving.web.connection import Connection
from modeldyno.serving.web.lending import SUPPORTED, Lender

_KEEP_ALIVE_S = (
    120  # longer than any pause of a slow open-loop load, else idle connections break under its requests
)
_LOOK_EVERY_S = 0.02
_DRAIN_S = 0.2
_GRACE_S = 30


class DrainingServer(uvicorn.Server):
    """Serves `app` until SIGTERM or SIGINT, as the process `member`; `channel` leads to a parent."""

    def __init__(
        self, app: App, member: Member, settings: ServeSettings, channel: socket.socket | None
    ) -> None:
        super().__init__(_config(app))
        self._app = app
        self._member = member
        self._settings = settings
        lent = member.board.lent[member.number]
        self._lender = None if channel is None or not SUPPORTED else Lender(channel, lent)
        self._acceptor: Acceptor | None = None
        self._watch: Watch | None = None
        self._signalled_s: float | None = None
        self.failure: ServerError | None = None
        """Why it ended of itself."""

    def handle_signals(self) -> None:
        """From here on SIGTERM, SIGINT and SIGHUP end the server gently; a second SIGINT ends it at once.

        Uvicorn puts its own handlers in place while it runs and, when it is done, raises the signal again:
        with these handlers that is harmless, with the default ones the process would end with a failure.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(signal.SIGHUP, self.handle_exit)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections from the one socket; side by side with other processes where there are any."""
        self._watch = Watch(self.server_state.connections, self._settings.client_timeout_s)
        self._member.row.ready = True
        if self._member.alone or not sockets:
            await super().startup(sockets)
            return
        await super().startup([])
        while not self._member.board.listening and not self.should_exit:  # until all others are warm
            await asyncio.sleep(_LOOK_EVERY_S)
        if self.should_exit:
            return
        self._acceptor = Acceptor(sockets[0], self._protocol, self._member.board, self._member.number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, tell clients to close for a moment, then close idle connections, await busy ones.

        Without the moment, a request that is on its way over a kept-alive connection would meet a closed one.
        """
        self._app.draining = True
        self._member.row.ready = False
        if self._acceptor is not None:
            self._acceptor.close()
        for server in self.servers:
            server.close()
        await asyncio.sleep(_DRAIN_S)
        await super().shutdown(sockets)
        if self._watch is not None:
            await self._watch.stop()

    async def on_tick(self, counter: int) -> bool:
        """Look after the workers, ten times a second, also in the delay after a signal; True: end."""
        self._member.row.beat()
        self.failure = self.failure or self._app.hangs.look()
        return self.failure is not None or (await super().on_tick(counter) and self._delay_is_over())

    def _delay_is_over(self) -> bool:
        """After a signal, see whether connections were taken for long enough; /ping answers 503 by now."""
        self._app.draining = True
        now_s = time.monotonic()
        self._signalled_s = self._signalled_s or now_s
        return self.force_exit or now_s - self._signalled_s >= self._settings.drain_delay_s

    def _protocol(self) -> asyncio.Protocol:
        return Connection(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            ended=self._acceptor.gone if self._acceptor else None,
            lender=self._lender,
        )


def _config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
