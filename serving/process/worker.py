"""One worker process of `dyno serve --processes`; `supervisor` starts it, and nobody else."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence

from modeldyno.base.errors import DynoError
from modeldyno.base.process import procs
from modeldyno.base.settings import from_json
from modeldyno.serving.meters.board import Board, Member
from modeldyno.serving.process.launch import MOST_REPORT_BYTES
from modeldyno.serving.settings import ServeSettings

_LAST_S = 10


def main(arguments: Sequence[str]) -> int:
    """Serve; give the exit code. An error that a user can act on goes through the pipe, to be said once."""
    procs.end_with_parent()
    *numbers, settings = arguments
    listener, board, report, channel, processes, number = map(int, numbers)
    try:
        _serve(from_json(ServeSettings, settings), listener, channel, Board(board, processes), number)
    except DynoError as error:
        # The parent reads it when this process has ended: more than the pipe holds would wait for ever.
        os.write(report, str(error).encode()[:MOST_REPORT_BYTES])
        return error.exit_code
    return 0


def _serve(settings: ServeSettings, listener: int, channel: int, board: Board, number: int) -> None:
    from modeldyno.serving.process.host import serve_here

    with socket.socket(fileno=listener) as inherited, socket.socket(fileno=channel) as to_parent:
        serve_here(settings, inherited, Member(board, number), channel=to_parent)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Everything is answered by now. An inference that never ends would keep the interpreter from ending.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_LAST_S)
    sys.exit(code)
