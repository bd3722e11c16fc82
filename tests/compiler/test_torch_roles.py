"""What an exported torch program says of its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modeldyno.compiler.frontends.torch.module import read_module
from modeldyno.compiler.frontends.torch.roles import torch_facts
from modeldyno.compiler.model.input_roles import Facts, Role


class Reads(nn.Module):
    """Reads whole numbers in all the ways that indices are read."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 4)

    def forward(self, x: Tensor, given: dict[str, Tensor]) -> Any:
        ids, i, j, s, d, n = given.values()
        far = x[i.reshape(-1)]
        near = torch.gather(x, 1, j + 1)
        put = torch.zeros(5, 9).scatter(1, s, x)
        return self.table(ids), far, near, put, ids // d, n.float()


def facts(module: nn.Module, *args: Any) -> Facts:
    return torch_facts(torch.export.export(module.eval(), args))


def whole(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.int64)


def test_whole_numbers_are_what_reads_them() -> None:
    one = torch.ones(3, dtype=torch.int64)
    given = {"ids": whole(3), "i": whole(2, 1), "j": whole(5, 2), "s": whole(5, 6), "d": one, "n": whole(2)}
    found = facts(Reads(), torch.randn(5, 6), given)
    roles = {name.removeprefix("given_"): role for name, role in found.roles.items()}
    assert roles["i"] == Role("index", (5,), from_end=True)
    assert roles["j"] == Role("index", (6,))
    assert roles["s"] == Role("index", (9,), unique=1)
    assert roles["d"].divides
    assert roles["n"] == Role("number")
    assert roles["ids"].extents == (11,)
    assert found.divides
    least = np.iinfo(np.int64).min
    assert "divided by -1" in found.deadly({"ids": np.array([least]), "d": np.array([-1])})


class Masked(nn.Module):
    def forward(self, x: Tensor, m: Tensor, keep: Tensor) -> Tensor:
        scores = (x @ x.transpose(0, 1)).masked_fill(~keep, -1e9)
        return torch.softmax(scores + m, -1)


def test_masks_are_those_of_a_softmax() -> None:
    found = facts(Masked(), torch.randn(4, 3), torch.zeros(4, 4), torch.ones(4, 4, dtype=torch.bool))
    assert dict(found.roles) == {"m": Role("mask", added=True), "keep": Role("mask")}


def test_a_divisor_that_is_an_input_does_not_end_the_reading() -> None:
    class Shares(nn.Module):
        def forward(self, x: Tensor, n: Tensor) -> Tensor:
            return x // n

    source = read_module(Shares(), [torch.ones(64, dtype=torch.int64), torch.ones(64, dtype=torch.int64)])
    assert source.facts is not None
    assert source.facts().roles["n"].divides


@pytest.mark.parametrize("channels", [3, 16])
def test_an_image_has_few_channels(channels: int) -> None:
    found = facts(nn.Conv2d(channels, 4, 3), torch.randn(1, channels, 8, 8))
    assert list(found.roles.values()) == ([Role("image")] if channels == 3 else [])
