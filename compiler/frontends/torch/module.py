"""PyTorch: an nn.Module with example inputs, or a torch.export program (`.pt2`); imports it when called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from modeldyno.base.digests import digest_files
from modeldyno.base.errors import ConfigError, ModelError
from modeldyno.base.records.run import TensorSpec
from modeldyno.base.rowflow.records import Graph
from modeldyno.compiler.check.samples import DRAWS, NORMAL, draw
from modeldyno.compiler.frontends.family import Family
from modeldyno.compiler.frontends.torch.graph import open_sizes, program_records
from modeldyno.compiler.frontends.torch.import_paths import onnx_path, torch_path
from modeldyno.compiler.frontends.torch.pt2_archive import check_example_inputs, check_pt2, written_by
from modeldyno.compiler.frontends.torch.roles import torch_facts
from modeldyno.compiler.frontends.torch.state import left_alone, refuse_state, refuse_two_answers
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.fixed_shapes import Shapes, fix_shapes
from modeldyno.compiler.model.input_roles import Facts
from modeldyno.compiler.model.shapes import Template
from modeldyno.compiler.model.source import Source, check_model_file


def read_pt2(path: Path, shapes: Shapes) -> Source:
    """Read a program saved by `torch.export.save`.

    Raises:
        ModelError: missing, empty, damaged, torch is not installed, or an input has no fixed shape.
        ConfigError: `shapes` does not fit the program's inputs.
    """
    return _source(_load(path), path.name, digest_files([path]), shapes)


def pt2_family(path: Path) -> Family:
    """Open a program saved by `torch.export.save` whose shapes are to be fixed later.

    Raises:
        ModelError: missing, empty, damaged, or torch is not installed.
    """
    program = _load(path)
    digest = digest_files([path])
    tensors = _tensor_inputs(program)
    return Family(
        name=path.name,
        declared={
            name: tuple(size if isinstance(size, int) else str(size) for size in value.shape)
            for name, value in tensors.items()
        },
        dtypes={name: _dtype(name, value) for name, value in tensors.items()},
        at=lambda shapes: _source(program, path.name, digest, shapes),
        reference=_reference(program, program.module()),
        graph=lambda _template: program_records(program),
    )


def _load(path: Path) -> Any:
    check_model_file(path)
    check_pt2(path)
    torch = _torch()
    check_example_inputs(path, torch.load)
    try:
        program = torch.export.load(path)
    except Exception as error:
        # torch raises many kinds here (zip, JSON, KeyError, RuntimeError); none of them says what the file
        # is.
        other, here = written_by(path), torch.__version__
        way_out = (
            f". It was written by torch {other}, and here is torch {here}: export it again with this one"
        )
        raise ModelError(
            f"{path} is no readable torch.export program (.pt2): {_first_line(error).rstrip(' .')}"
            f"{way_out if other and other != here else ''}"
        ) from error
    refuse_state(program, path.name)
    return program


def read_module(module: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> Source:
    """Export an nn.Module with example inputs; their shapes are the compiled ones.

    Raises:
        ModelError: torch can't export the module.
    """
    program = _exported(module, args, kwargs)
    name = type(module).__name__
    source = _source(program, name, _digest_state(program), {})
    # What the module keeps in Python is a constant of the program: only the module itself shows it.
    with left_alone(module):
        _tried(_reference(program, module), source.inputs, torch_facts(program), name)
    return source


def module_family(
    module: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    is_open: Callable[[str, int], bool],
) -> Family:
    """Open an nn.Module; `is_open` says which dimensions of an input may differ from the example's.

    It is exported anew for each shape, so that nothing in it has to be traced for sizes that are not known.

    Raises:
        ModelError: torch can't export the module.
    """
    torch = _torch()
    example = _exported(module, args, kwargs)
    tensors = _tensor_inputs(example)

    def at(shapes: Shapes) -> Source:
        made = {name: torch.zeros(shapes[name], dtype=value.dtype) for name, value in tensors.items()}
        return read_module(module, *_arguments(example, made))

    return Family(
        name=type(module).__name__,
        declared={
            name: tuple(None if is_open(name, at) else int(size) for at, size in enumerate(value.shape))
            for name, value in tensors.items()
        },
        dtypes={name: _dtype(name, value) for name, value in tensors.items()},
        at=at,
        reference=_undisturbed(_reference(example, module), module),
        graph=partial(_open_graph, module, example),
    )


def _open_graph(module: Any, example: Any, template: Template) -> Graph:
    """Export a module again with the template's axes open."""
    torch = _torch()
    shapes, dims = open_sizes(template)
    tensors = _tensor_inputs(example)
    made = {name: torch.zeros(shapes[name], dtype=value.dtype) for name, value in tensors.items()}
    open_ = torch.export.ShapesCollection()
    for name, found in dims.items():
        open_[made[name]] = found
    args, kwargs = _arguments(example, made)
    with torch.no_grad():
        program = torch.export.export(module.eval(), args, kwargs, dynamic_shapes=open_)
    return program_records(program)


def _exported(module: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> Any:
    torch = _torch()
    try:
        with left_alone(module), torch.no_grad():
            program = torch.export.export(module, tuple(args), dict(kwargs or {}))
    except Exception as error:
        # torch.export has no error base of its own.
        raise ModelError(
            f"torch.export can't export {type(module).__name__}: {_first_line(error)}"
        ) from error
    refuse_state(program, type(module).__name__)
    return program


def _source(program: Any, name: str, digest: str, shapes: Shapes) -> Source:
    program = _with_fixed_shapes(program, shapes)
    inputs = tuple(
        TensorSpec(name=key, dtype=_dtype(key, value), shape=tuple(int(size) for size in value.shape))
        for key, value in _tensor_inputs(program).items()
    )
    reference = _reference(program, program.module())
    facts = torch_facts(program)
    outputs = tuple(
        TensorSpec(name=key, dtype=str(value.dtype), shape=value.shape)
        for key, value in _tried(reference, inputs, facts, name).items()
    )
    road, import_relax = torch_path(program)
    source = Source(
        name=name,
        frontend="torch.export",
        digest=digest,
        inputs=inputs,
        outputs=outputs,
        import_relax=import_relax,
        reference=reference,
        reference_name=f"torch {_torch().__version__}",
        road=road,
        otherwise=lambda error: onnx_path(program, source, error),
        facts=lambda: facts,
    )
    return source


def _with_fixed_shapes(program: Any, shapes: Shapes) -> Any:
    tensors = _tensor_inputs(program)
    declared = {
        key: tuple(size if isinstance(size, int) else None for size in value.shape)
        for key, value in tensors.items()
    }
    fixed = fix_shapes(declared, shapes)
    if all(size is not None for shape in declared.values() for size in shape):
        return program
    torch = _torch()
    examples = {key: torch.zeros(fixed[key], dtype=value.dtype) for key, value in tensors.items()}
    args, kwargs = _arguments(program, examples)
    try:
        return torch.export.export(program.module(), args, kwargs)
    except Exception as error:
        # torch.export has no error base of its own; the program's guards raise AssertionError.
        shown = ", ".join(f"{key}={','.join(map(str, shape))}" for key, shape in fixed.items())
        raise ConfigError(f"the model does not take the shapes {shown}: {_first_line(error)}") from error


def _tensor_inputs(program: Any) -> dict[str, Any]:
    """Name the user's tensor inputs in order, each with its fake tensor (shape and dtype)."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    found: dict[str, Any] = {}
    for name in program.graph_signature.user_inputs:
        value = nodes[name].meta.get("val") if isinstance(name, str) and name in nodes else None
        if value is not None and hasattr(value, "dtype"):
            found[name] = value
        elif value is not None:
            raise ModelError(
                f"input {name!r} is no tensor ({value!r}); export the model with it as a constant"
            )
    return found


def _arguments(program: Any, feeds: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Lay named tensors out as the program's own (args, kwargs)."""
    from torch.utils import _pytree as pytree  # torch.export's own calling convention has no public home

    flat = [
        feeds.get(name) if isinstance(name, str) else name for name in program.graph_signature.user_inputs
    ]
    args, kwargs = pytree.tree_unflatten(flat, program.call_spec.in_spec)
    return args, kwargs


def _reference(program: Any, module: Any) -> Callable[[dict[str, Array]], dict[str, Array]]:
    """Run `module` on named arrays, by the calling convention of `program`."""
    torch = _torch()

    def run(feeds: dict[str, Array]) -> dict[str, Array]:
        # Copies: a model may change its inputs.
        tensors = {name: torch.from_numpy(array.copy()) for name, array in feeds.items()}
        args, kwargs = _arguments(program, tensors)
        with torch.no_grad():
            result = module(*args, **kwargs)
        return {name: tensor.detach().numpy() for name, tensor in named_outputs(result)}

    return run


def _undisturbed(
    run: Callable[[dict[str, Array]], dict[str, Array]], module: Any
) -> Callable[[dict[str, Array]], dict[str, Array]]:
    """Give what runs a module as one that leaves it as it was."""

    def apart(feeds: dict[str, Array]) -> dict[str, Array]:
        with left_alone(module):
            return run(feeds)

    return apart


def _tried(reference: Any, inputs: tuple[TensorSpec, ...], facts: Facts, name: str) -> dict[str, Array]:
    """Run the model on one sample, twice: its outputs are known by running it, and it must keep no state."""
    outputs: dict[str, Array] = {}
    for attempt in range(DRAWS):
        feeds = draw(inputs, facts, NORMAL, 0, attempt)
        try:
            outputs = refuse_two_answers(partial(reference, feeds), name)
            break
        except ModelError:
            raise
        except Exception as error:
            # Whatever the model's own operators raise.
            if attempt == DRAWS - 1:
                raise ModelError(f"{name} fails in torch on random input: {_first_line(error)}") from error
    if not outputs:
        raise ModelError(f"{name} returns no tensor")
    return outputs


def named_outputs(result: Any) -> list[tuple[str, Any]]:
    """Name outputs by their place in what the module returns: a key, a field, or output_N."""
    from torch.utils import _pytree as pytree

    leaves, _ = pytree.tree_flatten_with_path(result)
    tensors = [(path, leaf) for path, leaf in leaves if hasattr(leaf, "numpy")]
    names = [_path_name(path, index) for index, (path, _) in enumerate(tensors)]
    if len(set(names)) < len(names):  # {"a": {"b": x}, "a_b": y}
        names = [f"output_{index}" for index in range(len(names))]
    return [(name, leaf) for name, (_, leaf) in zip(names, tensors, strict=True)]


def _path_name(path: Sequence[Any], index: int) -> str:
    keys = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", "")))) for key in path]
    named = [key for key in keys if key and not key.isdigit()]
    return "_".join(keys) if named else f"output_{index}"


def _dtype(name: str, value: Any) -> str:
    text = str(value.dtype).removeprefix("torch.")
    if text in ("bfloat16", "complex64", "complex128"):
        raise ModelError(
            f"input {name!r} has dtype {text}, which is not supported; export with float32 inputs"
        )
    return text


def _digest_state(program: Any) -> str:
    """Digest of a module that has no file: its graph and its weights."""
    state = hashlib.blake2b(str(program.graph).encode(), digest_size=32)
    for name, tensor in sorted(program.state_dict.items()):
        state.update(name.encode())
        # As bytes: numpy has no bfloat16.
        state.update(tensor.detach().contiguous().reshape(-1).view(_torch().uint8).numpy().tobytes())
    return state.hexdigest()


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            "PyTorch models need torch: install the extra, `pip install modeldyno[torch]`"
        ) from error
    return torch


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
