"""The models of the compiler benchmark, by name, and the ONNX files that are made of them.

    python -m benchmarks.zoo.registry --cache runs/zoo [NAME ...]

A name with the suffix `@8` is the same model for batches of 8. Building needs torch (and transformers for the
encoders); reading a file that is already in the cache needs neither.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.zoo.light import light_model
from modeldyno.base.files import write_bytes
from modeldyno.base.process.procs import end_with_parent

DEFAULT_CACHE = Path("runs/zoo")
IMAGE_PIXELS = 224


@dataclass(frozen=True)
class Card:
    """How one model is made.

    module: builds the torch module, or None for a light model of the `onnx` package.
    light: the light model's name.
    pixels: side of the square image it reads; None for text.
    batch: size of the batch dimension.
    fitted_on: inputs that running statistics are taken on; several where a plane shrinks to a point.
    """

    module: Callable[[], Any] | None = None
    light: str = ""
    pixels: int | None = IMAGE_PIXELS
    batch: int = 1
    fitted_on: int = 1


def _made(module: str, function: str, *args: int) -> Callable[[], Any]:
    """Builder that imports its module, and so torch, only when it is called."""

    def build() -> Any:
        from importlib import import_module

        return getattr(import_module(f"benchmarks.zoo.{module}"), function)(*args)

    return build


def _cards() -> dict[str, Card]:
    cards = {f"resnet{depth}": Card(_made("resnet", "resnet", depth)) for depth in (18, 34, 50, 101, 152)}
    cards |= {f"vgg{depth}": Card(_made("vgg", "vgg", depth)) for depth in (11, 13, 16, 19)}
    cards |= {
        f"densenet{depth}": Card(_made("densenet", "densenet", depth)) for depth in (121, 161, 169, 201)
    }
    cards["inception_v3"] = Card(_made("inception", "inception_v3"), pixels=299)
    cards["ssd_resnet50"] = Card(_made("ssd", "SsdResnet50"), pixels=512, fitted_on=4)
    cards |= {name: Card(light=name) for name in ("squeezenet", "shufflenet", "inception_v1", "inception_v2")}
    cards["mobilenet_v2"] = Card(_made("mobile", "mobilenet_v2"))
    cards["efficientnet_b0"] = Card(_made("mobile", "efficientnet_b0"))
    cards["minilm_l6"] = Card(_made("encoders", "bert", 6, 384, 12, 1536), pixels=None)
    cards["bert_base"] = Card(_made("encoders", "bert", 12, 768, 12, 3072), pixels=None)
    cards["distilbert"] = Card(_made("encoders", "distilbert"), pixels=None)
    cards["vit_b16"] = Card(_made("encoders", "vit_b16"))
    for name in ("resnet50", "mobilenet_v2", "minilm_l6"):
        card = cards[name]
        cards[f"{name}@8"] = Card(card.module, card.light, card.pixels, batch=8)
    return cards


ZOO: dict[str, Card] = _cards()


def onnx_file(name: str, cache: Path = DEFAULT_CACHE) -> Path:
    """Return the model's ONNX file in `cache`, building it when it is not there.

    Raises:
        KeyError: no model has this name.
        ImportError: it has to be built and torch (or transformers) is not installed.
        OutputError: the file can't be written.
    """
    card = ZOO[name]
    path = cache / f"{name}.onnx"
    if not path.exists():
        write_bytes(path, _serialised(card))
    return path


def torch_module(name: str) -> tuple[Any, tuple[Any, ...]]:
    """Return the torch module with the weights of the ONNX file, and an example of its arguments.

    Raises:
        LookupError: the model comes from the `onnx` package, so that there is no torch module.
    """
    from benchmarks.zoo.weights import example_inputs, randomise

    card = ZOO[name]
    if card.module is None:
        raise LookupError(f"{name} comes as an ONNX graph only")
    # Fitted on the same inputs whatever the batch, so that every batch size has the same weights.
    module = randomise(card.module(), example_inputs(card.pixels, card.fitted_on))
    return module, example_inputs(card.pixels, card.batch)


def _serialised(card: Card) -> bytes:
    if card.module is None:
        return bytes(light_model(card.light).SerializeToString())
    from benchmarks.zoo.export import exported

    name = next(name for name, known in ZOO.items() if known is card)
    return exported(*torch_module(name), text=card.pixels is None)


def main() -> None:
    """Build the files of the models named (default: all)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ZOO)}")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    end_with_parent()
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in ZOO]
    if unknown:
        parser.error(f"unknown model {unknown[0]!r}; the models are: {', '.join(ZOO)}")
    for name in args.names or ZOO:
        began = time.perf_counter()
        path = onnx_file(name, args.cache)
        size_mb = path.stat().st_size / 1e6
        print(f"{path}  {size_mb:.1f} MB  {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
