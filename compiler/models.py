"""The one function to call: from a model file or module to an artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from modeldyno.base.errors import ConfigError
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.artifact.outputs import check_output
from modeldyno.compiler.check.user_inputs import Given as GivenInputs
from modeldyno.compiler.check.user_inputs import read_inputs, read_open_inputs
from modeldyno.compiler.compile import compile_source
from modeldyno.compiler.frontends.dispatch import read_source, source_family
from modeldyno.compiler.model.shapes import (
    Given,
    fixed_shapes,
    is_open,
    open_dimensions,
    parse_shapes,
    template,
)
from modeldyno.compiler.options import Options
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.targets.catalog import resolve_target
from modeldyno.compiler.watch import Say, watch_of
from modeldyno.runtime.records.manifest import Manifest


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
    on_stage: Say | None = None,
    on_tuning: Say | None = None,
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
    watch = watch_of(on_stage, on_tuning)
    watch.stage("read")
    sizes = parse_shapes(shapes or {})
    foreign = bool(options and options.fallback)
    if is_open(sizes):
        if resolved.kind == "cuda":
            raise ConfigError(
                f"{resolved.name}: artifacts of several shapes can't be made for GPUs yet: give fixed sizes"
            )
        from modeldyno.compiler.ranges.family import FamilyCompile, compile_family

        places = {(name, at) for name, given in sizes.items() for at in open_dimensions(given)}
        family = source_family(model, places, example_inputs, example_kwargs, foreign=foreign)
        shaped = template(family.declared, sizes)
        records = read_open_inputs(inputs, shaped, family.dtypes)
        return compile_family(
            FamilyCompile(family, shaped, resolved, options or Options(), watch, records), output
        )
    source = read_source(model, fixed_shapes(sizes), example_inputs, example_kwargs, foreign=foreign)
    source = replace(source, records=read_inputs(inputs, source.inputs))
    return compile_source(CompileRequest(source, resolved, options or Options(), watch), output)
