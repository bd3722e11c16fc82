"""modeldyno as a backend of the `onnx` package: prepare, run_model, run_node over compile and runtime.

    from modeldyno.compiler.onnx_backend import ModeldynoBackend

    outputs = ModeldynoBackend.run_model(onnx.load("model.onnx"), [image])

Compiled code has fixed shapes, and the interface brings inputs only when the model runs: it is compiled
then, once for each set of input shapes. Inputs that decide shapes (axes, sizes, `k`) are made constants of
the values given, and the model is compiled anew for other values; `Prepared.specialised` names them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.backend.base import Backend, BackendRep

from modeldyno.base.errors import ModelError, RequestError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.compile import compile_source
from modeldyno.compiler.frontends.onnx.file import read_onnx
from modeldyno.compiler.frontends.onnx.freeze import freeze, shape_inputs
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.options import Fallback, Options
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.targets.catalog import resolve_target
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.origin import Coverage
from modeldyno.runtime.sessions.base import AnySession

NODE_OPSET = 23  # the newest of the onnx package may be newer than ONNX Runtime reads


class Prepared(BackendRep):
    """A model that is compiled when its first inputs come. `threads` inside one inference.

    With `fallback` ("onnxruntime"), what can't be compiled, or gives other results on these inputs than
    there, runs there, and inputs may be text and sequences; `coverage` says how much is compiled.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        *,
        threads: int = 1,
        verify: bool = False,
        fallback: Fallback | None = None,
    ) -> None:
        self.model = model
        self.fallback = fallback
        self.threads = threads
        self.verify = verify
        weights = {tensor.name for tensor in model.graph.initializer}
        self.inputs = tuple(value.name for value in model.graph.input if value.name not in weights)
        self.specialised = shape_inputs(model)
        self.coverage: Coverage | None = None
        self._sessions: dict[Any, AnySession] = {}

    def run(self, inputs: Any, **_kwargs: Any) -> tuple[Array, ...]:
        """Run on arrays in the model's order, or on a dict of them.

        Raises:
            ModelError, CompileError: the model can't be compiled, or an input is no array.
            RequestError: an input is missing, or there are too many.
        """
        feeds = self._named(inputs)
        session = self._session(feeds)
        found = session.run({spec.name: feeds[spec.name] for spec in session.inputs})
        return tuple(found.values())

    def _named(self, inputs: Any) -> dict[str, Any]:
        if isinstance(inputs, Mapping):
            given = dict(inputs)
        else:
            values = list(inputs) if isinstance(inputs, Sequence) else [inputs]
            if len(values) > len(self.inputs):
                raise RequestError(f"{len(values)} inputs for a model that takes {len(self.inputs)}")
            given = dict(zip(self.inputs, values, strict=False))
        missing = [name for name in self.inputs if name not in given]
        if missing:
            raise RequestError(f"input {missing[0]!r} is missing; the inputs are: {', '.join(self.inputs)}")
        for name in self.inputs:
            if not isinstance(given[name], np.ndarray | np.generic) and not self.fallback:
                raise ModelError(f"input {name!r} is no tensor; only tensors are supported")
        return {name: _array(given[name]) for name in self.inputs}

    def _session(self, feeds: dict[str, Any]) -> AnySession:
        frozen = {name: feeds[name] for name in self.specialised}
        given = {name: value for name, value in feeds.items() if name not in frozen}
        shapes = {name: value.shape for name, value in given.items() if isinstance(value, np.ndarray)}
        key = (
            tuple(sorted(shapes.items())),
            tuple((name, array.shape, array.tobytes()) for name, array in frozen.items()),
        )
        if key not in self._sessions:
            self._sessions[key] = self._compiled(freeze(self.model, frozen), shapes, given)
        return self._sessions[key]

    def _compiled(
        self, model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]], feeds: dict[str, Any]
    ) -> AnySession:
        with tempfile.TemporaryDirectory(prefix="dyno-backend-") as folder:
            path = Path(folder) / "model.onnx"
            onnx.save(model, path)
            tensors = {name: shape for name, shape in shapes.items() if _is_tensor(model, name)}
            source = read_onnx(path, tensors, foreign=bool(self.fallback))
            if self.fallback:
                source = replace(source, feeds=lambda _seed: feeds)
            artifact = Path(folder) / "artifact"
            verify = self.verify or bool(self.fallback)
            options = Options(verify=verify, reuse_tuning=False, fallback=self.fallback)
            request = CompileRequest(source, resolve_target("host", host_facts()), options)
            manifest = compile_source(request, artifact)
            self.coverage = manifest.coverage
            return open_session(artifact, threads=self.threads)  # keeps mapped what the folder's end removes


class ModeldynoBackend(Backend):
    """The interface of `onnx.backend.base` over compile and runtime, for the processor of this machine."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether `device` is the CPU."""
        return device.split(":", 1)[0] == "CPU"

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """Make a model ready to be compiled for its first inputs; options as those of `Prepared`.

        Raises:
            ModelError: the model is not for the CPU.
        """
        if not cls.supports_device(device):
            raise ModelError(f"the backend runs on the CPU of this machine; not on {device!r}")
        return Prepared(
            model,
            threads=kwargs.get("threads", 1),
            verify=kwargs.get("verify", False),
            fallback=kwargs.get("fallback"),
        )

    @classmethod
    def run_model(
        cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[Array, ...]:
        """Compile a model and run it once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Array, ...]:
        """Compile a model of one node and run it once; of opset 23, or of `opset_version`."""
        names = list(dict.fromkeys(name for name in node.input if name))
        arrays = [np.asarray(array) for array in inputs]
        given = [_value(name, a.dtype, a.shape) for name, a in zip(names, arrays, strict=True)]
        names_out = [name for name in node.output if name]
        if outputs_info is None:
            outputs = [helper.make_empty_tensor_value_info(name) for name in names_out]
        else:
            outputs = [_value(n, np.dtype(d), s) for n, (d, s) in zip(names_out, outputs_info, strict=True)]
        graph = helper.make_graph([node], "node", given, outputs)
        opset = helper.make_opsetid(node.domain, kwargs.pop("opset_version", NODE_OPSET))
        ir_version = helper.find_min_ir_version_for([opset], ignore_unknown=True)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=ir_version)
        if outputs_info is None:
            model = onnx.shape_inference.infer_shapes(model)
        return cls.run_model(model, arrays, device, **kwargs)


def _array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic) else value


def _is_tensor(model: onnx.ModelProto, name: str) -> bool:
    kinds = {value.name: value.type.WhichOneof("value") for value in model.graph.input}
    return bool(kinds.get(name) == "tensor_type")


def _value(name: str, dtype: Any, shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), list(shape))


prepare = ModeldynoBackend.prepare
run_model = ModeldynoBackend.run_model
run_node = ModeldynoBackend.run_node
supports_device = ModeldynoBackend.supports_device
