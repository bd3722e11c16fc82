"""From a simplified ONNX model to a Relax module: as it is, or with its operators taken apart."""

from __future__ import annotations

import io
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import onnx

from modeldyno.base.process.quiet import silent_stderr
from modeldyno.compiler.frontends.onnx.converters.common import known_operators, own_converters
from modeldyno.compiler.frontends.onnx.rules.apply import correct, take_apart
from modeldyno.compiler.frontends.onnx.rules.graph import Refused
from modeldyno.compiler.frontends.onnx.weights import is_large
from modeldyno.compiler.model.fixed_shapes import Shapes

if TYPE_CHECKING:
    import tvm

APART_ROUNDS = 3
Simplify = Callable[[onnx.ModelProto], onnx.ModelProto]


def import_onnx(model: onnx.ModelProto, shapes: Shapes, simplify: Simplify) -> tvm.IRModule:
    """Import the model; where the front end can't, import it with its operators taken apart.

    Only then: an operator that is known as a whole is the faster one. `simplify` folds constants and shapes.

    Raises:
        NotImplementedError: an operator has no way; names it, its node, domain and opset.
    """
    if is_large(model):  # what can't be one message can't be taken apart by onnx
        return _import(correct(model), shapes)
    try:
        return _import(correct(model), shapes)
    except Exception as error:
        return _import_apart(model, shapes, simplify, error)


def _import_apart(
    model: onnx.ModelProto, shapes: Shapes, simplify: Simplify, error: Exception
) -> tvm.IRModule:
    """Take apart what the front end does not know; where that does not do, all that has a definition.

    What it knows stays whole while it can: it is faster, and a definition may overflow where it does not.
    """
    known = known_operators()
    unknown = frozenset(node.op_type for node in model.graph.node) - known
    for kept in (known, frozenset[str]()) if unknown else (frozenset[str](),):
        module = _import_parts(model, shapes, simplify, kept)
        if module is not None:
            return module
    missing = _missing(model)
    if missing:
        raise NotImplementedError(missing) from error
    raise error  # of the model as it was given: its operators are those that its author knows


def _import_parts(
    model: onnx.ModelProto, shapes: Shapes, simplify: Simplify, kept: frozenset[str]
) -> tvm.IRModule | None:
    """Take apart all but `kept`, simplify, and again: a definition may stand on others that have one too."""
    taken = model
    for _ in range(APART_ROUNDS):
        before = taken.SerializeToString()
        try:
            apart = take_apart(taken, kept)
            taken = simplify(_copy(model) if apart is model else apart)
            return _import(correct(taken), shapes)
        except Refused:
            raise
        except Exception:
            if taken.SerializeToString() == before:
                break
    return None


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the model again: simplifying forgets shapes, which whoever asks what failed still needs."""
    again = onnx.ModelProto()
    again.CopyFrom(model)
    return again


def _import(model: onnx.ModelProto, shapes: Shapes) -> tvm.IRModule:
    from modeldyno.compiler.frontends.onnx.converters.guards import import_guarded
    from modeldyno.compiler.graph.clip import find_clips

    # Operators that fail, and an import that ends early, are printed by TVM too; stdout and stderr are ours.
    # What onnx's checker says of shapes and sizes is a warning of no use: TVM tells what it can't read.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), silent_stderr(), own_converters():
        warnings.simplefilter("ignore")
        try:
            module = import_guarded(model, shapes)
        except Exception as error:
            traceback.clear_frames(error.__traceback__)  # TVM's builder says that it goes, here and not later
            raise
    return find_clips(module)


def _missing(model: onnx.ModelProto) -> str:
    """Word which operators the front end has never heard of; empty where it knows all."""
    known = known_operators()
    nodes = [node for node in model.graph.node if node.op_type not in known]
    if not nodes:
        return ""
    found = dict.fromkeys(node.op_type for node in nodes)
    text = f"{', '.join(found)}: unknown to the front end, and no rule takes it apart"
    if any(node.domain == "com.microsoft" for node in nodes):
        text += "; one of ONNX Runtime's own: compile the file as it was before it was optimised"
    return text
