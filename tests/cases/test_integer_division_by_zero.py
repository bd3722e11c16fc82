"""Whole numbers divided by a zero of the request, or the least one by -1: SIGFPE ended the process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from tests.compiler.models import model, node, tensor
from tests.serving.helpers import JSON, serving


@pytest.mark.parametrize("operator", ["Div", "Mod"])
def test_a_server_outlives_it(operator: str, tmp_path: Path) -> None:
    kinds = [tensor(name, [1], TensorProto.INT64) for name in ("a", "b", "y")]
    made = model([node(operator, "a b", "y", name="ratio")], kinds[:2], kinds[2:])
    onnx.save(made, tmp_path / "m.onnx")
    compile_model(tmp_path / "m.onnx", tmp_path / "out", options=Options(verify=False))
    with serving(tmp_path / "out", tmp_path) as server:

        def ask(a: int, b: int) -> tuple[int, object]:
            reply = server.infer(json.dumps({"inputs": {"a": [a], "b": [b]}}), JSON)
            return reply.status, reply.json().get("outputs", {}).get("y", reply.json().get("error"))

        quotient = operator == "Div"
        assert ask(7, 2) == (200, [3 if quotient else 1])
        status, said = ask(7, 0)
        assert (status, f"{operator} 'ratio': its input 'b' is 0 at [0]" in str(said)) == (400, True)
        least = int(np.iinfo(np.int64).min)
        assert ask(least, -1) == (200, [least if quotient else 0])
        assert ask(7, 2) == (200, [3 if quotient else 1])
        assert server.child.returncode() is None
