"""What one compile did, as text: a digest for each stage, each scheduled kernel's rule, each file, each fact.

Compiled code is deterministic, so two records differ only where the compiler does. What depends on the hour,
the machine or the packages is left out of the manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import tvm
from tvm import relax

from modeldyno.base.errors import CompileError
from modeldyno.compiler import compile_model
from modeldyno.compiler.memory.planning import is_planned
from modeldyno.compiler.options import Options
from modeldyno.compiler.stages.dump import dump_text
from tests.compiler.models import saved
from tests.replay.buffers import check_buffers
from tests.replay.nets import Net

# By name, at any depth of the manifest: clocks, machines, packages, and digests that follow from them.
_VARYING = {
    *("created_at", "seconds", "p50_ms", "measured_on", "measured_threads", "toolchain", "parity", "stages"),
    *("manifest_digest", "parity_skipped"),
}
_RULE = re.compile(r'"dyno\.rule": "(\w+)"')
_KERNEL = re.compile(r"^    def (\w+)\(")


def record(net: Net, folder: Path) -> str:
    """Compile in the empty `folder` and say what was done."""
    dumps, artifact = folder / "dumps", folder / "artifact"
    options = Options(verify=False, reuse_tuning=False, fallback=net.fallback, dump_dir=dumps)
    model = saved(folder / "model.onnx", net.make())
    with patch("modeldyno.compiler.stages.run.dump_text", _checked_text):
        if net.target.startswith("cuda"):
            _without_compiler(model, artifact, net, options)
        else:
            compile_model(model, artifact, target=net.target, shapes=net.shapes, options=options)
    lines = ["stages", *_stages(dumps), "kernels", *_kernels(dumps), "files", *_files(artifact)]
    return "\n".join([*lines, "manifests", *_manifests(artifact)]) + "\n"


def _checked_text(module: tvm.IRModule) -> str:
    """Give a stage's module as text. One that is not well formed raises: the stage is wrong."""
    if is_planned(module):
        check_buffers(module)
    else:
        relax.analysis.well_formed(module)
    return dump_text(module)


def _without_compiler(model: Path, artifact: Path, net: Net, options: Options) -> None:
    """Run the stages in front of NVIDIA's compiler, also where there is none; the artifact is left out."""
    with patch("modeldyno.compiler.stages.cuda.why_no_cuda", return_value=""):
        try:
            compile_model(model, artifact.with_name("gpu"), target=net.target, options=options)
        except CompileError as error:
            if error.stage not in ("generate", "kernels"):
                raise


def _stages(dumps: Path) -> Iterator[str]:
    for path in sorted(dumps.rglob("*.py")):
        yield f"  {path.relative_to(dumps)} {_digest(path.read_bytes())}"


def _kernels(dumps: Path) -> Iterator[str]:
    """Each kernel behind the stage `schedule`, with the rule that ordered its loops."""
    for path in sorted(dumps.rglob("*_schedule.py")):
        parts = re.split(r"(?=^    @T\.prim_func)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        for text in parts:
            name, rule = _KERNEL.search(text.split("\n", 1)[1]), _RULE.search(text)
            kernel = text.split("    @R.function", 1)[0].rstrip()
            title = f"{path.parent.relative_to(dumps)}/{name.group(1) if name else '?'}".removeprefix("./")
            yield f"  {title} {rule.group(1) if rule else 'unruled'} {_digest(kernel.encode())}"


def _files(artifact: Path) -> Iterator[str]:
    for path in sorted(artifact.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            yield f"  {path.relative_to(artifact)} {_digest(path.read_bytes())}"


def _manifests(artifact: Path) -> Iterator[str]:
    for path in sorted(artifact.rglob("manifest.json")):
        facts = _lasting(json.loads(path.read_text(encoding="utf-8")))
        for key, value in sorted(facts.items()):
            text = json.dumps(value, sort_keys=True)
            shown = text if len(text) <= 60 else _digest(text.encode())
            yield f"  {path.relative_to(artifact)} {key} {shown}"


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = _VARYING | ({"digest"} if value.get("content_digest") else set())  # that of a manifest
        return {key: _lasting(each) for key, each in value.items() if key not in left_out}
    return [_lasting(each) for each in value] if isinstance(value, list) else value


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
