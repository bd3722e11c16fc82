"""The import paths from a torch.export program into the compiler: TVM's front end for torch, then ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from modeldyno.base.errors import ModelError
from modeldyno.compiler.frontends.torch.decompositions import decomposed, missing_operators
from modeldyno.compiler.model.source import Source
from modeldyno.compiler.model.tvm_words import reason
from modeldyno.runtime.records.origin import Road

if TYPE_CHECKING:
    import tvm
    from torch.export import ExportedProgram

PLAIN, DECOMPOSED, ONNX = "torch.export", "torch.export + decompositions", "onnx"


def torch_path(program: ExportedProgram) -> tuple[Road, Callable[[], tvm.IRModule]]:
    """Give the import path by TVM's front end for torch, and the function that imports by it."""
    from modeldyno.compiler.frontends.torch.importer import known_operators

    with warnings.catch_warnings():
        # torch's own copying of a program uses names that torch is about to rename.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            taken, apart = decomposed(program, known_operators())
        except Exception as error:
            # Whatever a decomposition raises, of torch's or ours: this import path fails, not the compile.
            return Road(name=PLAIN), partial(_end, error)
    why = f"written as simpler operators, for TVM's front end: {', '.join(apart)}" if apart else ""
    return Road(name=DECOMPOSED if apart else PLAIN, reason=why), partial(_import, taken)


def onnx_path(program: ExportedProgram, source: Source, error: Exception) -> Source:
    """Give `source` by way of an ONNX file that torch writes of the program; `error` ended the path before.

    Raises:
        ModelError: torch can't write it, or the file is none that the ONNX front end reads.
    """
    read = read_by_onnx(program, source)
    return replace(
        source,
        road=Road(name=ONNX, reason=f"the import path torch.export failed: {_cause(error)}"),
        import_relax=read.import_relax,
        otherwise=None,
    )


def read_by_onnx(program: ExportedProgram, source: Source) -> Source:
    """Read the ONNX file that torch writes of the program of `source`.

    Raises:
        ModelError: torch can't write it, or the file is none that the ONNX front end reads.
    """
    from modeldyno.compiler.frontends.onnx.file import read_onnx

    with tempfile.TemporaryDirectory(prefix="dyno-onnx-") as folder:
        path = Path(folder) / f"{Path(source.name).stem}.onnx"
        write_onnx(program, path)
        read = read_onnx(path, {})
    if [spec.shape for spec in read.inputs] != [spec.shape for spec in source.inputs]:
        raise ModelError(f"{source.name}: the inputs of the ONNX file that torch writes are not the model's")
    return read


def _end(error: Exception) -> NoReturn:
    raise NotImplementedError(f"torch can't decompose the program: {_cause(error)}") from error


def _import(program: ExportedProgram) -> tvm.IRModule:
    from modeldyno.compiler.frontends.torch.importer import import_program, known_operators

    missing = missing_operators(program, known_operators())
    if missing:
        raise NotImplementedError(f"TVM's front end for torch lacks {', '.join(missing)}")
    return import_program(program)


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """Let torch write a program as an ONNX file.

    Raises:
        ModelError: it can't.
    """
    import torch

    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(program, f=path, dynamo=True, external_data=True, verbose=False)
    except Exception as error:
        # The exporter wraps what went wrong in errors of its own, and wants onnxscript, which may be missing.
        raise ModelError(f"torch can't write the program as ONNX: {_cause(error)}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the exporter's talk of its progress, of torchvision and of its own deprecations."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _cause(error: BaseException) -> str:
    """Say what is at the bottom of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return reason(error)
