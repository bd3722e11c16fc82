"""`dyno compile`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from modeldyno.base.command import console
from modeldyno.base.command.complete import completing, files_ending
from modeldyno.base.command.shape_flag import split_shapes
from modeldyno.base.errors import ConfigError
from modeldyno.base.flags import flags_of
from modeldyno.base.process.procs import python_module
from modeldyno.compiler.options import CompileLimits, CompileSource, Options

if TYPE_CHECKING:
    from pathlib import Path

    from modeldyno.runtime.records.manifest import Manifest


_ARGUMENTS = "dyno.arguments"


class _KeptArguments(click.Command):
    """Keeps the arguments as they were given: a process of its own gets the same."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep, then parse."""
        ctx.meta[_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def _begun(begun: str) -> list[str]:
    from modeldyno.compiler.targets.catalog import target_names

    return target_names(begun)


_COMPLETE = {"target": completing(_begun), "model": files_ending(".onnx", ".pt2")}


@click.command("compile", cls=_KeptArguments)
@flags_of(CompileSource, "source", complete=_COMPLETE)
@flags_of(Options, "options")
@flags_of(CompileLimits, "limits")
@click.pass_context
def compile_command(
    ctx: click.Context, *, source: CompileSource, options: Options, limits: CompileLimits
) -> None:
    """Compile an ONNX or torch.export model into an artifact folder.

    MODEL is an .onnx file (external data beside it is read too) or a .pt2 file of torch.export.save. The
    outputs are checked against the source model's on several kinds of seeded inputs: if they differ, there is
    no artifact. Nor is there one of a model with operators that can't be compiled, which are named, unless
    `--fallback` says where they are to run. The work is done in a process of its own, within limits.

    \b
    Example:
        dyno compile model.onnx -o artifact --shape image=1..32,3,224,224 --target c7g.xlarge

    Exit codes: 0 compiled; 1 less is compiled than --min-compiled asks for; 2 bad input, a model that can't
    be compiled, or outputs that differ; 130 interrupted, 143 ended by SIGTERM.
    """
    split_shapes(source.shapes)
    if options.tuning_records and not options.reuse_tuning:
        raise ConfigError("`tuning_records` and `reuse_tuning=False` go against each other")
    if source.inputs and not options.verify:
        raise ConfigError("`inputs` is for the check that `verify=False` leaves out")
    from modeldyno.compiler.model.source import check_model_file

    check_model_file(source.model)
    from modeldyno.compiler import apart
    from modeldyno.compiler.artifact.outputs import check_output

    check_output(source.output)
    if limits.here is None:
        command = python_module("modeldyno", "compile", *ctx.meta[_ARGUMENTS], "--here")
        allowed = apart.limits_of(limits.memory_limit_mib, limits.time_limit_s)
        ctx.exit(apart.run_apart(command, source.output, source.model.name, allowed))
    began = time.perf_counter()
    manifest = _compiled(source, options, limits.here, began)
    _tell(manifest, source.output, time.perf_counter() - began, as_json=limits.as_json)


def _compiled(source: CompileSource, options: Options, here: Path, began: float) -> Manifest:
    """Compile in this process; say how far it is."""
    from modeldyno.base.host.facts import host_facts
    from modeldyno.compiler import apart
    from modeldyno.compiler.models import compile_model
    from modeldyno.compiler.targets.catalog import resolve_target

    # Here, not above: to know what `host` is takes TVM, and only one of the two processes is to load it.
    console.say(f"target: {resolve_target(source.target, host_facts()).name}")
    console.say(f"limits: {apart.limits_text(here)}")

    def say(text: str) -> None:
        console.say(f"{time.perf_counter() - began:7.1f}s  {text}")

    def on_stage(name: str) -> None:
        apart.note_stage(here, name)
        say(name)

    with apart.silent_interrupts():
        return compile_model(
            source.model,
            source.output,
            target=source.target,
            shapes=split_shapes(source.shapes),
            inputs=source.inputs,
            options=options,
            on_stage=on_stage,
            on_tuning=lambda text: say(f"  {text}"),
        )


def _tell(manifest: Manifest, output: Path, seconds: float, *, as_json: bool) -> None:
    from modeldyno.compiler.artifact.summary import print_manifest
    from modeldyno.runtime.tools.parity_text import undecided_lines

    if not as_json:
        print_manifest(manifest, output, seconds)
        return
    for line in undecided_lines(manifest.parity):
        console.say(line)
    click.echo(manifest.model_dump_json(indent=2))
