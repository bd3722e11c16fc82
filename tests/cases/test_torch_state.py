"""Torch modules that keep something from call to call: refused by name; the caller's module is left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modeldyno.base.errors import ModelError
from modeldyno.compiler import compile_model
from modeldyno.runtime.open import open_session


class Keeps(nn.Module):
    """Adds a buffer that `change` changes."""

    def __init__(self, change: Callable[[Any], Any]) -> None:
        super().__init__()
        self.register_buffer("state", torch.ones(4, 3))
        self.change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.change(self)
        return x + self.state.sum(0)


class Counts(nn.Module):
    """Keeps a number in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen.append(self.calls)
        return x * len(self.seen)


class Draws(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


class ChangesItsInput(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.add_(1)
        return x * 2


def doubled(module: Any) -> None:
    module.state.mul_(2)


def one_row(module: Any) -> None:
    module.state[1].copy_(module.state[0] + 1)


def replaced(module: Any) -> None:
    module.state = module.state + 1


X = (torch.zeros(2, 3),)


@pytest.mark.parametrize("change", [doubled, one_row, replaced])
def test_a_changed_buffer_is_refused_with_its_name_and_operator(tmp_path: Path, change: Any) -> None:
    module = Keeps(change)
    with pytest.raises(ModelError, match=r"changes its own buffers while it runs: 'state' \(aten\."):
        compile_model(module, tmp_path / "a", example_inputs=X)
    torch.testing.assert_close(module.state, torch.ones(4, 3))
    assert module.training
    assert not (tmp_path / "a").exists()


def test_a_file_with_a_changed_buffer_is_refused_too(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(nn.Sequential(nn.BatchNorm1d(3)), X), tmp_path / "m.pt2")
    with pytest.raises(ModelError, match=r"'0.running_mean'.*'0.num_batches_tracked'.*after .eval\(\)"):
        compile_model(tmp_path / "m.pt2", tmp_path / "a")


@pytest.mark.parametrize("module", [Counts(), Draws()])
def test_two_answers_to_one_input_are_refused(tmp_path: Path, module: nn.Module) -> None:
    with pytest.raises(ModelError, match="gives two answers to one input"):
        compile_model(module, tmp_path / "a", example_inputs=X)
    if isinstance(module, Counts):
        assert (module.calls, module.seen) == (0, [])


def test_a_good_module_and_torchs_random_numbers_are_left_as_they_were(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.ReLU())
    module[3].eval()
    calls: list[int] = []
    module[0].register_forward_hook(lambda *_: calls.append(1))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    torch.manual_seed(7)
    compile_model(module, tmp_path / "a", example_inputs=X)
    drawn = torch.rand(3)
    torch.manual_seed(7)
    torch.testing.assert_close(drawn, torch.rand(3))
    assert [part.training for part in module] == [True, True, True, False]
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name])
    assert len(module[0]._forward_hooks) == 1


def test_a_model_that_changes_its_input_compiles(tmp_path: Path) -> None:
    compile_model(ChangesItsInput(), tmp_path / "a", example_inputs=X)
    session = open_session(tmp_path / "a", threads=1)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(session.run({session.inputs[0].name: x})["output_0"], (x + 1) * 2)
