"""What a manifest says of a compile whichever way it went, and how it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from modeldyno.base.clock import utc_now
from modeldyno.base.files import write_text
from modeldyno.base.host.facts import host_facts
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.targets.catalog import CompileTarget
from modeldyno.runtime.records.manifest import MANIFEST_NAME, Manifest
from modeldyno.runtime.records.manifest_file import sealed
from modeldyno.runtime.records.origin import Coverage, TargetFacts
from modeldyno.runtime.records.segments import Segment
from modeldyno.runtime.sessions.feeds import is_array

TOOLCHAIN = ("apache-tvm", "apache-tvm-ffi", "onnx", "onnxruntime", "torch", "numpy", "modeldyno")


def toolchain() -> dict[str, str]:
    """Versions of what makes an artifact."""
    packages = host_facts().packages
    return {name: packages[name] for name in TOOLCHAIN if name in packages}


def whole_coverage(request: CompileRequest) -> Coverage:
    """An operator that can't be compiled ends the compile: what came through it is all of the model."""
    graph = request.graph
    if graph is None:
        return Coverage(operators_share=1.0, flops_share=1.0)
    places = range(len(graph.nodes))
    return Coverage(operators_share=1.0, flops_share=1.0, operators=len(places), flops=graph.flops(places))


def target_facts(target: CompileTarget) -> TargetFacts:
    """What the manifest says of a target."""
    return TargetFacts(
        name=target.name, kind=target.kind, triple=target.triple, cpu=target.cpu, features=target.features
    )


def common_facts(request: CompileRequest) -> dict[str, Any]:
    """What every manifest says, by field, however the model was compiled."""
    source = request.source
    return {
        "created_at": utc_now(),
        "model": source.name,
        "source_digest": source.digest,
        "frontend": source.frontend,
        "road": source.road,
        "inputs": source.inputs,
        "outputs": source.outputs,
        "target": target_facts(request.target),
        "precision": source.precision,
        "options": request.options.as_text(),
        "toolchain": toolchain(),
        "parity": None,
    }


def why_unasked(request: CompileRequest) -> str:
    """Say why outputs are not to be compared with the source model's; empty where they are."""
    source = request.source
    if not request.options.verify:
        return "it was not asked for (--no-verify)"
    foreign = [spec for spec in source.inputs if not is_array(spec)]
    if foreign and source.feeds is None:
        return f"no random input can be made for {foreign[0].name!r}, a {foreign[0].dtype}"
    return ""


def why_unverified(request: CompileRequest) -> str:
    """Say why outputs are not compared on this machine itself; empty where they are."""
    if (why := why_unasked(request)) or request.runs_here:
        return why
    return f"the machine that compiled it ({host_facts().cpu_model}) can't run code for {request.target.name}"


def digest_of_digests(digests: Iterable[str]) -> str:
    """BLAKE2b-256 of what several files' digests make together, in their order."""
    return hashlib.blake2b("".join(digests).encode(), digest_size=32).hexdigest()


def segments_digest(segments: Iterable[Segment]) -> str:
    """Give what stands for the library's digest where the model is in segments.

    It is the same for the same code, whenever that was made: the digest of a segment's manifest is not.
    """
    return digest_of_digests(segment.content_digest or segment.digest for segment in segments)


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest with its own digest in it, and give it as it reads now."""
    unsealed = manifest.model_copy(update={"manifest_digest": ""})
    text = sealed(unsealed.model_dump_json(indent=2) + "\n")
    write_text(folder / MANIFEST_NAME, text)
    return Manifest.model_validate_json(text)
