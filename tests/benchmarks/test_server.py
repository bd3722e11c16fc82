"""The server's benchmark: its parts that need no peer and no wrk."""

from __future__ import annotations

import http.client
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.server import bare, build, over_http, serving, spread, timed


def test_the_server_and_the_bare_session_give_the_same_bytes(tmp_path: Path) -> None:
    model = build(tmp_path / "m.onnx", 4)
    with (
        serving(model, tmp_path / "server") as port,
        closing(http.client.HTTPConnection("127.0.0.1", port)) as connection,
    ):
        ask = over_http(connection, 4)
        assert ask() == np.zeros((1, 1), np.float32).tobytes()
        assert len(timed(ask, 20)) == 20
    found = bare(model, 4)()
    assert isinstance(found, list)
    assert found[0].tolist() == [[0.0]]


def test_a_figure_is_the_median_with_the_least_and_the_most_of_the_rounds() -> None:
    assert spread([3.0, 1.0, 10.0]) == {"median": 3.0, "least": 1.0, "most": 10.0}
