"""Models as torch exports them: rows are proved independent, by either exporter, or what decides is named."""

from __future__ import annotations

import io
from typing import Any

import onnx
import pytest

from modeldyno.base.rowflow.walk import judge_joined
from modeldyno.compiler.frontends.onnx.records import graph_records
from modeldyno.compiler.model.shapes import open_dimensions, parse_shapes, template
from modeldyno.compiler.ranges.any_shape import AnyShape
from modeldyno.compiler.ranges.independence import Judge
from modeldyno.compiler.ranges.padding import check_axes
from modeldyno.compiler.ranges.splitting import independence
from modeldyno.runtime.records.origin import Independence
from tests.compiler.models import conv_net, mlp
from tests.compiler.sequence_models import centred, encoder, scaled_by_all, weighed

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional


class Encoder(nn.Module):  # type: ignore[name-defined]
    """Ids, a class token, positions, attention and the class token's numbers; rows in front or not."""

    def __init__(self, *, rows_first: bool) -> None:
        super().__init__()
        self.rows_first = rows_first
        self.table, self.head = nn.Embedding(20, 8), nn.Linear(8, 3)
        self.token, self.places = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 16, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=rows_first)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, ids: Any) -> Any:
        x = torch.cat([self.token.expand(ids.shape[0], -1, -1), self.table(ids)], 1)
        x = x + self.places[:, : x.shape[1]]
        x = self.layers(x) if self.rows_first else self.layers(x.transpose(0, 1)).transpose(0, 1)
        return self.head(x[:, 0])


class Windows(nn.Module):  # type: ignore[name-defined]
    """Attention within windows of an image: the windows of all rows lie one behind another meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Linear(8, 24)

    def forward(self, x: Any) -> Any:
        rows, high, wide, width = x.shape
        x = torch.roll(x, (1, 1), (1, 2)).view(rows, high // 4, 4, wide // 4, 4, width)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, width)
        q, k, v = self.all(x).view(-1, 16, 3, 2, width // 2).permute(2, 0, 3, 1, 4).unbind(0)
        x = ((q @ k.transpose(-1, -2)).softmax(-1) @ v).transpose(1, 2).reshape(-1, 4, 4, width)
        x = x.view(rows, high // 4, wide // 4, 4, 4, width).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(rows, high, wide, width).mean((1, 2))


class Convolutions(nn.Module):  # type: ignore[name-defined]
    """Shuffled channels, an upsampled image, pools and a linear layer on what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(4, 8, 3, 2, 1), nn.Linear(32, 3)

    def forward(self, x: Any) -> Any:
        rows, channels, high, wide = x.shape
        x = x.view(rows, 2, channels // 2, high, wide).transpose(1, 2).reshape(rows, channels, high, wide)
        x = functional.interpolate(x, scale_factor=2, mode="bilinear")
        x = functional.adaptive_avg_pool2d(functional.hardswish(self.first(x)), (2, 2))
        return self.head(x.view(x.size(0), -1)).softmax(-1)


class LastWord(nn.Module):  # type: ignore[name-defined]
    """Of each row the numbers of its largest id, picked by the row's own number; masked means beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 8)

    def forward(self, ids: Any, mask: Any) -> Any:
        x = self.table(ids)
        kept = mask.unsqueeze(-1).expand(x.size()).float()
        means = (x * kept).sum(1) / kept.sum(1).clamp(min=1e-9)
        return x[torch.arange(x.shape[0]), ids.argmax(-1)], functional.normalize(means, dim=1)


class Recurrent(nn.Module):  # type: ignore[name-defined]
    """An LSTM both ways over time."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.LSTM(8, 8, bidirectional=True)

    def forward(self, x: Any) -> Any:
        return self.steps(x.transpose(0, 1))[0].transpose(0, 1)[:, -1]


IDS, MASK = torch.arange(20).reshape(2, 10), torch.ones(2, 10, dtype=torch.int64)
EXPORTED: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "rows first": (Encoder(rows_first=True), (IDS,)),
    "rows second": (Encoder(rows_first=False), (IDS,)),
    "windows": (Windows(), (torch.zeros(2, 8, 8, 8),)),
    "convolutions": (Convolutions(), (torch.zeros(2, 4, 8, 8),)),
    "last word": (LastWord(), (IDS, MASK)),
    "recurrent": (Recurrent(), (torch.zeros(2, 7, 8),)),
}


def exported(module: Any, args: tuple[Any, ...], *, traced: bool) -> onnx.ModelProto:
    """Export with open rows, and open lengths of ids; by tracing (the older exporter) or by torch.export."""
    module.eval()
    open_ = [{0: "rows", 1: "length"} if each.dtype == torch.int64 else {0: "rows"} for each in args]
    if traced:
        stream, names = io.BytesIO(), [f"in{at}" for at in range(len(args))]
        axes = dict(zip(names, open_, strict=True))
        torch.onnx.export(
            module, args, stream, dynamo=False, input_names=names, dynamic_axes=axes, opset_version=17
        )
        return onnx.load_from_string(stream.getvalue())
    dims = {name: torch.export.Dim(name, min=1, max=12) for name in ("rows", "length")}
    shapes = tuple({at: dims[name] for at, name in each.items()} for each in open_)
    return torch.onnx.export(module, args, dynamo=True, dynamic_shapes=shapes, verbose=False).model_proto


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("title", EXPORTED)
def test_rows_of_what_torch_exports_are_proved_independent(title: str, *, traced: bool) -> None:
    found = judge_joined(graph_records(exported(*EXPORTED[title], traced=traced)))
    assert (found.word, found.cause) == ("proved", "")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("traced", [True, False])
def test_rows_of_a_bert_with_a_mask_are_proved_independent(*, traced: bool) -> None:
    """Its mask is looked up by the numbers of the rows."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}

    class Bert(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = transformers.BertModel(transformers.BertConfig(vocab_size=20, **sizes))

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.model(input_ids=ids, attention_mask=mask)[0]

    found = judge_joined(graph_records(exported(Bert(), (IDS, MASK), traced=traced)))
    assert (found.word, found.cause) == ("proved", "")


@pytest.mark.parametrize(
    ("made", "word", "cause"),
    [
        (conv_net("rows"), "proved", ""),
        (mlp("rows"), "proved", ""),
        (encoder(mask=True), "proved", ""),
        (encoder(mask=False), "proved", ""),
        (centred(), "refuted", "ReduceMean 'm': it reduces over the rows"),
        (scaled_by_all(), "refuted", "ReduceMax 'm': it reduces over the rows"),
        (weighed(), "refuted", "Mul 'y': the number of rows is computed with"),
    ],
)
def test_the_operator_that_decides_is_named(made: onnx.ModelProto, word: str, cause: str) -> None:
    found = judge_joined(graph_records(made))
    assert (found.word, found.cause) == (word, cause)


class Branching(nn.Module):  # type: ignore[name-defined]
    """Doubles rows where there are more than two of them."""

    def forward(self, x: Any) -> Any:
        return x * 2 if x.shape[0] > 2 else x + 1


class Alone(nn.Module):  # type: ignore[name-defined]
    """Doubles a row that is alone, which no graph with open sizes shows."""

    def forward(self, x: Any) -> Any:
        return x * 2 if x.shape[0] == 1 else x + 1


class Centred(nn.Module):  # type: ignore[name-defined]
    """Takes the mean of all rows away."""

    def forward(self, x: Any) -> Any:
        return x - x.mean(0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("module", "span", "word", "why"),
    [
        (nn.Linear(4, 3), "1..3", "proved", ""),
        (Centred(), "1..3@1|2|3", "refuted", "it reduces over the rows"),
        (Branching(), "1..3@1|2|3", "unproved", "its graph with open sizes can't be had"),
        (Alone(), "1|2", "refuted", "runs of the source model: rows differ alone"),
    ],
)
def test_a_torch_module_is_judged_by_its_graph_with_open_sizes(
    module: Any, span: str, word: str, why: str
) -> None:
    from modeldyno.compiler.frontends.torch.module import module_family

    sizes = parse_shapes({next(iter(signature(module))): (span, 4)})
    example = [torch.zeros(1, 4)]
    family = module_family(module, example, None, lambda name, at: at in open_dimensions(sizes.get(name, ())))
    shaped = template(family.declared, sizes)
    judge, model = Judge(family, shaped), AnyShape(family, shaped, 0, "host")
    found = independence(model, judge, check_axes(family, shaped, seed=0, target="host", judge=judge))
    assert found.verdict == word
    assert why in found.cause


def signature(module: Any) -> list[str]:
    return ["input"] if isinstance(module, nn.Linear) else ["x"]


def test_an_artifact_that_says_nothing_counts_as_unproved() -> None:
    assert Independence().verdict == "unproved"
