"""Which front end reads what."""

from __future__ import annotations

import json
from pathlib import Path

from compiler.source import Shapes, Source, check_model_file
from dyno.errors import ModelError


def read_model(path: Path, shapes: Shapes, *, foreign: bool = False) -> Source:
    """Read a model file with the front end for its kind; `foreign` as in `read_onnx`.

    Raises:
        ModelError: the file is missing, unreadable, of no known kind, or has no fixed shapes.
        ConfigError: `shapes` does not fit the model's inputs.
    """
    check_model_file(path)
    if path.suffix == ".pt2":
        from compiler.frontends.torch_module import read_pt2

        return read_pt2(path, shapes)
    if path.suffix == ".onnx":
        from compiler.frontends.onnx_file import read_onnx

        return read_onnx(path, shapes, foreign=foreign)
    raise ModelError(f"{path}: unknown kind of model {json.dumps(path.suffix)}; expected .onnx or .pt2")
