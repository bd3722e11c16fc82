"""Which front end reads what."""

from __future__ import annotations

import json
from pathlib import Path

from modeldyno.base.errors import ModelError
from modeldyno.compiler.frontends.family import Family
from modeldyno.compiler.model.source import Shapes, Source, check_model_file


def read_model(path: Path, shapes: Shapes, *, foreign: bool = False) -> Source:
    """Read a model file with the front end for its kind; `foreign` as in `read_onnx`.

    Raises:
        ModelError: the file is missing, unreadable, of no known kind, or has no fixed shapes.
        ConfigError: `shapes` does not fit the model's inputs.
    """
    check_model_file(path)
    if path.suffix == ".pt2":
        from modeldyno.compiler.frontends.torch.pt2 import read_pt2

        return read_pt2(path, shapes)
    if path.suffix == ".onnx":
        from modeldyno.compiler.frontends.onnx.file import read_onnx

        return read_onnx(path, shapes, foreign=foreign)
    raise _unknown_kind(path)


def open_family(path: Path, *, foreign: bool = False) -> Family:
    """Open a model file to read it at several shapes; `foreign` as in `read_onnx`, but for its inputs.

    Raises:
        ModelError: the file is missing, unreadable or of no known kind.
    """
    check_model_file(path)
    if path.suffix == ".pt2":
        from modeldyno.compiler.frontends.torch.pt2 import pt2_family

        return pt2_family(path)
    if path.suffix == ".onnx":
        from modeldyno.compiler.frontends.onnx.file import onnx_family

        return onnx_family(path, foreign=foreign)
    raise _unknown_kind(path)


def _unknown_kind(path: Path) -> ModelError:
    return ModelError(f"{path}: unknown kind of model {json.dumps(path.suffix)}; expected .onnx or .pt2")
