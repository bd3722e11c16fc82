"""A torch.export program as a source: its inputs by name, its outputs by running it, its import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modeldyno.base.errors import ConfigError, ModelError, first_line
from modeldyno.base.records.record import TensorSpec
from modeldyno.compiler.check.samples import DRAWS, NORMAL, draw
from modeldyno.compiler.frontends.torch.import_paths import onnx_path, torch_path
from modeldyno.compiler.frontends.torch.quantised import by_pairs, is_quantised
from modeldyno.compiler.frontends.torch.roles import torch_facts
from modeldyno.compiler.frontends.torch.state import refuse_two_answers
from modeldyno.compiler.frontends.torch.widen import name_of, narrow_kinds, widened
from modeldyno.compiler.model.arrays import Array
from modeldyno.compiler.model.fixed_shapes import Shapes, fix_shapes
from modeldyno.compiler.model.input_roles import Facts
from modeldyno.compiler.model.source import Given, Source
from modeldyno.compiler.precision.formats import BFLOAT16, FLOAT32, NumberFormat, coarsest, precision_words

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def source_of(program: ExportedProgram, name: str, digest: str, shapes: Shapes) -> Source:
    """Give a torch.export program as a source; `digest` is of what it came from.

    Raises:
        ModelError: it fails on random input, keeps state, or has an input or output that is not supported.
        ConfigError: `shapes` does not fit its inputs.
    """
    program = _with_fixed_shapes(program, shapes)
    inputs = tuple(
        TensorSpec(name=key, dtype=dtype_of(key, value), shape=tuple(int(size) for size in value.shape))
        for key, value in tensor_inputs(program).items()
    )
    kinds, given = narrow_kinds(program), program
    program = widened(program, name) if kinds else program
    reference = reference_of(program, program.module())
    facts = torch_facts(program)
    outputs = tuple(
        TensorSpec(name=key, dtype=str(value.dtype), shape=value.shape)
        for key, value in tried(reference, inputs, facts, name).items()
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
        reference_name=f"torch {imported_torch().__version__}{' in float32' if kinds else ''}",
        road=road,
        otherwise=lambda error: onnx_path(program, source, error),
        facts=lambda: facts,
        precision=precision_words(kinds),
        given=_given(given, coarsest(kinds)),
        maker=partial(_maker, program, tuple(spec.name for spec in outputs)),
    )
    return by_pairs(program, source) if is_quantised(program) else source


def is_rewritten(program: ExportedProgram) -> bool:
    """Whether a program is compiled as another: it is in other numbers than float32."""
    return bool(narrow_kinds(program)) or is_quantised(program)


def _given(program: ExportedProgram, narrow: NumberFormat | None) -> Given | None:
    """Give a program in its own numbers; None where those are float32."""
    return Given(reference_of(program, program.module()), narrow.tolerance) if narrow else None


def _maker(program: ExportedProgram, outputs: Sequence[str], output: str) -> str:
    """Name the operator that gives an output, and its module; nothing where no operator does."""
    names = program.graph_signature.user_outputs
    if len(names) != len(outputs):  # some are no tensors
        return ""
    wanted = names[outputs.index(output)]
    node = next((node for node in program.graph.nodes if node.name == wanted), None)
    if node is None or node.op != "call_function":
        return ""
    path, kind = next(reversed(node.meta.get("nn_module_stack", {"": ("", "")}).values()))
    where = f"module {path!r}, " if path else ""
    return f"{node.target} ({where}{str(kind).rsplit('.', 1)[-1]})" if kind else str(node.target)


def _with_fixed_shapes(program: ExportedProgram, shapes: Shapes) -> ExportedProgram:
    tensors = tensor_inputs(program)
    declared = {
        key: tuple(size if isinstance(size, int) else None for size in value.shape)
        for key, value in tensors.items()
    }
    fixed = fix_shapes(declared, shapes)
    if all(size is not None for shape in declared.values() for size in shape):
        return program
    torch = imported_torch()
    examples = {key: torch.zeros(fixed[key], dtype=value.dtype) for key, value in tensors.items()}
    args, kwargs = arguments(program, examples)
    try:
        return torch.export.export(program.module(), args, kwargs)
    except Exception as error:
        # torch.export has no error base of its own; the program's guards raise AssertionError.
        shown = ", ".join(f"{key}={','.join(map(str, shape))}" for key, shape in fixed.items())
        raise ConfigError(f"the model does not take the shapes {shown}: {first_line(error)}") from error


def tensor_inputs(program: ExportedProgram) -> dict[str, torch.Tensor]:
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


def arguments(program: ExportedProgram, feeds: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Lay named tensors out as the program's own (args, kwargs)."""
    from torch.utils import _pytree as pytree  # torch.export's own calling convention has no public home

    flat = [
        feeds.get(name) if isinstance(name, str) else name for name in program.graph_signature.user_inputs
    ]
    args, kwargs = pytree.tree_unflatten(flat, program.call_spec.in_spec)
    return args, kwargs


def reference_of(
    program: ExportedProgram, module: torch.nn.Module
) -> Callable[[dict[str, Array]], dict[str, Array]]:
    """Run `module` on named arrays, by the calling convention of `program`.

    bfloat16, which numpy has not, comes and goes as float32.
    """
    torch = imported_torch()
    dtypes = {name: value.dtype for name, value in tensor_inputs(program).items()}

    def run(feeds: dict[str, Array]) -> dict[str, Array]:
        # Copies: a model may change its inputs.
        tensors = {name: torch.from_numpy(array.copy()).to(dtypes[name]) for name, array in feeds.items()}
        args, kwargs = arguments(program, tensors)
        with torch.no_grad():
            result = module(*args, **kwargs)
        return {name: _array(tensor) for name, tensor in named_outputs(result)}

    return run


def _array(tensor: torch.Tensor) -> Array:
    known = tensor.detach()
    array: Array = (known.float() if name_of(known.dtype) == BFLOAT16.name else known).numpy()
    return array


def tried(
    reference: Callable[[dict[str, Array]], dict[str, Array]],
    inputs: tuple[TensorSpec, ...],
    facts: Facts,
    name: str,
) -> dict[str, Array]:
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
                raise ModelError(f"{name} fails in torch on random input: {first_line(error)}") from error
    if not outputs:
        raise ModelError(f"{name} returns no tensor")
    return outputs


def named_outputs(result: object) -> list[tuple[str, torch.Tensor]]:
    """Name outputs by their place in what the module returns: a key, a field, or output_N."""
    from torch.utils import _pytree as pytree

    leaves, _ = pytree.tree_flatten_with_path(result)
    tensors = [(path, leaf) for path, leaf in leaves if hasattr(leaf, "numpy")]
    names = [_path_name(path, index) for index, (path, _) in enumerate(tensors)]
    if len(set(names)) < len(names):  # {"a": {"b": x}, "a_b": y}
        names = [f"output_{index}" for index in range(len(names))]
    return [(name, leaf) for name, (_, leaf) in zip(names, tensors, strict=True)]


def _path_name(path: Sequence[object], index: int) -> str:
    keys = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", "")))) for key in path]
    named = [key for key in keys if key and not key.isdigit()]
    return "_".join(keys) if named else f"output_{index}"


def dtype_of(name: str, value: torch.Tensor) -> str:
    """Give the dtype of an input as numpy names it; float32 for bfloat16.

    Raises:
        ModelError: numpy has none for it.
    """
    text = name_of(value.dtype)
    if text == BFLOAT16.name:
        return FLOAT32.name
    if text in ("complex64", "complex128"):
        raise ModelError(
            f"input {name!r} has dtype {text}, which is not supported; export with float32 inputs"
        )
    return text


def imported_torch() -> ModuleType:
    """Import torch.

    Raises:
        ModelError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise ModelError(
            "PyTorch models need torch: install the extra, `pip install modeldyno[torch]`"
        ) from error
    return torch
