"""What a torch module keeps from call to call: refused by name, and the caller's own module left as it was.

An artifact answers each request for itself. A buffer that the model changes (a running mean, a cache of keys
and values, a counter) would be what it was when the model was compiled, in every answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from modeldyno.base.errors import ModelError
from modeldyno.compiler.model.arrays import Array

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import Node

_WAY_OUT = (
    "An artifact keeps nothing between calls: give the state to the model as an input, and return what it "
    "becomes as an output. BatchNorm changes its statistics in training only: export the model after .eval()"
)
_NEAR = 1e-3  # answers to one input that differ by more, relative to the largest value, are not the same


def refuse_state(program: ExportedProgram, name: str) -> None:
    """Refuse an exported program that changes a buffer or a parameter.

    Raises:
        ModelError: it does; names each, and the operator that changes it.
    """
    changed = _changed(program)
    if not any(map(_may_change, program.graph.nodes)) and not changed:
        return
    if not changed:
        program = _functional(program)
        changed = _changed(program)
    if not changed:
        return
    nodes = {node.name: node for node in program.graph.nodes}
    told = [f"{what!r} ({_operator(nodes[out])})" for out, what in changed.items()]
    raise ModelError(f"{name} changes its own buffers while it runs: {', '.join(told)}. {_WAY_OUT}")


def refuse_two_answers(run: Callable[[], dict[str, Array]], name: str) -> dict[str, Array]:
    """Run a model twice on one input; give its answer.

    Raises:
        ModelError: it gives another answer the second time.
    """
    with _one_thread():  # threads that write one place in turns are no state
        first = {key: value.copy() for key, value in run().items()}
        second = run()
    wrong = [key for key, value in first.items() if not _same(value, second[key])]
    if wrong:
        raise ModelError(
            f"{name} gives two answers to one input (output {wrong[0]!r}): it draws random numbers, or keeps "
            f"a state. {_WAY_OUT}"
        )
    return first


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def left_alone(module: torch.nn.Module) -> Iterator[None]:
    """Inside, the module is in eval mode; on leaving, its flags, attributes, buffers and torch's random state
    are what they were.
    """
    import torch

    parts = list(module.modules())
    kept = [{name: _copied(value) for name, value in vars(part).items()} for part in parts]
    buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    try:
        with torch.random.fork_rng(devices=[]):
            module.eval()
            yield
    finally:
        for part, values in zip(parts, kept, strict=True):
            vars(part).clear()
            vars(part).update(values)
        with torch.no_grad():
            for buffer, value in buffers:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


def _copied(value: object) -> object:
    """A container that the module may change in place is copied; what it holds is not."""
    return value.copy() if isinstance(value, dict | list | set) else value


def _changed(program: ExportedProgram) -> dict[str, str]:
    signature = program.graph_signature
    return {**signature.buffers_to_mutate, **getattr(signature, "parameters_to_mutate", {})}


def _may_change(node: Node) -> bool:
    """Whether an operator writes to an argument, or is a norm in training mode."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return False
    return bool(schema.is_mutable) or ("_norm" in schema.name and any(arg is True for arg in node.args))


def _functional(program: ExportedProgram) -> ExportedProgram:
    """Give the program with every change of a tensor as an output; nothing else is decomposed."""
    with warnings.catch_warnings():
        # torch's own copying of a program uses names that torch is about to rename.
        warnings.simplefilter("ignore", FutureWarning)
        return program.run_decompositions({})


def _operator(node: Node) -> str:
    """Name the operator behind a node; a part of a result is its operator's."""
    while getattr(node.target, "_schema", None) is None and node.args and hasattr(node.args[0], "target"):
        node = node.args[0]
    return str(node.target)


def _same(left: Array, right: Array) -> bool:
    if left.shape != right.shape:
        return False
    if left.dtype.kind not in "fc":
        return bool(np.array_equal(left, right))
    finite = np.abs(left[np.isfinite(left)])
    most = _NEAR * float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(left, right, rtol=0, atol=most, equal_nan=True))
