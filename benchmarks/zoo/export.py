"""From a torch module to the bytes of an ONNX file, by torch's present exporter, with fixed shapes."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Any

import torch


def exported(module: Any, example: tuple[Any, ...], *, text: bool) -> bytes:
    """Export `module` for inputs shaped like `example`; weights lie inside the file (under 2 GB)."""
    names = ["input_ids", "attention_mask"] if text else ["image"]
    # The exporter talks about torchvision, which is not wanted here, and about its own deprecations.
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module, example, input_names=names, output_names=["output"], dynamo=True, verbose=False
            )
    finally:
        quiet.setLevel(level)
    if program is None:
        raise RuntimeError("torch exported nothing")
    return bytes(program.model_proto.SerializeToString())
