"""uvicorn, made to end well: it stops listening, answers what was accepted, and returns."""

from __future__ import annotations

import asyncio
import signal
import socket

import uvicorn

from serving.app import App

_KEEP_ALIVE_S = (
    120  # longer than any pause of a slow open-loop load, else idle connections break under its requests
)
_DRAIN_S = 0.2
_GRACE_S = 30


class DrainingServer(uvicorn.Server):
    """Serves `app` until SIGTERM or SIGINT."""

    def __init__(self, app: App) -> None:
        super().__init__(_config(app))
        self._app = app

    def handle_signals(self) -> None:
        """From here on SIGTERM and SIGINT end the server gently; a second SIGINT ends it at once.

        Uvicorn puts its own handlers in place while it runs and, when it is done, raises the signal again:
        with these handlers that is harmless, with the default ones the process would end with a failure.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, tell clients to close for a moment, then close idle connections, await busy ones.

        Without the moment, a request that is on its way over a kept-alive connection would meet a closed one.
        """
        self._app.draining = True
        for server in self.servers:
            server.close()
        await asyncio.sleep(_DRAIN_S)
        await super().shutdown(sockets)


def _config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
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
