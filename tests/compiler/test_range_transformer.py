"""A BERT of `transformers` for ranges of rows and lengths, by both roads, against torch at every corner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldyno.compiler import compile_model
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest_file import read_manifest
from tests.bucketed import Arrays

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

VOCABULARY, MOST, SHORTEST, LONGEST = 200, 8, 16, 128
NAMES = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture(scope="module")
def bert() -> Any:
    from transformers import BertConfig, BertModel

    class Bert(torch.nn.Module):  # type: ignore[name-defined]
        """Its outputs as a tuple."""

        def __init__(self) -> None:
            super().__init__()
            sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
            config = BertConfig(vocab_size=VOCABULARY, intermediate_size=128, **sizes)
            self.model = BertModel(config)

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            found = self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            )
            return found.last_hidden_state, found.pooler_output

    torch.manual_seed(0)
    return Bert().eval()


def texts(rows: int, length: int) -> Arrays:
    """Texts of unlike lengths, padded to one: the mask says where each ends."""
    rng = np.random.default_rng(rows * 1000 + length)
    ends = rng.integers(1, length + 1, (rows, 1))
    return {
        "input_ids": rng.integers(0, VOCABULARY, (rows, length)),
        "attention_mask": (np.arange(length)[None] < ends).astype(np.int64),
        "token_type_ids": rng.integers(0, 2, (rows, length)),
    }


def exported(bert: Any, road: str, folder: Path) -> Path:
    rows, length = (
        torch.export.Dim("batch", max=MOST),
        torch.export.Dim("sequence", min=SHORTEST, max=LONGEST),
    )
    free = tuple({0: rows, 1: length} for _ in NAMES)
    given = tuple(torch.from_numpy(array) for array in texts(2, 24).values())
    path = folder / f"bert.{road}"
    if road == "pt2":
        torch.export.save(torch.export.export(bert, given, dynamic_shapes=free), path)
    else:
        pytest.importorskip("onnxscript")
        torch.onnx.export(
            bert, given, path, dynamo=True, dynamic_shapes=free, input_names=NAMES, verbose=False
        )
    return path


@pytest.mark.filterwarnings("ignore")  # torch's own, while it exports
@pytest.mark.parametrize("road", ["pt2", "onnx"])
def test_every_number_of_rows_and_every_length_gives_torchs_results(
    bert: Any, road: str, tmp_path: Path
) -> None:
    shapes = {"input_ids": (f"1..{MOST}@1|{MOST}", f"{SHORTEST}..{LONGEST}@48|{LONGEST}")}
    compile_model(exported(bert, road, tmp_path), tmp_path / "out", shapes=shapes)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.buckets is not None
    # One size was given: the other inputs' dimensions have the same names, and move with it.
    assert [len(axis.inputs) for axis in manifest.buckets.axes] == [3, 3]
    session = open_session(tmp_path / "out", 1)
    for rows in (1, 3, MOST, MOST + 1):
        for length in (SHORTEST, SHORTEST + 1, 48, 49, 100, LONGEST):
            feeds = texts(rows, length)
            with torch.no_grad():
                expected = bert(*map(torch.from_numpy, feeds.values()))
            for found, wanted in zip(session.run(feeds).values(), expected, strict=True):
                np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-5)
