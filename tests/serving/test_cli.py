"""The command line of `dyno serve`."""

from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner

from modeldyno.base.command.cli import SUMMARIES
from modeldyno.serving.cli import serve_command


def test_help_names_every_flag_and_its_default() -> None:
    text = CliRunner().invoke(serve_command, ["--help"]).output
    assert SUMMARIES["serve"] in text
    flags = (
        "--host",
        "--port",
        "--port-file",
        "--threads",
        "--workers",
        "--processes",
        "--model-name",
        "--cpus",
        "--max-body-mib",
        "--max-waiting",
        "--max-batch",
        "--batch-delay-ms",
        "--preferred-batch",
        "--deadline-ms",
        "--client-timeout",
    )
    for flag in flags:
        assert f"{flag} " in text
    assert text.count("default:") >= len(flags)


def test_the_command_imports_nothing_heavy() -> None:
    code = (
        "import modeldyno.serving.cli, sys\n"
        "print({'pydantic', 'numpy', 'uvicorn', 'onnxruntime'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
