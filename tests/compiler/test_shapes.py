"""The grammar of `--shape`, and which dimensions are one axis."""

from __future__ import annotations

import pytest

from modeldyno.base.errors import ConfigError, DynoError, ModelError
from modeldyno.compiler.model.shapes import Span, bucket_sizes, is_open, parse_shapes, parse_size, template
from modeldyno.runtime.records.buckets import Place


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8", 8),
        (" 8 ", 8),
        ("3..3", 3),
        ("4|4", 4),
        ("1..32", Span(1, 32, padded=True)),
        ("8|1|4", Span(1, 8, padded=False, sizes=(1, 4, 8))),
        ("1..32@8|32|1", Span(1, 32, padded=True, sizes=(1, 8, 32))),
        ("5..9@9", Span(5, 9, padded=True, sizes=(9,))),
    ],
)
def test_a_size_is_a_number_a_list_or_a_range(text: str, size: int | Span) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a size"),
        ("a", "is not a size"),
        ("-1", "is not a size"),
        ("1.5", "is not a size"),
        ("1..", "is not a size"),
        ("1|", "is not a size"),
        ("1..4@", "is not a size"),
        ("4@4", "is not a size"),
        ("٣", "is not a size"),
        ("0", "sizes are positive"),
        ("0|4", "sizes are positive"),
        ("9..1", "from a smaller size"),
        ("0..4", "from a smaller size"),
        ("1..8@4", "the largest is its end, 8"),
        ("2..8@1|8", "the buckets lie in the range"),
    ],
)
def test_any_other_text_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"`shapes` x=.*: expected NAME=SIZE,SIZE,….*{why}"):
        parse_shapes({"x": (text, "3")})


@pytest.mark.parametrize("text", ["1|4|8", "1..32", "1..32@1|8|32"])
def test_a_span_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_size(text)) == text


def test_only_lists_and_ranges_leave_a_shape_open() -> None:
    assert not is_open(parse_shapes({"x": (1, "3", "4..4")}))
    assert is_open(parse_shapes({"x": (1, 3), "y": ("1|2",)}))


DECLARED = {"ids": ("batch", "sequence"), "mask": ("batch", "sequence"), "scale": (1,)}


def test_dimensions_of_one_name_are_one_axis_and_one_of_them_is_enough() -> None:
    found = template(DECLARED, parse_shapes({"ids": ("1..4", "8|16")}))
    assert [axis.name for axis in found.axes] == ["batch", "sequence"]
    places = [Place(tensor="ids", dimension=1), Place(tensor="mask", dimension=1)]
    assert list(found.axes[1].places) == places
    assert found.at((3, 16)) == {"ids": (3, 16), "mask": (3, 16), "scale": (1,)}


def test_dimensions_without_a_name_are_one_axis_where_their_ranges_are_equal() -> None:
    declared = {"a": (None, 4), "b": (None, None)}
    found = template(declared, parse_shapes({"a": ("1..4", 4), "b": ("1..4", "1..5")}))
    assert [(axis.name, len(axis.places)) for axis in found.axes] == [("a[0]", 2), ("b[1]", 1)]


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"z": ("1..2",)}, ConfigError, "no such input; its inputs are: ids, mask, scale"),
        ({"ids": ("1..2",)}, ConfigError, "has 1 dimensions, the model's input has 2"),
        (
            {"ids": ("1..2", 4), "scale": ("1..2",)},
            ConfigError,
            "fixes dimension 0 of 'scale' to 1: export it",
        ),
        (
            {"ids": ("1..2", 4), "mask": ("1..3", 4)},
            ConfigError,
            "has 1..3 for the model's 'batch', and `shapes`",
        ),
        ({"scale": ("1",)}, ModelError, r"'ids' has no fixed shape \(\[\?, \?\]\): give one"),
    ],
)
def test_what_does_not_fit_the_model_is_named(
    given: dict[str, tuple[int | str, ...]], kind: type[DynoError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        template(DECLARED, parse_shapes(given))


def test_buckets_are_powers_of_two_and_where_nothing_can_be_split_the_steps_between() -> None:
    assert bucket_sizes(Span(1, 32, padded=True), splits=True) == (1, 2, 4, 8, 16, 32)
    assert bucket_sizes(Span(1, 32, padded=True), splits=False) == (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
    assert bucket_sizes(Span(5, 20, padded=True), splits=True) == (8, 16, 20)
    assert bucket_sizes(Span(1, 9, padded=True, sizes=(3, 9)), splits=False) == (3, 9)


@pytest.mark.parametrize("high", [2, 3, 5, 17, 100, 384, 512])
def test_without_splitting_at_most_a_third_of_a_run_is_padding(high: int) -> None:
    sizes = bucket_sizes(Span(1, high, padded=True), splits=False)
    for size in range(1, high + 1):
        bucket = min(each for each in sizes if each >= size)
        assert (bucket - size) / bucket <= 1 / 3
