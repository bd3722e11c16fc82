"""Architectures of `transformers`: each compiled, run by the light runtime, compared with torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modeldyno.compiler import compile_model
from modeldyno.compiler.check.compare import compare
from modeldyno.compiler.frontends.torch.program import named_outputs
from modeldyno.compiler.options import WINOGRAD_TOLERANCE
from modeldyno.runtime.open import open_session
from tests.compiler.transformer_models import ARCHITECTURES, built

# transformers and torch.export speak to their own developers.
pytestmark = pytest.mark.filterwarnings("ignore")
DECOMPOSED = "torch.export + decompositions"
# All others are read as they are.
ROADS = {
    "fnet": "onnx",  # complex numbers
    # Masks and positions count truth values and int32, whose sum is int64.
    **dict.fromkeys(
        ("roberta", "mpnet", "llama", "qwen2", "qwen3", "mistral", "gemma", "phi", "gpt_neox"), DECOMPOSED
    ),
    "yolos": DECOMPOSED,  # positions are interpolated by indices behind `:`
    "deberta_v2": DECOMPOSED,  # logarithms of whole numbers
    **dict.fromkeys(("gpt2_step", "llama_step"), DECOMPOSED),  # a cache begins as an empty list
}


def fed(inputs: dict[str, Any]) -> dict[str, Any]:
    """Name inputs as torch.export does: a list's tensors by their place."""
    named: dict[str, Any] = {}
    for name, value in inputs.items():
        parts = (
            {f"{name}_{place}": part for place, part in enumerate(value)} if isinstance(value, list) else {}
        )
        named.update(parts or {name: value})
    return {name: value.numpy() for name, value in named.items()}


@pytest.mark.parametrize(
    "name",
    [name if name == "bert" else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES],
)
def test_an_architecture_agrees_with_torch_and_its_road_is_known(name: str, tmp_path: Path) -> None:
    module, inputs = built(name)
    manifest = compile_model(module, tmp_path / "out", example_inputs=(), example_kwargs=inputs)
    assert manifest.road is not None
    assert manifest.road.name == ROADS.get(name, "torch.export")
    assert bool(manifest.road.reason) == (name in ROADS)
    found = open_session(tmp_path / "out", 1).run(fed(inputs))
    with torch.no_grad():
        expected = named_outputs(module(**inputs))
    assert list(found) == [key for key, _ in expected]
    for key, wanted in expected:
        assert np.ptp(wanted.numpy()) > 1e-6, f"{key} is one number everywhere: it shows nothing"
        assert compare(key, wanted.numpy(), found[key]).max_rel <= WINOGRAD_TOLERANCE
