"""ONNX files: checked, given fixed shapes, simplified by ONNX Runtime's own standard-operator rewrites."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from modeldyno.base.digests import digest_files
from modeldyno.base.errors import ModelError
from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.frontends.family import Family
from modeldyno.compiler.frontends.onnx.branches import without_impossible_branches
from modeldyno.compiler.frontends.onnx.checks import check_nothing_is_empty, check_operators, check_outputs
from modeldyno.compiler.frontends.onnx.facts import input_facts
from modeldyno.compiler.frontends.onnx.formats.plain import Plain, Wide, plain, read_wide
from modeldyno.compiler.frontends.onnx.formats.refused import refuse_quantised
from modeldyno.compiler.frontends.onnx.importer import import_onnx
from modeldyno.compiler.frontends.onnx.records import divisors, graph_records
from modeldyno.compiler.frontends.onnx.reference import REFERENCE, reference
from modeldyno.compiler.frontends.onnx.rules.ceil_pools import without_late_windows
from modeldyno.compiler.frontends.onnx.sizes import check_sizes
from modeldyno.compiler.frontends.onnx.value_types import with_types
from modeldyno.compiler.frontends.onnx.weights import CANT_LOAD, NO_QUANTISING, load, open_session
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.fixed_shapes import Shapes, fix_shapes, show_shape
from modeldyno.compiler.model.source import Source, check_model_file
from modeldyno.runtime.records.origin import Road

_HINT = "; `fallback=onnxruntime` keeps what reads and gives it in ONNX Runtime"
_HINT_FIXED = "; a range pads it with zeros, which it has not: compile this model for fixed shapes"


def read_onnx(path: Path, shapes: Shapes, *, foreign: bool = False) -> Source:
    """Read an ONNX file, external data included.

    `foreign` takes inputs and outputs that no compiled code can hold too: text, sequences, optionals.

    Raises:
        ModelError: missing, empty, truncated, no ONNX, an unknown operator or opset, no fixed shape.
        ConfigError: `shapes` does not fit the model's inputs.
    """
    check_model_file(path)
    wide = _load(path)
    model = wide.loaded.model
    check_operators(path, model)
    check_outputs(path, model)
    if not foreign:
        refuse_quantised(path, model)
    weights = {tensor.name for tensor in model.graph.initializer}
    free = [value for value in model.graph.input if value.name not in weights]
    tensors = [value for value in free if not foreign or _is_tensor(value)]
    check_nothing_is_empty(path, tensors, shapes)
    fixed = fix_shapes({value.name: _declared(path, value) for value in tensors}, shapes)
    for value in tensors:
        _set_shape(value, fixed[value.name])
    model = without_impossible_branches(model)
    check_sizes(path, model)
    try:
        floats = plain(path, model, wide, _simplify)
        simple = _simplify(path, floats.model, floats.mapped)
    except ModelError as error:
        raise _misfit(path, fixed, error) from error
    check_sizes(path, simple)
    again = partial(_simplify, path)
    dtype = _any_dtype if foreign else partial(_dtype, path)
    inputs = tuple(TensorSpec(name=v.name, dtype=dtype(v), shape=fixed.get(v.name, ())) for v in free)
    return Source(
        name=path.name,
        frontend="onnx",
        digest=digest_files([path, *wide.loaded.files]),
        inputs=inputs,
        outputs=tuple(_output_spec(value, dtype) for value in simple.graph.output),
        import_relax=lambda: import_onnx(simple, fixed, again),
        reference=reference(path, floats.model, floats.mapped),
        reference_name=f"{REFERENCE} in float32" if floats.kinds else REFERENCE,
        model=simple,
        simplify=again,
        reference_of=partial(reference, path),
        road=Road(name="onnx"),
        facts=input_facts(simple),
        rounded=floats.rounded,
        precision=floats.precision,
        given=floats.given(path),
    )


def onnx_family(path: Path, *, foreign: bool = False) -> Family:
    """Open an ONNX file whose shapes are to be fixed later; `foreign` as in `read_onnx`, but for the inputs.

    Raises:
        ModelError: missing, empty, truncated, no ONNX, or an input without a rank or of an unsupported type.
    """
    wide = _load(path)
    check_operators(path, wide.loaded.model)
    check_outputs(path, wide.loaded.model)
    if not foreign:
        refuse_quantised(path, wide.loaded.model)
    floats = plain(path, wide.loaded.model, wide, _simplify)
    model = floats.model
    weights = {tensor.name for tensor in model.graph.initializer}
    free = [value for value in model.graph.input if value.name not in weights]
    hint = _HINT_FIXED if foreign else _HINT
    return Family(
        name=path.name,
        declared={value.name: _named_sizes(path, value, hint) for value in free},
        dtypes={value.name: _dtype(path, value, hint) for value in free},
        at=lambda shapes: read_onnx(path, shapes, foreign=foreign),
        reference=_any_shape(path, floats),
        graph=lambda _template: graph_records(model),
        divisors=lambda: divisors(model),
        rounded=floats.rounded,
    )


def _named_sizes(path: Path, value: onnx.ValueInfoProto, hint: str) -> tuple[int | str | None, ...]:
    sizes = _declared(path, value, hint)
    names = [dim.dim_param or None for dim in value.type.tensor_type.shape.dim]
    return tuple(name if size is None else size for size, name in zip(sizes, names, strict=True))


def _any_shape(path: Path, floats: Plain) -> Callable[[dict[str, Array]], dict[str, Array]]:
    """Run the file as it is, which takes all the shapes that it declares; opened when first used."""
    opened: list[onnxruntime.InferenceSession] = []

    def run(feeds: dict[str, Array]) -> dict[str, Array]:
        if not opened:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            options.add_session_config_entry(*NO_QUANTISING)
            opened.append(open_session(path, floats.model, options, floats.mapped))
        names = [output.name for output in opened[0].get_outputs()]
        return dict(zip(names, opened[0].run(names, feeds), strict=True))

    return run


def _load(path: Path) -> Wide:
    wide = read_wide(path)
    if not wide.loaded.model.graph.node:
        raise ModelError(f"{path} is no ONNX model: it has no operators")
    return wide


def _declared(path: Path, value: onnx.ValueInfoProto, hint: str = _HINT) -> tuple[int | None, ...]:
    if value.type.WhichOneof("value") != "tensor_type":
        raise ModelError(f"{path}: input {value.name!r} is no tensor; only tensors are compiled{hint}")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise ModelError(f"{path}: input {value.name!r} has no rank; export the model with a shape for it")
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim
    )


def _misfit(path: Path, fixed: Shapes, error: ModelError) -> ModelError:
    """Say that the shapes are to blame, where ONNX Runtime loads the file without them."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        loaded = load(path)
        open_session(path, loaded.model, options, loaded.mapped)
    except ModelError:
        return error
    shown = ", ".join(f"{name} {show_shape(shape)}" for name, shape in fixed.items())
    why = str(error).removeprefix(f"{path}: {CANT_LOAD}: ")
    return ModelError(
        f"{path} can be loaded as it is, but not with its inputs fixed to {shown}: {why}. Give shapes that "
        "all of it takes (`shapes`), or serve the .onnx file itself: `dyno serve` runs it in ONNX Runtime",
        field="shapes",
    )


def _set_shape(value: onnx.ValueInfoProto, shape: tuple[int, ...]) -> None:
    for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = size


def _dtype(path: Path, value: onnx.ValueInfoProto, hint: str = _HINT) -> str:
    if not _is_tensor(value):
        raise ModelError(f"{path}: {value.name!r} is no tensor; only tensors are compiled{hint}")
    kind = value.type.tensor_type.elem_type
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    except (KeyError, TypeError):
        dtype = np.dtype(object)
    if dtype.kind not in "fiub":  # text, complex numbers, bfloat16 and smaller floats
        shown = onnx.TensorProto.DataType.Name(kind)
        raise ModelError(f"{path}: {value.name!r} has the element type {shown}, which is not supported{hint}")
    return str(dtype.name)


def _any_dtype(value: onnx.ValueInfoProto) -> str:
    """Word any type: a tensor's as numpy does where numpy has it, others as ONNX Runtime does."""
    if not _is_tensor(value):
        return _type_words(value.type)
    kind = value.type.tensor_type.elem_type
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    return str(dtype.name) if dtype.kind in "fiubO" and dtype.isbuiltin == 1 else _type_words(value.type)


def _type_words(kind: onnx.TypeProto) -> str:
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return f"tensor({onnx.TensorProto.DataType.Name(kind.tensor_type.elem_type).lower()})"
    if which == "map_type":
        key = onnx.TensorProto.DataType.Name(kind.map_type.key_type).lower()
        return f"map({key},{_type_words(kind.map_type.value_type)})"
    if which in ("sequence_type", "optional_type"):
        return f"{which.removesuffix('_type')}({_type_words(getattr(kind, which).elem_type)})"
    return "unknown()"


def _is_tensor(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.WhichOneof("value") == "tensor_type")


def _output_spec(value: onnx.ValueInfoProto, dtype_of: Callable[[onnx.ValueInfoProto], str]) -> TensorSpec:
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim
    )
    return TensorSpec(name=value.name, dtype=dtype_of(value), shape=shape)


def _simplify(
    path: Path, model: onnx.ModelProto, mapped: Mapping[str, Array] | None = None
) -> onnx.ModelProto:
    """Fold constants and shapes with the inputs now fixed; what comes out holds standard operators only."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        if _is_tensor(value):
            value.type.tensor_type.ClearField("shape")
    model = without_late_windows(model)
    with tempfile.TemporaryDirectory(prefix="dyno-onnx-") as folder:
        target = Path(folder) / "simple.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 4
        options.add_session_config_entry(*NO_QUANTISING)
        # Weights stay in a file of their own beside the graph: protobuf can't hold 2 GiB.
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", "simple.data"
        )
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", "1024"
        )
        open_session(path, model, options, mapped)
        simple = onnx.load(target)
    _sum_to_add(simple)
    return with_types(simple)


def _sum_to_add(model: onnx.ModelProto) -> None:
    """Sum of two becomes Add: TVM's front end stacks Sum's inputs in memory first."""
    for node in model.graph.node:
        if node.op_type == "Sum" and len(node.input) == 2:
            node.op_type = "Add"
