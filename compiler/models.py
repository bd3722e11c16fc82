"""The one function to call: from a model file or module to an artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeldyno.base.errors import ConfigError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.artifact.outputs import check_output
from modeldyno.compiler.check.user_inputs import Given as GivenInputs
from modeldyno.compiler.check.user_inputs import read_inputs, read_open_inputs
from modeldyno.compiler.model.shapes import (
    Given,
    fixed_shapes,
    is_open,
    open_dimensions,
    parse_shapes,
    template,
)
from modeldyno.compiler.model.source import Shapes, Source
from modeldyno.compiler.options import Options
from modeldyno.compiler.stages.base import OnStage
from modeldyno.compiler.targets.catalog import resolve_target
from modeldyno.compiler.whole import OnTuning, compile_source
from modeldyno.runtime.records.manifest import Manifest

if TYPE_CHECKING:
    from modeldyno.compiler.frontends.family import Family


def compile_model(
    model: Any,
    output: Path,
    *,
    target: str = "host",
    shapes: Given | None = None,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    inputs: Sequence[GivenInputs] = (),
    options: Options | None = None,
    on_stage: OnStage | None = None,
    on_tuning: OnTuning | None = None,
) -> Manifest:
    """Compile a model file (`.onnx`, `.pt2`) or an nn.Module with example inputs into the folder `output`.

    `shapes` fixes input shapes that the file leaves open, by input name; a size may be a text that names
    several ("1..32", "1|4|8": see `compiler.model.shapes`), each of which is cut into segments for itself
    where `options.fallback` asks for segments. `inputs` are records that the outputs are compared on too:
    .npz files, or arrays by the inputs' names. `on_stage` is called with each stage's name as it begins;
    `on_tuning` with a line of text for each kernel that was measured, and with what is wrong with the tuning
    records, which is a UserWarning where it is None.

    Raises:
        ModelError, ConfigError: the model can't be read, or the arguments don't fit it.
        CompileError, ParityError: compiling failed, or the outputs differ from the source model's.
        OutputError: `output` can't be written.
    """
    resolved = resolve_target(target, host_facts())
    check_output(output)
    if on_stage:
        on_stage("read")
    sizes = parse_shapes(shapes or {})
    foreign = bool(options and options.fallback)
    if is_open(sizes):
        if resolved.kind == "cuda":
            raise ConfigError(
                f"{resolved.name}: artifacts of several shapes can't be made for GPUs yet: give fixed sizes"
            )
        from modeldyno.compiler.ranges.family import FamilyCompile, compile_family

        places = {(name, at) for name, given in sizes.items() for at in open_dimensions(given)}
        family = open_family(model, places, example_inputs, example_kwargs, foreign=foreign)
        shaped = template(family.declared, sizes)
        records = read_open_inputs(inputs, shaped, family.dtypes)
        return compile_family(
            FamilyCompile(family, shaped, resolved, options or Options(), on_stage, on_tuning, records),
            output,
        )
    source = read_source(model, fixed_shapes(sizes), example_inputs, example_kwargs, foreign=foreign)
    source = replace(source, records=read_inputs(inputs, source.inputs))
    return compile_source(
        source, output, resolved, options or Options(), on_stage=on_stage, on_tuning=on_tuning
    )


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
        from modeldyno.compiler.frontends.dispatch import read_model

        return read_model(Path(model), shapes, foreign=foreign)
    if args is None:
        raise ConfigError("an nn.Module needs example_inputs: a sequence of tensors")
    from modeldyno.compiler.frontends.torch.module import read_module

    return read_module(model, args, kwargs)


def open_family(
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
        from modeldyno.compiler.frontends import dispatch

        return dispatch.open_family(Path(model), foreign=foreign)
    if args is None:
        raise ConfigError("an nn.Module needs example_inputs: a sequence of tensors")
    from modeldyno.compiler.frontends.torch.module import module_family

    return module_family(model, args, kwargs, lambda name, at: (name, at) in places)
