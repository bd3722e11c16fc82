"""The import paths from torch into the compiler: as it is, by decompositions, by ONNX, and none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from modeldyno.base.errors import CompileError, ParityError
from modeldyno.compiler import compile_model
from modeldyno.compiler.cli import compile_command
from modeldyno.compiler.frontends.import_paths import by_any_path
from modeldyno.compiler.frontends.torch import import_paths
from modeldyno.compiler.frontends.torch.module import read_module
from modeldyno.compiler.model.source import Source
from modeldyno.runtime.open import open_session
from modeldyno.runtime.records.manifest import Manifest
from modeldyno.runtime.tools.inspect_cli import inspect_command

X = torch.linspace(-2, 2, 96).reshape(2, 3, 4, 4)
WHOLE = torch.arange(96).reshape(2, 3, 4, 4) % 5


class Calls(torch.nn.Module):
    """Computes what a function of tensors says."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


def compiled(function: Callable[..., Any], x: Any, folder: Path) -> Manifest:
    """Compile, and compare with torch on `x` (the parity check has inputs of its own)."""
    module = Calls(function).eval()
    manifest = compile_model(module, folder, example_inputs=(x,))
    found = open_session(folder, 1).run({"x": x.numpy()})
    expected = module(x)
    several = expected if isinstance(expected, tuple | list) else (expected,)
    for wanted, got in zip(several, found.values(), strict=True):
        assert got.dtype == wanted.numpy().dtype
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-4, atol=1e-5)
    return manifest


def import_path(manifest: Manifest) -> tuple[str, str]:
    assert manifest.road is not None
    return manifest.road.name, manifest.road.reason


def test_a_model_that_the_front_end_reads_takes_the_shortest_import_path(tmp_path: Path) -> None:
    assert import_path(compiled(torch.relu, X, tmp_path / "out")) == ("torch.export", "")


READ: dict[str, tuple[Callable[..., Any], Any]] = {
    "amax": (lambda x: x.amax((2, 3)), X),
    "amin": (lambda x: x.amin(-1, keepdim=True), X),
    "amax over one axis": (lambda x: x.amax(1), X),
    "scatter_add": (lambda x: torch.zeros(2, 3, 4, 4).scatter_add(2, (x[:, :, :2] > 0).long(), x), X),
    "scatter_reduce": (lambda x: x.scatter_reduce(2, (x[:, :, :2] > 0).long(), x, "amax"), X),
    "whole division": (lambda x: (x - 3) // 4, WHOLE),
    "whole division to zero": (lambda x: torch.div(x - 3, 2, rounding_mode="trunc"), WHOLE),
    "whole division by a fraction": (lambda x: torch.div(x - 3, 1.5, rounding_mode="floor"), WHOLE),
    "whole division of fractions": (lambda x: torch.div(x, 3, rounding_mode="trunc"), X),
}


@pytest.mark.parametrize("name", READ)
def test_operators_that_relax_has_are_read_as_they_are(name: str, tmp_path: Path) -> None:
    assert import_path(compiled(*READ[name], tmp_path / "out")) == ("torch.export", "")


DEFINED: dict[str, tuple[Callable[..., Any], Any]] = {
    "aten.__lshift__.Scalar": (lambda x: x << 2, WHOLE),
    "aten.__rshift__.Scalar": (lambda x: (x - 3) >> 1, WHOLE),
    "aten._cdist_forward.default": (lambda x: torch.cdist(x, x.flip(2)), X),
    "aten.cat.default": (lambda x: torch.cat([torch.zeros(0), x, x > 0]), X),
    "aten.cumsum.default": (lambda x: (x > 0).cumsum(1), X),
    "aten.div.Tensor": (lambda x: (x - 2) / 3, WHOLE),
    "aten.exp2.default": (torch.exp2, X),
    "aten.hypot.default": (lambda x: torch.hypot(x, x + 1), X),
    "aten.index.Tensor": (lambda x: x[:, torch.tensor([[0], [2]]), torch.tensor([1, 3])], X),
    "aten.log.default": (lambda x: torch.log(x + 1), WHOLE),
    "aten.min.dim": (lambda x: x.min(1), X),
    "aten.native_group_norm.default": (lambda x: torch.nn.functional.group_norm(x, 3), X),
    "aten.searchsorted.Tensor": (lambda x: torch.searchsorted(torch.tensor([-1.0, 0, 1]), x), X),
    "aten.signbit.default": (torch.signbit, X),
    "aten.unfold.default": (lambda x: x.unfold(2, 3, 1), X),
    "aten.adaptive_max_pool2d.default": (lambda x: torch.nn.functional.adaptive_max_pool2d(x, 2), X),
    "aten.prod.dim_int": (lambda x: x.prod(1), X),
}


@pytest.mark.parametrize("operator", DEFINED)
def test_an_operator_that_is_lacking_or_misread_is_written_as_simpler_ones(
    operator: str, tmp_path: Path
) -> None:
    name, reason = import_path(compiled(*DEFINED[operator], tmp_path / "out"))
    assert name == "torch.export + decompositions"
    assert operator in reason


def spectrum(x: Any) -> Any:
    return torch.fft.fft(x).abs()


def test_what_has_no_decomposition_goes_by_onnx_and_compile_and_inspect_say_why(tmp_path: Path) -> None:
    model, folder = tmp_path / "spectrum.pt2", tmp_path / "out"
    torch.export.save(torch.export.export(Calls(spectrum), (X,)), model)
    said = CliRunner().invoke(
        compile_command, [str(model), "-o", str(folder), "--here", str(tmp_path / "at")]
    )
    assert said.exit_code == 0, said.output
    why = "the import path torch.export failed: TVM's front end for torch lacks"
    assert f"import path: onnx ({why}" in said.output
    assert "aten._fft_r2c.default" in said.output
    shown = CliRunner().invoke(inspect_command, [str(folder)])
    assert f"onnx ({why}" in shown.output
    found = open_session(folder, 1).run({"x": X.numpy()})
    np.testing.assert_allclose(next(iter(found.values())), spectrum(X).numpy(), rtol=1e-4, atol=1e-4)


def test_where_no_import_path_works_the_error_names_the_operators_and_both_reasons(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=r"lacks aten\.linalg_inv_ex\.default") as caught:
        compile_model(Calls(torch.linalg.inv), tmp_path / "out", example_inputs=(torch.eye(4),))
    assert "Nor by way of ONNX: torch can't write the program as ONNX" in str(caught.value)
    assert "aten.linalg_inv_ex.default" in caught.value.operators
    assert not (tmp_path / "out").exists()


def test_a_decomposition_that_fails_ends_its_import_path_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no such definition")

    monkeypatch.setattr(import_paths, "decomposed", fails)
    name, reason = import_path(compiled(torch.relu, X, tmp_path / "out"))
    assert name == "onnx"
    assert reason == "the import path torch.export failed: no such definition"


def test_wrong_results_end_an_import_path_as_a_failure_does() -> None:
    source = read_module(torch.nn.ReLU(), (torch.ones(2),))
    following = replace(source, name="by another path", otherwise=None)
    taken: list[str] = []

    def compile_one(way: Source) -> Any:
        taken.append(way.name)
        if way is not following:
            raise ParityError("output 'y' differs", stage="verify", target="host")
        return "an artifact"

    said: list[str] = []
    found: Any = by_any_path(replace(source, otherwise=lambda _: following), compile_one, said.append)
    assert found == "an artifact"
    assert taken == ["ReLU", "by another path"]
    assert said[0] == "the import path torch.export failed: output 'y' differs"


@pytest.mark.parametrize("affine", [True, False])
def test_groups_of_one_value_are_normalized_to_zero_and_not_to_nan(affine: bool, tmp_path: Path) -> None:
    norm = torch.nn.GroupNorm(4, 8, affine=affine)
    record = np.full((2, 8, 37), 333.3, np.float32) + np.linspace(0, 1e-2, 8, dtype=np.float32)[:, None]
    manifest = compile_model(
        norm, tmp_path / "out", example_inputs=(torch.zeros(2, 8, 37),), inputs=[{"input": record}]
    )
    assert manifest.road is not None
    assert manifest.road.name.startswith("torch.export")
    found = open_session(tmp_path / "out", 1).run({"input": np.full((2, 8, 37), 0.1, np.float32)})
    assert np.abs(next(iter(found.values()))).max() < 1e-3
