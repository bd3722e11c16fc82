"""Which front end reads what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from modeldyno.base.errors import ConfigError, ModelError
from modeldyno.compiler.frontends.family import Family
from modeldyno.compiler.model.fixed_shapes import Shapes
from modeldyno.compiler.model.source import Source, check_model_file


def read_source(
    model: Any,
    shapes: Shapes,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    *,
    foreign: bool,
) -> Source:
    """Read a model file or an nn.Module at fixed shapes.

    Raises:
        ModelError, ConfigError: the model can't be read, or the arguments don't fit it.
    """
    if isinstance(model, str | Path):
        return read_model(Path(model), shapes, foreign=foreign)
    if args is None:
        raise ConfigError("an nn.Module needs example_inputs: a sequence of tensors")
    from modeldyno.compiler.frontends.torch.module import read_module

    return read_module(model, args, kwargs)


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


def source_family(
    model: Any,
    places: Set[tuple[str, int]],
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    *,
    foreign: bool,
) -> Family:
    """Open a model file or an nn.Module whose dimensions in `places` (input, axis) are left open.

    Raises:
        ModelError, ConfigError: the model can't be read, or the arguments don't fit it.
    """
    if isinstance(model, str | Path):
        return open_family(Path(model), foreign=foreign)
    if args is None:
        raise ConfigError("an nn.Module needs example_inputs: a sequence of tensors")
    from modeldyno.compiler.frontends.torch.module import module_family

    return module_family(model, args, kwargs, lambda name, at: (name, at) in places)


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
