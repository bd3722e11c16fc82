"""What compiled code goes by is checked: indices and divisors of a request, by operator and input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from modeldyno.base.errors import CompileError, RequestError
from modeldyno.compiler.guards.guards import place_guards
from modeldyno.compiler.guards.marks import Mark, checked_constant
from modeldyno.compiler.model.shapes import Span
from modeldyno.compiler.models import compile_model
from modeldyno.runtime.open import Session
from tests.compiler.guarded import CASES, compiled, reference
from tests.compiler.models import constant, model, node, saved, tensor

WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@pytest.mark.parametrize("name", CASES)
def test_an_index_out_of_range_is_refused_and_the_next_request_is_answered(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    made = case.model()
    session, source = compiled(made, tmp_path), reference(made)

    def agrees(number: int) -> None:
        feeds = case.feeds(number)
        np.testing.assert_allclose(session.run(feeds)["y"], source.run(["y"], feeds)[0], 1e-4, 1e-5)

    for number in {case.low, min(case.low + 1, case.high), max(0, case.low), case.high - 1, case.high}:
        agrees(number)
    for number in (case.low - 1, case.high + 1, -(10**9), 10**9):
        with pytest.raises(RequestError, match=case.takes) as refused:
            session.run(case.feeds(number))
        said = str(refused.value)
        assert f"{case.operator} 'lookup': its input '{case.index}' holds {number}" in said
        with pytest.raises(Exception):  # noqa: B017, PT011 - the source model refuses it too
            source.run(["y"], case.feeds(number))
        agrees(case.high)


def test_one_hot_of_what_has_no_place_is_all_off_as_in_the_source(tmp_path: Path) -> None:
    made = model(
        [node("OneHot", "i depth values", "y")],
        [tensor("i", [5], TensorProto.INT64)],
        [tensor("y", [5, 3])],
        [constant("depth", 3), constant("values", [0.5, 2], "float32")],
    )
    feeds = {"i": np.array([0, -3, 3, -4, 10**9])}
    found = compiled(made, tmp_path).run(feeds)["y"]
    np.testing.assert_array_equal(found, reference(made).run(None, feeds)[0])


def divided(operator: str, dtype: str, **attributes: Any) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return model(
        [node(operator, "a b", "y", name="ratio", **attributes)],
        [tensor("a", [6], kind), tensor("b", [6], kind)],
        [tensor("y", [6], kind)],
    )


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("operator", ["Div", "Mod", "fmod"])
def test_a_zero_as_divisor_is_refused_and_minus_one_wraps(operator: str, dtype: str, tmp_path: Path) -> None:
    made = divided(
        "Mod" if operator == "fmod" else operator, dtype, **{"fmod": 1} if operator == "fmod" else {}
    )
    session, source, limits = compiled(made, tmp_path), reference(made), np.iinfo(dtype)
    # ONNX Runtime computes fmod in doubles, which hold 53 bits.
    least, most = (limits.min // 4096, limits.max // 4096) if operator == "fmod" else (limits.min, limits.max)
    a = np.array([least, most, 7, 100, least, 0], dtype)
    good = [np.array([1, 3, 2, 9, 5, 7], dtype)]
    if limits.min < 0:
        good.append(np.array([2, -3, -2, 9, -7, least or 1], dtype))
    for b in good:
        np.testing.assert_array_equal(
            session.run({"a": a, "b": b})["y"], source.run(None, {"a": a, "b": b})[0]
        )
    with pytest.raises(RequestError, match=r"'ratio': its input 'b' is 0 at \[2\]"):
        session.run({"a": a, "b": np.array([1, 1, 0, 1, 0, 1], dtype)})
    if limits.min < 0:  # a processor traps at the least number by -1, and ONNX Runtime with it
        a = np.array([limits.min, limits.max, 7, -7, limits.min, 0], dtype)
        wrapped = np.array([limits.min, -limits.max, -7, 7, limits.min, 0], dtype)
        found = session.run({"a": a, "b": np.full(6, -1, dtype)})["y"]
        np.testing.assert_array_equal(found, wrapped if operator == "Div" else np.zeros(6, dtype))


def branches() -> Any:
    """x[i] where c is true, x[j] * 2 where it is not."""
    one = helper.make_graph([node("Gather", "x i", "a", name="one")], "one", [], [tensor("a", [2])])
    two = [node("Mul", "x two", "x2"), node("Gather", "x2 j", "b", name="other")]
    other = helper.make_graph(two, "other", [], [tensor("b", [2])])
    kinds = {"i": TensorProto.INT64, "j": TensorProto.INT64}
    return model(
        [node("If", "c", "y", then_branch=one, else_branch=other)],
        [tensor("c", [], TensorProto.BOOL), tensor("x", [4])] + [tensor(n, [2], k) for n, k in kinds.items()],
        [tensor("y", [2])],
        [constant("two", 2.0, "float32")],
    )


def test_of_two_branches_only_the_one_that_is_taken_is_asked(tmp_path: Path) -> None:
    session, x = compiled(branches(), tmp_path), np.arange(4, dtype=np.float32)
    good, bad = np.array([1, -1]), np.array([1, 4])

    def run(c: bool, i: Any, j: Any) -> list[float]:
        found: list[float] = session.run({"c": np.array(c), "x": x, "i": i, "j": j})["y"].tolist()
        return found

    assert run(True, good, bad) == [1, 3]
    assert run(False, bad, good) == [2, 6]
    with pytest.raises(RequestError, match="Gather 'one'"):
        run(True, bad, good)
    with pytest.raises(RequestError, match="Gather 'other'"):
        run(False, good, bad)
    assert run(True, good, good) == [1, 3]


def test_of_several_the_first_is_told_since_the_others_follow_from_it(tmp_path: Path) -> None:
    """The second index is read from a table by the first."""
    made = model(
        [node("Gather", "hops i", "j", name="first"), node("Gather", "x j", "y", name="second")],
        [tensor("hops", [3], TensorProto.INT64), tensor("i", [2], TensorProto.INT64), tensor("x", [4])],
        [tensor("y", [2])],
    )
    session, x = compiled(made, tmp_path), np.arange(4, dtype=np.float32)
    hops = np.array([3, 9, 0])
    assert session.run({"hops": hops, "i": np.array([0, 2]), "x": x})["y"].tolist() == [3, 0]
    with pytest.raises(RequestError, match=r"Gather 'second': its input 'j' holds 9 at \[1\]"):
        session.run({"hops": hops, "i": np.array([0, 1]), "x": x})
    with pytest.raises(RequestError, match="Gather 'first'"):
        session.run({"hops": hops, "i": np.array([3, 1]), "x": x})


def test_what_can_not_be_out_of_range_is_not_checked(tmp_path: Path) -> None:
    """Constants, and what a clip or a remainder holds within the axis."""
    made = model(
        [
            node("Clip", "i zero three", "clipped"),
            node("Mod", "i four", "rest"),
            *(
                node("Gather", f"x {name}", out)
                for name, out in (("clipped", "a"), ("rest", "b"), ("at", "c"))
            ),
            node("Sum", "a b c", "y"),
        ],
        [tensor("i", [2], TensorProto.INT64), tensor("x", [4])],
        [tensor("y", [2])],
        [constant("zero", 0), constant("three", 3), constant("four", 4), constant("at", [-1, 1])],
    )
    session, x = compiled(made, tmp_path), np.arange(4, dtype=np.float32)
    assert session.manifest.guards == ()
    assert session.run({"i": np.array([10**12, -3]), "x": x})["y"].tolist() == [3 + 0 + 3, 0 + 1 + 1]


def test_a_constant_that_no_request_can_mend_ends_the_compile(tmp_path: Path) -> None:
    made = model([node("Gather", "x at", "y")], [tensor("x", [4])], [tensor("y", [1])], [constant("at", [4])])
    with pytest.raises(CompileError, match="constant that holds 4: it takes -4 to 3"):
        compiled(made, tmp_path)


def test_a_constant_divisor_of_zero_is_refused() -> None:
    from modeldyno.compiler.graph.fold import as_constant

    with pytest.raises(NotImplementedError, match="its input 'b' is a constant that holds 0"):
        checked_constant(as_constant(np.array([1, 0])), Mark("Mod", "ratio", "b"))


@pytest.mark.parametrize("number", [-1, 2**40, 2**62])
def test_a_result_as_large_as_a_request_likes_is_not_allocated(number: int, tmp_path: Path) -> None:
    """2 ** 62 numbers of 8 bytes are 0 bytes in 64 bits, behind which all of them would be written."""
    made = model(
        [node("Expand", "x sizes", "y")],
        [tensor("x", [4, 1]), tensor("sizes", [2], TensorProto.INT64)],
        [tensor("y", [None, None])],
    )
    session, x = compiled(made, tmp_path), np.ones((4, 1), np.float32)
    assert session.run({"x": x, "sizes": np.array([4, 3])})["y"].shape == (4, 3)
    with pytest.raises(RequestError, match="a result of a negative size, or of more than"):
        session.run({"x": x, "sizes": np.array([4, number])})
    assert session.run({"x": x, "sizes": np.array([4, 2])})["y"].shape == (4, 2)


@pytest.mark.parametrize("step", [1, 2, -1])
def test_a_slice_that_ends_before_it_begins_is_empty(step: int, tmp_path: Path) -> None:
    made = model(
        [node("Slice", "x begin end axes steps", "y")],
        [tensor("x", [6, 4]), *(tensor(name, [1], TensorProto.INT64) for name in ("begin", "end"))],
        [tensor("y", [None, 4])],
        [constant("axes", [0]), constant("steps", [step])],
    )
    session, source = compiled(made, tmp_path), reference(made)
    x = np.arange(24, dtype=np.float32).reshape(6, 4)
    for begin, end in ((1, 3), (3, 1), (2, 2), (5, -5), (-2, 100), (9, 12), (-(2**63), 3)):
        feeds = {"x": x, "begin": np.array([begin]), "end": np.array([end])}
        np.testing.assert_array_equal(session.run(feeds)["y"], source.run(["y"], feeds)[0])


def test_an_index_that_was_no_number_is_told_so(tmp_path: Path) -> None:
    made = model(
        [node("Cast", "f", "i", to=TensorProto.INT64), node("Gather", "x i", "y")],
        [tensor("f", [2]), tensor("x", [4])],
        [tensor("y", [2])],
    )
    session, x = compiled(made, tmp_path), np.ones(4, np.float32)
    with pytest.raises(RequestError, match=r"holds no whole number of 64 bits at \[1\]; it takes -4 to 3"):
        session.run({"x": x, "f": np.array([0, 1e30], np.float32)})


def ratio_of_open_size(folder: Path) -> Path:
    kinds = [tensor(name, ["n", 2], TensorProto.INT64) for name in ("a", "b", "y")]
    return saved(folder / "m.onnx", model([node("Div", "a b", "y", name="ratio")], kinds[:2], kinds[2:]))


def test_a_divisor_that_would_be_padded_with_zeros_is_refused_at_compile_time(tmp_path: Path) -> None:
    sizes: dict[str, list[int | str | Span]] = {name: ["2..4@4", 2] for name in "ab"}
    said = r"what the source model refuses.*: \[ONNX.*Div.*ratio.*ivision by zero.*exact sizes.*`shapes`"
    with pytest.raises(CompileError, match=said):
        compile_model(ratio_of_open_size(tmp_path), tmp_path / "out", shapes=sizes)


def test_a_divisor_of_exact_sizes_is_never_padded(tmp_path: Path) -> None:
    sizes: dict[str, list[int | str | Span]] = {name: ["2|4", 2] for name in "ab"}
    compile_model(ratio_of_open_size(tmp_path), tmp_path / "out", shapes=sizes)
    session = Session.load(tmp_path / "out")
    for rows in (2, 4):
        a, b = np.full((rows, 2), 7), np.full((rows, 2), 2)
        assert session.run({"a": a, "b": b})["y"].tolist() == [[3, 3]] * rows
        with pytest.raises(RequestError, match="Div"):
            session.run({"a": a, "b": b * 0})


def test_a_torch_divisor_of_open_size_is_drawn_without_zeros(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Ratio(torch.nn.Module):  # type: ignore[name-defined]
        def forward(self, a: Any, b: Any) -> Any:
            return torch.div(a, b, rounding_mode="floor")

    sizes: dict[str, list[int | str | Span]] = {name: ["2..4@4", 2] for name in "ab"}
    given = [torch.ones(2, 2, dtype=torch.int64)] * 2
    with pytest.raises(CompileError, match="with zeros makes what the source model refuses"):
        compile_model(Ratio(), tmp_path / "out", shapes=sizes, example_inputs=given)


def test_a_module_that_goes_by_nothing_of_a_request_stays_as_it_is() -> None:
    from tvm import relax

    from tests.compiler.relaxed import module

    plain = module([(2, 3)], lambda builder, x: builder.emit(relax.op.divide(x, relax.const(np.float32(2)))))
    assert place_guards(plain).same_as(plain)
