"""PyTorch models: modules with example inputs, .pt2 files, and archives that could run code."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modeldyno.base.errors import ConfigError, ModelError
from modeldyno.compiler.frontends.torch.module import read_module
from modeldyno.compiler.frontends.torch.pt2 import read_pt2
from modeldyno.compiler.models import compile_model
from modeldyno.runtime.open import open_session


class Two(torch.nn.Module):
    """Gives a product and a sum, under whatever structure `arrange` makes of them."""

    def __init__(self, arrange: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.arrange = arrange

    def forward(self, x: Any, scale: Any = None) -> Any:
        out = self.linear(x)
        return self.arrange(out if scale is None else out * scale, x.sum(1))


def names(arrange: Callable[[Any, Any], Any]) -> list[str]:
    return [spec.name for spec in read_module(Two(arrange), (torch.ones(2, 4),)).outputs]


@pytest.mark.parametrize(
    ("arrange", "expected"),
    [
        (lambda a, _b: a, ["output_0"]),
        (lambda a, b: (a, b), ["output_0", "output_1"]),
        (lambda a, b: {"logits": a, "total": b}, ["logits", "total"]),
        (lambda a, b: {"all": {"logits": a, "totals": [b]}}, ["all_logits", "all_totals_0"]),
        (lambda a, b: {"a": {"b": a}, "a_b": b}, ["output_0", "output_1"]),
    ],
    ids=["one", "tuple", "dict", "nested", "names that collide"],
)
def test_outputs_are_named_by_their_place(arrange: Callable[[Any, Any], Any], expected: list[str]) -> None:
    assert names(arrange) == expected


def test_a_module_with_keyword_inputs_compiles_and_gives_its_outputs(tmp_path: Path) -> None:
    module = Two(lambda a, b: {"logits": a, "total": b}).eval()
    x, scale = torch.randn(2, 4), torch.full((1, 3), 2.0)
    manifest = compile_model(module, tmp_path / "out", example_inputs=(x,), example_kwargs={"scale": scale})
    assert [(spec.name, spec.shape) for spec in manifest.inputs] == [("x", (2, 4)), ("scale", (1, 3))]
    found = open_session(tmp_path / "out", 1).run({"x": x.numpy(), "scale": scale.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found["logits"], module(x, scale)["logits"].numpy(), rtol=1e-5, atol=1e-5)


def test_a_module_without_example_inputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs example_inputs"):
        compile_model(torch.nn.Linear(2, 2), tmp_path / "out")


def test_an_output_is_known_by_the_operator_and_the_module_that_give_it() -> None:
    from modeldyno.compiler.check.source_graph import maker_words

    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.GroupNorm(1, 4)

        def forward(self, x: Any) -> Any:
            return {"normed": self.norm(x), "root": x.sqrt()}

    source = read_module(Two(), (torch.ones(2, 4),))
    assert (
        maker_words(source, "normed") == ". It comes from aten.group_norm.default (module 'norm', GroupNorm)"
    )
    assert maker_words(source, "root") == ". It comes from aten.sqrt.default (Two)"


def test_a_module_that_torch_cannot_export_is_refused() -> None:
    class Branches(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x + 1 if x.sum() > 0 else x - 1

    with pytest.raises(ModelError, match=r"torch\.export can't export Branches"):
        read_module(Branches(), (torch.ones(2),))


def test_inputs_of_a_type_that_numpy_does_not_have_are_refused() -> None:
    with pytest.raises(ModelError, match=r"input 'input' has dtype complex64.*float32"):
        read_module(torch.nn.ReLU(), (torch.ones(2, dtype=torch.complex64),))


def test_the_digest_is_of_the_weights() -> None:
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    args = (torch.ones(1, 2),)
    assert read_module(first, args).digest == read_module(first, args).digest
    assert read_module(first, args).digest != read_module(second, args).digest
    assert read_module(torch.nn.Sequential(first, torch.nn.ReLU()), args).digest


def program(dynamic: bool = False) -> Any:
    batch = torch.export.Dim("batch", min=2, max=8)
    shapes = {"x": {0: batch}, "scale": {}} if dynamic else None
    module = Two(lambda a, b: (a, b)).eval()
    return torch.export.export(module, (torch.randn(4, 4),), {"scale": torch.ones(3)}, dynamic_shapes=shapes)


@pytest.fixture(scope="module")
def static_pt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "static.pt2"
    torch.export.save(program(), path)
    return path


@pytest.fixture(scope="module")
def dynamic_pt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "dynamic.pt2"
    torch.export.save(program(dynamic=True), path)
    return path


def test_a_static_file_compiles(static_pt2: Path, tmp_path: Path) -> None:
    manifest = compile_model(static_pt2, tmp_path / "out")
    assert manifest.inputs[0].shape == (4, 4)
    assert manifest.parity is not None


def test_a_dynamic_file_compiles_with_a_shape_and_names_it_without(dynamic_pt2: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"input 'x' has no fixed shape \(\[\?, 4\]\)"):
        read_pt2(dynamic_pt2, {})
    assert compile_model(dynamic_pt2, tmp_path / "out", shapes={"x": (5, 4)}).inputs[0].shape == (5, 4)


def test_a_dynamic_file_compiles_for_a_range_and_any_size_in_it_is_right(
    dynamic_pt2: Path, tmp_path: Path
) -> None:
    compile_model(dynamic_pt2, tmp_path / "out", shapes={"x": ("2..6@2|6", 4)})
    session, module = open_session(tmp_path / "out", 1), torch.export.load(dynamic_pt2).module()
    for rows in range(2, 7):
        x, scale = torch.randn(rows, 4), torch.ones(3)
        expected = module(x, scale=scale)
        found = session.run({"x": x.numpy(), "scale": scale.numpy()})
        for wanted, array in zip(expected, found.values(), strict=True):
            np.testing.assert_allclose(array, wanted.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_range_beyond_the_programs_own_is_refused(dynamic_pt2: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"does not take the shapes x \[64, 4\]"):
        compile_model(dynamic_pt2, tmp_path / "out", shapes={"x": ("2..64", 4)})
    assert not (tmp_path / "out").exists()


def test_a_module_compiles_for_a_range_of_its_examples_first_dimension(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
    shapes = {"input": ("1..3@1|3", 4)}
    compile_model(module, tmp_path / "out", shapes=shapes, example_inputs=(torch.ones(1, 4),))
    session = open_session(tmp_path / "out", 1)
    for rows in (1, 2, 3, 8):
        x = torch.randn(rows, 4)
        (found,) = session.run({"input": x.numpy()}).values()
        np.testing.assert_allclose(found, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_shape_beyond_the_programs_range_is_refused(dynamic_pt2: Path) -> None:
    with pytest.raises(ConfigError, match="the model does not take the shapes x=64,4"):
        read_pt2(dynamic_pt2, {"x": (64, 4)})


def test_a_truncated_file_is_refused(static_pt2: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pt2"
    cut.write_bytes(static_pt2.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"no readable torch\.export program|cut off"):
        read_pt2(cut, {})


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_another_torch_says_which_wrote_it_and_which_is_here(
    static_pt2: Path, tmp_path: Path
) -> None:
    def newer(name: str, data: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return data
        document = json.loads(data)
        return json.dumps({**document, "schema_version": {"major": 99, "minor": 1}, **WRITER}).encode()

    path = changed(static_pt2, tmp_path / "newer.pt2", newer)
    with pytest.raises(ModelError, match=r"written by torch 9\.9\.0, and here is torch .*: export it again"):
        read_pt2(path, {})


WRITER = {"torch_version": "9.9.0"}


@pytest.mark.parametrize(
    "names_inside", [["version", "serialized_exported_program.json"], ["word/document.xml"]]
)
def test_old_and_foreign_archives_are_refused(tmp_path: Path, names_inside: list[str]) -> None:
    path = tmp_path / "old.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names_inside:
            archive.writestr(name, "{}")
    with pytest.raises(ModelError, match=r"no \.pt2 archive that this version reads"):
        read_pt2(path, {})


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return (Path.mkdir, (self.proof,))


def changed(
    source: Path, goal: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes] | None = None
) -> Path:
    """Copy an archive with its entries changed; what `extra` names is added under its root."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(goal, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        root = old.namelist()[0].split("/")[0]
        for name, data in (extra or {}).items():
            new.writestr(f"{root}/{name}", data)
    return goal


def in_json(file: str, change: Callable[[Any], None]) -> Callable[[str, bytes], bytes]:
    def apply(name: str, data: bytes) -> bytes:
        if not name.endswith(file):
            return data
        document = json.loads(data)
        change(document)
        return json.dumps(document).encode()

    return apply


def refused(path: Path, message: str, proof: Path) -> None:
    with pytest.raises(ModelError, match=message):
        read_pt2(path, {})
    assert not proof.exists()


def test_a_copy_with_nothing_changed_is_read(dynamic_pt2: Path, tmp_path: Path) -> None:
    copy = changed(dynamic_pt2, tmp_path / "copy.pt2", lambda _name, data: data)
    assert read_pt2(copy, {"x": (3, 4)}).inputs[0].shape == (3, 4)


def test_pickled_weights_are_refused(static_pt2: Path, tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    payload = io.BytesIO()
    torch.save(Bomb(proof), payload)

    def mark(document: Any) -> None:
        for entry in document["config"].values():
            entry["use_pickle"] = True

    def change(name: str, data: bytes) -> bytes:
        return payload.getvalue() if "/weight_" in name else in_json("weights_config.json", mark)(name, data)

    refused(changed(static_pt2, tmp_path / "m.pt2", change), "holds pickled weights", proof)


@pytest.mark.parametrize("name", ["custom_obj_0", "opaque_obj_0"])
def test_pickled_objects_are_refused(static_pt2: Path, tmp_path: Path, name: str) -> None:
    proof = tmp_path / "ran"
    extra = {f"data/constants/{name}": pickle.dumps(Bomb(proof))}
    refused(changed(static_pt2, tmp_path / "m.pt2", lambda _n, d: d, extra), "holds a pickled object", proof)


def test_example_inputs_that_are_no_tensors_are_refused(static_pt2: Path, tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    payload = io.BytesIO()
    torch.save(((Bomb(proof),), {}), payload)
    path = changed(
        static_pt2, tmp_path / "m.pt2", lambda n, d: payload.getvalue() if "sample_inputs" in n else d
    )
    refused(path, "its example inputs .* could run code", proof)


def test_compiled_code_is_refused(static_pt2: Path, tmp_path: Path) -> None:
    extra = {"data/aotinductor/model/wrapper.so": b"\x7fELF"}
    path = changed(static_pt2, tmp_path / "m.pt2", lambda _n, d: d, extra)
    refused(path, "holds compiled code", tmp_path / "ran")


def hostile(code: str) -> dict[str, Callable[[Any], None]]:
    """Ways to put Python source where torch turns text into code."""

    def size(document: Any) -> None:
        values = document["graph_module"]["graph"]["tensor_values"]
        next(iter(values.values()))["sizes"][0] = {"as_expr": {"expr_str": code, "hint": {"as_int": 4}}}

    def guard(document: Any) -> None:
        document["guards_code"] = [code]

    def name(document: Any) -> None:
        document["graph_module"]["graph"]["nodes"][0]["name"] = f"x={code}"

    def argument(document: Any) -> None:
        document["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [f"x={code}"]

    def signature(document: Any) -> None:
        entry = document["graph_module"]["module_call_graph"][0]["signature"]
        entry["in_spec"] = entry["in_spec"].replace("scale", f"x={code}")

    return {"size": size, "guard": guard, "name": name, "argument": argument, "signature": signature}


@pytest.mark.parametrize("where", hostile(""))
def test_text_that_torch_would_run_is_refused(dynamic_pt2: Path, tmp_path: Path, where: str) -> None:
    proof = tmp_path / "ran"
    change = in_json("models/model.json", hostile(f"__import__('os').mkdir('{proof}')")[where])
    refused(changed(dynamic_pt2, tmp_path / "m.pt2", change), "it is not opened", proof)


@pytest.mark.parametrize(
    "guard",
    [
        "L['x'].size()[0] == '\"+print(1)+\"'",
        "[c for c in ()]",
        "L['x'].data",
        "print(L)",
        "L['x'].size.__class__",
    ],
)
def test_guards_that_are_more_than_sizes_are_refused(dynamic_pt2: Path, tmp_path: Path, guard: str) -> None:
    change = in_json("models/model.json", hostile(guard)["guard"])
    refused(
        changed(dynamic_pt2, tmp_path / "m.pt2", change), "a guard that is no comparison", tmp_path / "ran"
    )


def test_an_archive_behind_other_data_is_refused(static_pt2: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    path.write_bytes(b"#!/bin/sh\n" + static_pt2.read_bytes())
    refused(path, "other data before the archive", tmp_path / "ran")


def test_json_nested_beyond_reason_is_refused(static_pt2: Path, tmp_path: Path) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    path = changed(static_pt2, tmp_path / "m.pt2", lambda n, d: deep if n.endswith("model.json") else d)
    refused(path, "no readable torch.export program", tmp_path / "ran")


def test_without_torch_the_extra_to_install_is_named(static_pt2: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from modeldyno.compiler import compile_model\n"
        "from modeldyno.base.errors import ModelError\n"
        "try:\n"
        f"    compile_model(Path({str(static_pt2)!r}), Path({str(tmp_path / 'out')!r}))\n"
        "except ModelError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install modeldyno[torch]" in done.stdout
    assert not (tmp_path / "out").exists()
