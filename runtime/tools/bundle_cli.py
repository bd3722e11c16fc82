"""`dyno bundle`."""

from __future__ import annotations

from pathlib import Path

import click

from modeldyno.base.command import console
from modeldyno.base.command.outputs import OutputFile
from modeldyno.base.files import STDOUT


@click.command("bundle")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=OutputFile(),
    required=True,
    metavar="FILE.tar.gz",
    help="The archive; - for stdout.",
)
@click.option(
    "--packages",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="Where apache-tvm and apache-tvm-ffi for another architecture lie.  [default: this Python's]",
)
def bundle_command(artifact: Path, *, output: Path, packages: Path | None) -> None:
    """Pack an artifact to run where only Python and numpy are.

    The archive holds the artifact, the runtime, a command (run.py) and a README. The machine needs the Python
    version and the processor architecture of this one, or those of --packages, and the CPU features that the
    artifact was made for. Where a part of the model runs in ONNX Runtime (`dyno compile --fallback`), it
    needs onnxruntime too, which does not go in.

    \b
    Example:
        dyno bundle artifact -o model.tar.gz

    Exit codes: 0 packed; 2 bad input, or the archive can't be written.
    """
    from modeldyno.base.units import BYTES_PER_MIB
    from modeldyno.runtime.tools.bundle import write_bundle

    made = write_bundle(artifact, output, packages)
    for package in made.needs:
        console.say(f"beside numpy, the machine needs {package}")
    words = (
        f"{made.bytes / BYTES_PER_MIB:.1f} MiB; unpacked: artifact "
        f"{made.artifact_bytes / BYTES_PER_MIB:.1f} MiB, runtime {made.lib_bytes / BYTES_PER_MIB:.1f} MiB"
    )
    if output == STDOUT:
        console.say(words)
    else:
        click.echo(f"wrote {made.path}: {words}")
