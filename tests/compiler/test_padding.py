"""Which models may be padded and split is seen on the model itself, before anything is compiled."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from modeldyno.base.errors import CompileError, ConfigError, DynoError
from modeldyno.compiler.frontends.onnx.file import onnx_family
from modeldyno.compiler.model.shapes import parse_shapes, template
from modeldyno.compiler.ranges.padding import check_axes, worst_sizes
from modeldyno.runtime.records.buckets import Axis, Place
from tests.compiler.models import constant, conv_net, mlp, model, node, saved, tensor, weights
from tests.compiler.sequence_models import centred, encoder, scaled_by_all, smoothed, weighed


def axes(folder: Path, made: onnx.ModelProto, **shapes: str) -> tuple[Axis, ...]:
    family = onnx_family(saved(folder / "model.onnx", made))
    given = parse_shapes({name: tuple(shape.split(",")) for name, shape in shapes.items()})
    return check_axes(family, template(family.declared, given), seed=0, target="host")


def test_rows_of_a_convolutional_net_are_padded_and_split(tmp_path: Path) -> None:
    (axis,) = axes(tmp_path, conv_net("batch"), image="1..8,3,12,12")
    assert (axis.padded, axis.splits, axis.sizes) == (True, True, (1, 2, 4, 8))
    assert axis.inputs == (Place(tensor="image", dimension=0),)
    assert axis.outputs == (Place(tensor="logits", dimension=0),)


def test_a_masked_encoder_is_padded_along_its_sequence_and_split_along_its_rows(tmp_path: Path) -> None:
    rows, sequence = axes(tmp_path, encoder(mask=True), input_ids="1..4,2..8")
    assert (rows.splits, rows.sizes) == (True, (1, 2, 4))
    assert (sequence.padded, sequence.splits, sequence.sizes) == (True, False, (2, 3, 4, 6, 8))
    # The pooled output has no sequence: nothing of it is cut.
    assert sequence.outputs == (Place(tensor="hidden", dimension=1),)
    # No graph tells that the mask hides the padding: many kinds of numbers showed no difference.
    assert (rows.padding, rows.padding_unproved) == ("proved", "")
    assert (sequence.padding, sequence.padding_unproved) == (
        "tried",
        "MatMul 's0': it multiplies sequence with sequence",
    )


ADVICE = r"Give the exact sizes instead, which are never padded: "


@pytest.mark.parametrize(
    ("made", "shapes", "message"),
    [
        (
            encoder(mask=False),
            {"input_ids": "1..2,2..8"},
            rf"padding sequence from 5 to 6 changes output '\w+' by .*reads the padding too .*attention "
            rf"without a mask.*{ADVICE}`shapes` 'input_ids=1\.\.2,2\|3\|4\|6\|8'$",
        ),
        (
            smoothed(),
            {"x": "1,4,8..16"},
            rf"padding length from 9 to 12.*convolution.*{ADVICE}`shapes` 'x=1,4,8\|12\|16'",
        ),
        (
            centred(),
            {"x": "1..8,8"},
            rf"padding rows from 5 to 6 changes output 'y' .*its rows depend on one another.*{ADVICE}"
            r"`shapes` 'x=1\|2\|3\|4\|6\|8,8'",
        ),
    ],
)
def test_a_model_that_reads_the_padding_is_refused_with_advice(
    tmp_path: Path, made: onnx.ModelProto, shapes: dict[str, str], message: str
) -> None:
    with pytest.raises(CompileError, match=message):
        axes(tmp_path, made, **shapes)


@pytest.mark.parametrize(
    ("made", "shapes"),
    [
        (encoder(mask=False), {"input_ids": "1..2,2|5|8"}),
        (smoothed(), {"x": "1,4,8|12|16"}),
        (centred(), {"x": "1|5|8,8"}),
    ],
)
def test_the_same_models_are_taken_with_exact_sizes(
    tmp_path: Path, made: onnx.ModelProto, shapes: dict[str, str]
) -> None:
    found = axes(tmp_path, made, **shapes)[-1]
    assert not found.padded
    assert not found.outputs


def test_rows_that_share_a_scale_are_padded_but_never_split(tmp_path: Path) -> None:
    (axis,) = axes(tmp_path, scaled_by_all(), x="1..8,8")
    assert (axis.padded, axis.splits, axis.sizes) == (True, False, (1, 2, 3, 4, 6, 8))


def test_rows_that_are_others_alone_are_not_split(tmp_path: Path) -> None:
    (axis,) = axes(tmp_path, weighed(), x="1..2,8")  # both are compiled: nothing is ever padded
    assert (axis.padded, axis.splits) == (True, False)
    with pytest.raises(CompileError, match="padding rows from 5 to 6 changes output 'y'"):
        axes(tmp_path, weighed(), x="1..8,8")


def test_outputs_that_hold_several_of_each_row_are_cut_in_proportion(tmp_path: Path) -> None:
    made = model(
        [node("Reshape", "x flat", "y")],
        [tensor("x", ["rows", 6])],
        [tensor("y", [None, 2])],
        [constant("flat", [-1, 2])],
    )
    (axis,) = axes(tmp_path, made, x="1..4,6")
    assert axis.splits
    assert axis.outputs == (Place(tensor="y", dimension=0),)


def over(*nodes: onnx.NodeProto, shape: tuple[int | str, ...] = (1, "n", 4)) -> onnx.ModelProto:
    """A model of one input `x` and one output `y`, whose shape is found by running it."""
    made = model(nodes, [tensor("x", shape)], [onnx.ValueInfoProto(name="y")], CONSTANTS, opset=18)
    read = {name for each in nodes for name in each.input}
    kept = [each for each in made.graph.initializer if each.name in read]
    del made.graph.initializer[:]
    made.graph.initializer.extend(kept)
    return made


CONSTANTS = [
    *(constant("one", [1]), constant("two", [2]), constant("last", -1), constant("at", 1)),
    *(constant("back", [-1]), constant("front", [-(1 << 40)]), constant("far", 9.0, "float32")),
    *(weights("kernel", 4, 4, 3), weights("bias", 4, seed=1), weights("w", 1, 8, 4), weights("r", 1, 8, 8)),
]
LENGTH = (1, 4, "n")
READ_PADDING = {
    **{f"Reduce{kind}": over(node(f"Reduce{kind}", "x one", "y")) for kind in ("Max", "Min", "Mean", "Prod")},
    "ReduceLogSumExp": over(node("ReduceLogSumExp", "x one", "y")),
    **{
        kind: over(node(kind, "x", "y", axis=1))
        for kind in ("ArgMax", "ArgMin", "Softmax", "LogSoftmax", "Hardmax")
    },
    "TopK": over(node("TopK", "x one", "y places", axis=1)),
    "Unique": over(node("Unique", "x", "y")),
    "InstanceNormalization": over(node("InstanceNormalization", "x bias bias", "y"), shape=LENGTH),
    "GlobalMaxPool": over(node("GlobalMaxPool", "x", "y"), shape=LENGTH),
    "GlobalAveragePool": over(node("GlobalAveragePool", "x", "y"), shape=LENGTH),
    "MaxPool": over(node("MaxPool", "x", "y", kernel_shape=[2], pads=[0, 1]), shape=LENGTH),
    "AveragePool": over(node("AveragePool", "x", "y", kernel_shape=[3], pads=[1, 1]), shape=LENGTH),
    "ReduceMax behind a convolution": over(
        node("Conv", "x kernel bias", "c", pads=[1, 1]), node("ReduceMax", "c two", "y"), shape=LENGTH
    ),
    "CumSum": over(node("Add", "x far", "a"), node("CumSum", "a at", "y", reverse=1)),
    "Slice": over(node("Slice", "x back front one back", "y")),
    "Gather": over(node("Gather", "x last", "y", axis=1)),
    "RNN": over(node("RNN", "x w r", "y", hidden_size=8, direction="reverse"), shape=("n", 1, 4)),
}


@pytest.mark.parametrize("title", READ_PADDING)
def test_an_operator_that_reads_padding_is_named_whatever_numbers_would_show_it(
    tmp_path: Path, title: str
) -> None:
    made = READ_PADDING[title]
    shape = ",".join("4..32" if each == "n" else str(each) for each in sizes_of(made))
    operator = title.partition(" ")[0]
    with pytest.raises(CompileError, match=rf"{operator} '\w+': its? .*{ADVICE}`shapes` 'x="):
        axes(tmp_path, made, x=shape)
    exact = shape.replace("4..32", "4|5")
    assert axes(tmp_path, made, x=exact)[0].padding == ""


def sizes_of(made: onnx.ModelProto) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in made.graph.input[0].type.tensor_type.shape.dim]


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        (over(node("ReduceL2", "x one", "y")), "1,4..32,4"),
        (over(node("Relu", "x", "p"), node("ReduceMax", "p one", "y")), "1,4..32,4"),
        (over(node("CumSum", "x at", "y")), "1,4..32,4"),
        (over(node("Conv", "x kernel bias", "y", pads=[1, 1]), shape=LENGTH), "1,4,4..32"),
    ],
)
def test_what_can_not_read_padding_is_proved(tmp_path: Path, made: onnx.ModelProto, shape: str) -> None:
    (axis,) = axes(tmp_path, made, x=shape)
    assert (axis.padding, axis.padding_unproved) == ("proved", "")


def test_what_no_graph_tells_is_tried_with_many_kinds_of_numbers(tmp_path: Path) -> None:
    """The largest behind a comparison, which might be a mask; normal numbers do not show that it is none."""
    nodes = [
        node("Less", "x far", "m"),
        node("Where", "m x far", "s"),
        node("ReduceMax", "s one", "y", keepdims=0),
    ]
    with pytest.raises(CompileError, match=r"changes output 'y' by .*\(ReduceMax 'y': it reduces over n\)"):
        axes(tmp_path, over(*nodes), x="1,4..32,4")


def test_products_of_two_inputs_are_tried_with_either_sign(tmp_path: Path) -> None:
    """Of two inputs one may be a mask: no graph tells. Of numbers of one sign all products are above zero."""
    nodes = [node("Mul", "a b", "p"), node("ReduceMax", "p", "y", axes=[1])]
    inputs = [tensor("a", [1, "n"]), tensor("b", [1, "n"])]
    with pytest.raises(CompileError, match=r"changes output 'y'.*\(ReduceMax 'y': it reduces over n\)"):
        axes(tmp_path, model(nodes, inputs, [tensor("y", [1, 1])]), a="1,9..16@16")


def pooled(kernel: int) -> onnx.ModelProto:
    nodes = [node("MaxPool", "x", "y", kernel_shape=[kernel], strides=[2])]
    return model(nodes, [tensor("x", [1, 2, "length"])], [tensor("y", [1, 2, None])])


@pytest.mark.parametrize(
    ("made", "shapes", "kind", "message"),
    [
        (
            pooled(3),
            {"x": "1,2,8..16"},
            CompileError,
            "dimension 2 of output 'y' follows length in no fixed ratio",
        ),
        (mlp("rows"), {"x": "1..999999999,8"}, ConfigError, "would hold 8.0e[+]09 numbers"),
        (
            encoder(mask=True),
            {"input_ids": "1..64,1..128"},
            ConfigError,
            r"98 shapes would be compiled \(batch: 1\|2.*at most 64.*1\.\.128@32\|64\|128 for sequence",
        ),
    ],
)
def test_what_can_not_be_done_is_said_before_it_is_tried(
    tmp_path: Path, made: onnx.ModelProto, shapes: dict[str, str], kind: type[DynoError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        axes(tmp_path, made, **shapes)


def test_a_bucket_is_padded_most_by_the_size_behind_the_one_before(tmp_path: Path) -> None:
    found = axes(tmp_path, encoder(mask=True), input_ids="2..4,2..8@4|8")
    assert worst_sizes(found, (4, 8)) == (3, 5)
    assert worst_sizes(found, (2, 4)) == (2, 2)
