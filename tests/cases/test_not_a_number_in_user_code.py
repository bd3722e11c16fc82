"""NaN and infinities that user code gives are refused, as those of a tensor model are."""

from __future__ import annotations

from pathlib import Path

from tests.serving.helpers import JSON, NPY, serving

SCRIPT = """
def model_fn(d): return 0
def input_fn(b, c): return b
def predict_fn(d, m): return {'p': [float('nan'), float('inf')]} if d == '0' else [1.5]
"""


def test_what_json_can_not_say_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "inference.py").write_text(SCRIPT)
    with serving(tmp_path, tmp_path) as server:
        reply = server.infer("0", JSON)
        assert (reply.status, reply.headers["content-type"]) == (406, JSON)
        assert "holds NaN at $['p'][0], which JSON can't say" in reply.error
        assert server.infer("1", JSON).body == b"[1.5]"
        assert server.infer("1", JSON, accept=NPY).status == 200
