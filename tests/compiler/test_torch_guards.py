"""What torch's operators go by is checked, and means what it means in torch: negative indices above all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modeldyno.base.errors import RequestError
from modeldyno.compiler.models import compile_model
from modeldyno.compiler.options import Options
from modeldyno.runtime.open import open_session
from modeldyno.runtime.sessions.base import AnySession

Compute = Callable[..., torch.Tensor]
X = torch.arange(12.0).reshape(3, 4) + 1
ROWS = torch.tensor([[10.0, 20, 30, 40], [50, 60, 70, 80]])


def whole(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int64)


@dataclass(frozen=True)
class Case:
    """`compute(*given)`, whose argument `place` takes `low` to `high`; it stands in the last element."""

    compute: Compute
    given: tuple[torch.Tensor, ...]
    low: int
    high: int
    operator: str
    place: int = 1

    def arguments(self, number: int) -> list[torch.Tensor]:
        made = [each.clone() for each in self.given]
        made[self.place].view(-1)[-1] = number
        return made


class Module(torch.nn.Module):
    def __init__(self, compute: Compute) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        return self.compute(*given)


class Embedding(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(7, 3)

    def forward(self, ids: torch.Tensor) -> Any:
        return self.table(ids)


def put(x: torch.Tensor, index: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    out = x.clone()
    out[:, index] = values
    return out


CASES = {
    "x[i]": Case(lambda x, i: x[i], (X, whole(2)), -3, 2, "aten.index.Tensor"),
    "x[i, j]": Case(lambda x, i, j: x[i, j], (X, whole(2), whole(2)), -4, 3, "aten.index.Tensor", 2),
    "x[i, i]": Case(lambda x, i: x[i, i], (X, whole(2)), -3, 2, "aten.index.Tensor"),
    "x[:, i]": Case(lambda x, i: x[:, i], (X, whole(2)), -4, 3, "aten.index.Tensor"),
    "gather": Case(lambda x, i: x.gather(0, i), (X, whole(2, 4)), 0, 2, "aten.gather.default"),
    "index_select": Case(lambda x, i: x.index_select(1, i), (X, whole(2)), 0, 3, "aten.index_select.default"),
    "scatter": Case(lambda x, i, v: x.scatter(0, i, v), (X, whole(1, 4), ROWS[:1]), 0, 2, "aten.scatter.src"),
    "scatter_add": Case(
        lambda x, i, v: x.scatter_add(0, i, v), (X, whole(2, 4), ROWS), 0, 2, "aten.scatter_add.default"
    ),
    "index_add": Case(
        lambda x, i, v: x.index_add(0, i, v), (X, whole(2), ROWS), 0, 2, "aten.index_add.default"
    ),
    "index_copy": Case(
        lambda x, i, v: x.index_copy(0, i, v), (X, whole(1), ROWS[:1]), 0, 2, "aten.index_copy.default"
    ),
    "index_fill": Case(
        lambda x, i: x.index_fill(1, i, 7.0), (X, whole(2)), -4, 3, "aten.index_fill.int_Scalar"
    ),
    "index_put, added": Case(
        lambda x, i, v: x.index_put((i,), v, accumulate=True),
        (X, whole(2), ROWS),
        -3,
        2,
        "aten.index_put.default",
    ),
    "x[:, i] = v": Case(put, (X, whole(1), ROWS[:1, :1]), -4, 3, "aten.index_put.default"),
    "take": Case(torch.take, (X, whole(2)), -12, 11, "aten.index.Tensor"),
    "cross_entropy": Case(
        torch.nn.functional.cross_entropy, (torch.randn(2, 5), whole(2)), 0, 4, "aten.gather.default"
    ),
    "max_unpool2d": Case(
        lambda x, i: torch.nn.functional.max_unpool2d(x, i, 2),
        (torch.randn(1, 1, 2, 2), torch.tensor([[[[5, 2], [8, 10]]]])),
        0,
        15,
        "aten.max_unpool2d.default",
    ),
}


def compiled(module: torch.nn.Module, given: tuple[torch.Tensor, ...], folder: Path) -> AnySession:
    compile_model(module, folder / "out", example_inputs=given, options=Options(verify=False))
    return open_session(folder / "out", threads=1)


def run(session: AnySession, given: list[torch.Tensor]) -> Any:
    feeds = {spec.name: each.numpy() for spec, each in zip(session.inputs, given, strict=True)}
    return next(iter(session.run(feeds).values()))


def check(case: Case, module: torch.nn.Module, folder: Path) -> None:
    session = compiled(module, case.given, folder)

    def agrees(number: int) -> None:
        given = case.arguments(number)
        with torch.no_grad():
            np.testing.assert_allclose(run(session, given), module(*given).numpy(), 1e-5, 1e-6)

    for number in {case.low, case.low + 1, case.high - 1, case.high}:
        agrees(number)
    # 2 ** 33 is 0 in 32 bits, to which the front end turns some.
    for number in (case.low - 1, case.high + 1, -(10**9), 10**9, 2**33):
        with pytest.raises(RequestError, match=f"takes {case.low} to {case.high}") as refused:
            run(session, case.arguments(number))
        assert str(refused.value).startswith(case.operator)
        with pytest.raises((IndexError, RuntimeError)):
            module(*case.arguments(number))
    agrees(case.high)


@pytest.mark.parametrize("name", CASES)
def test_an_index_means_what_it_means_in_torch_or_is_refused(name: str, tmp_path: Path) -> None:
    check(CASES[name], Module(CASES[name].compute), tmp_path)


def test_an_id_beyond_the_vocabulary_is_refused(tmp_path: Path) -> None:
    case = Case(lambda i: i, (whole(2, 3),), 0, 6, "aten.embedding.default", 0)
    check(case, Embedding(), tmp_path)


@pytest.mark.parametrize(
    ("operator", "compute"),
    [
        ("aten.div.Tensor_mode", lambda a, b: a // b),
        ("aten.div.Tensor_mode", lambda a, b: torch.div(a, b, rounding_mode="trunc")),
        ("aten.remainder.Tensor", lambda a, b: a % b),
        ("aten.fmod.Tensor", torch.fmod),
    ],
    ids=["floor", "trunc", "remainder", "fmod"],
)
def test_whole_numbers_are_not_divided_by_zero(operator: str, compute: Compute, tmp_path: Path) -> None:
    a, b = torch.tensor([7, -7, 9, -9]), torch.tensor([2, 2, -4, -4])
    session = compiled(Module(compute), (a, b), tmp_path)
    np.testing.assert_array_equal(run(session, [a, b]), compute(a, b).numpy())
    with pytest.raises(RequestError, match=rf"{operator} .* is 0 at \[2\]"):
        run(session, [a, torch.tensor([1, 2, 0, 4])])
    least = torch.tensor([-(2**63), 2**63 - 1, 5, 0])
    found = run(session, [least, torch.full((4,), -1)])
    wrapped = [-(2**63), -(2**63) + 1, -5, 0]
    assert found.tolist() == (wrapped if operator.startswith("aten.div") else [0, 0, 0, 0])


def test_what_torch_asserts_is_refused_in_its_words(tmp_path: Path) -> None:
    session = compiled(Module(lambda i: torch.nn.functional.one_hot(i, 3)), (whole(2),), tmp_path)
    assert run(session, [torch.tensor([0, 2])]).tolist() == [[1, 0, 0], [0, 0, 1]]
    with pytest.raises(RequestError, match="Class values must be smaller than num_classes"):
        run(session, [torch.tensor([0, 3])])
    with pytest.raises(RequestError, match="Class values must be non-negative"):
        run(session, [torch.tensor([-1, 2])])


def test_values_for_more_places_than_there_are_values_are_not_read_beyond(tmp_path: Path) -> None:
    """One value for three places, and two that go to one place: the sum of both, or the last."""
    index, one, rows = torch.tensor([0, 1, 2]), torch.tensor([5.0]), torch.tensor([1, 1])

    def compute(x: torch.Tensor, i: torch.Tensor, v: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        return x.index_put((i, i), v).index_put((j,), x[:2], accumulate=True)

    module = Module(compute)
    session = compiled(module, (X, index, one, rows), tmp_path)
    np.testing.assert_allclose(run(session, [X, index, one, rows]), module(X, index, one, rows).numpy())
