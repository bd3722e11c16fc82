"""The two files of a bundle that are written for it: its command and its README."""

from __future__ import annotations

from modeldyno.base.records.record import TensorSpec
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.sessions.feeds import is_array
from modeldyno.runtime.sessions.lane import TEXT

ENTRY = '''#!/usr/bin/env python3
"""Run the model of this bundle: python run.py --help. README.md says what it needs."""

import argparse
import importlib.machinery
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "lib"))


def main():
    check_python()
    from modeldyno.base.errors import DynoError

    try:
        run(arguments())
    except DynoError as error:
        fail(error)


def check_python():
    """The libraries fit one version of Python: say so, where this is another."""
    found = [path.name for path in (HERE / "lib" / "tvm_ffi").glob("core.*.so")]
    fitting = {"core" + suffix for suffix in importlib.machinery.EXTENSION_SUFFIXES}
    if not fitting.intersection(found):
        here = sys.version.split()[0]
        fail(f"this bundle was made for another Python ({', '.join(found)}), not for {here}")


def fail(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def arguments():
    parser = argparse.ArgumentParser(description="Run one inference and time it.")
    parser.add_argument("--input", action="append", default=[], metavar="[NAME=]FILE.npy",
                        help="one input; without any: seeded random input")
    parser.add_argument("--output", "-o", type=Path, help="folder for the outputs, one .npy each")
    parser.add_argument("--threads", type=int, help="threads inside one inference (default: usable cores)")
    parser.add_argument("--repeat", type=int, default=20, help="steady inferences to time (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of random input")
    parser.add_argument("--json", action="store_true", help="print the times as JSON")
    given = parser.parse_args()
    if given.repeat < 1 or (given.threads is not None and given.threads < 1):
        parser.error("--threads and --repeat are 1 or more")
    return given


def run(given):
    from modeldyno.runtime.inference import load_inputs, run_once, save_outputs

    result = run_once(
        HERE / "artifact",
        lambda specs: load_inputs(specs, given.input, seed=given.seed),
        threads=given.threads,
        repeat=given.repeat,
    )
    saved = save_outputs(result.outputs, given.output) if given.output else []
    if given.json:
        print(json.dumps({**result.times(), "outputs": [str(path) for path in saved]}, indent=2))
        return
    for line in [*result.lines(), *(f"wrote {path}" for path in saved)]:
        print(line)


if __name__ == "__main__":
    main()
'''


def readme(manifest: Manifest, name: str, python: str) -> str:
    """Say what the bundle holds, what it needs, and how it is run."""
    target = manifest.target
    feeds = ", ".join(f'"{spec.name}": {_zeros(spec)}' for spec in manifest.inputs)
    packages = " and ".join(("numpy", *needed_packages(manifest)))
    needs = ", ".join(target.features) or "none beyond the architecture's own"
    return f"""# {manifest.model}, compiled by modeldyno

Needs CPython {python} with {packages}, on Linux with glibc and libstdc++ ({target.triple}).
CPU features: {needs}. What does not fit is said before code of the model is loaded.

    tar xzf {name}.tar.gz
    python {name}/run.py                                  # seeded random input, and the times
    python {name}/run.py --input NAME=file.npy -o out     # outputs as out/NAME.npy

From Python:

    import sys; sys.path.insert(0, "{name}/lib")
    from pathlib import Path
    import numpy as np
    from modeldyno.runtime.open import open_session

    outputs = open_session(Path("{name}/artifact")).run({{{feeds}}})

Inputs: {"; ".join(map(_words, manifest.inputs))}.
Outputs: {"; ".join(map(_words, manifest.outputs))}.
"""


def needed_packages(manifest: Manifest) -> tuple[str, ...]:
    """What must be installed beside numpy where the bundle runs, with the version that it was made with."""
    if manifest.target.kind == "cuda":
        return ("nvidia-cuda-runtime 13 (and NVIDIA's driver, 580 or newer)",)
    if not manifest.needs_onnxruntime:
        return ()
    return (f"onnxruntime (made with {manifest.toolchain.get('onnxruntime', 'an unknown version')})",)


def _zeros(spec: TensorSpec) -> str:
    if spec.dtype == TEXT:
        return f'np.full({spec.smallest}, "", object)'
    return f'np.zeros({spec.smallest}, "{spec.dtype}")' if is_array(spec) else "..."


def _words(spec: TensorSpec) -> str:
    limits = spec.limits or (None,) * len(spec.shape)
    sizes = [
        str(size) if size is not None else f"{limit[0]} to {limit[1]}" if limit else "any"
        for size, limit in zip(spec.shape, limits, strict=True)
    ]
    return f"{spec.name}, {spec.dtype} [{', '.join(sizes)}]"
