"""A POST that offers another protocol, as each stock Java client and `curl --http2` do, keeps its body."""

from __future__ import annotations

import json
from pathlib import Path

from tests.serving import models
from tests.serving.gate import connect, post, received
from tests.serving.helpers import JSON, serving


def test_a_post_with_an_offer_of_h2c_is_answered_as_one_without(tmp_path: Path) -> None:
    content = json.dumps({"inputs": {"x": [[1.0] * 4]}}).encode()
    offer = ("Connection: Upgrade, HTTP2-Settings, close", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAA")
    with serving(models.matmul(tmp_path / "m.onnx"), tmp_path) as server, connect(server.port) as client:
        plain = server.infer(content, JSON)
        client.sendall(post(content, *offer))
        offered = received(client)
    assert plain.json() == {"outputs": {"y": [models.WEIGHTS.sum(0).tolist()]}}
    assert offered.startswith(b"HTTP/1.1 200 ")
    assert offered.endswith(plain.body)
