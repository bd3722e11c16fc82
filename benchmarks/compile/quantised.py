"""Quantised forms of the zoo's models: pairs of QuantizeLinear and DequantizeLinear, by ONNX Runtime's tool.

    python -m benchmarks.compile.quantised --cache runs/zoo [NAME ...]

Activations are uint8, a scale a tensor, weights int8, a scale a channel where the opset has it; calibrated on
two seeded inputs. They show what a quantised file costs, not how exact one can be.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from benchmarks.feeds import Array, model_feeds
from benchmarks.zoo.registry import DEFAULT_CACHE, ZOO, onnx_file
from modeldyno.base.files import write_bytes
from modeldyno.base.process.procs import end_with_parent

SUFFIX = "-qdq"  # behind the name of the float32 model
CHANNELS_FROM = 13  # the opset from which on a scale may be that of a channel
QUANTISED = {f"{name}{SUFFIX}": name for name in ZOO}


def quantised_file(name: str, cache: Path = DEFAULT_CACHE) -> Path:
    """Return the ONNX file in `cache`; it, and the float32 model before it, are built where missing.

    Raises:
        KeyError: no model has this name. ImportError: a package that builds it is not installed.
    """
    path = cache / f"{name}.onnx"
    if not path.exists():
        origin = onnx_file(QUANTISED[name], cache)
        with tempfile.TemporaryDirectory(prefix="dyno-quantised-") as folder:
            write_bytes(path, quantised(origin, Path(folder)).read_bytes())
    return path


def quantised(origin: Path, folder: Path, **how: Any) -> Path:
    """Write a file as pairs into `folder`; `how` goes to onnxruntime.quantization.quantize_static."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Seeded(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows: Iterator[dict[str, Array]] = (model_feeds(origin, seed) for seed in range(2))

        def get_next(self) -> dict[str, Array] | None:
            return next(self.rows, None)

    settings = {
        "quant_format": QuantFormat.QDQ,
        "activation_type": QuantType.QUInt8,
        "weight_type": QuantType.QInt8,
        "per_channel": _opset(origin) >= CHANNELS_FROM,
        **how,
    }
    path = folder / "quantised.onnx"
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # advice on preparing a model, for every file
    try:
        quantize_static(origin, path, Seeded(), **settings)
    finally:
        logging.getLogger().setLevel(level)
    return path


def _opset(path: Path) -> int:
    entries = onnx.load(path, load_external_data=False).opset_import
    return int(next(each.version for each in entries if each.domain in ("", "ai.onnx")))


def main() -> None:
    """Build the quantised forms named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help=f"a model of the zoo with {SUFFIX!r} behind it"
    )
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    end_with_parent()
    args = parser.parse_args()
    for name in args.names:
        if name not in QUANTISED:
            parser.error(
                f"unknown {name!r}: a quantised form is a model of the zoo with {SUFFIX!r} behind its name"
            )
        quantised_file(name, args.cache)


if __name__ == "__main__":
    main()
