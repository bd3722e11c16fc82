"""Lists of stages, and who hears of a compile."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.compiler.frontends.dispatch import read_model
from modeldyno.compiler.model.onnx_graph import OnnxGraph
from modeldyno.compiler.options import Options
from modeldyno.compiler.request import CompileRequest
from modeldyno.compiler.stages.base import Context, Recipe, Stage
from modeldyno.compiler.stages.cpu import CPU, TUNED_CPU
from modeldyno.compiler.stages.cuda import CUDA
from modeldyno.compiler.stages.run import run_stages
from modeldyno.compiler.targets.catalog import TARGETS
from modeldyno.compiler.watch import UNWATCHED, Watch, silent, watch_of
from tests.compiler.models import add_net, saved
from tests.compiler.relaxed import AVX2, module, source_of, target_for


def listed(*names: str) -> Recipe:
    def stage(name: str) -> Stage:
        return Stage(name, lambda made, _context: [*made, name])

    return Recipe(tuple(map(stage, names)))


def test_a_list_is_cut_by_the_names_of_its_stages() -> None:
    recipe = listed("a", "b", "c", "d")
    assert recipe.until("b").names == ("a", "b")
    assert recipe.after("b").names == ("c", "d")
    assert recipe.between("b", "c").names == ("b", "c")
    assert recipe.between("d", "d").apply(["made"], Context(None, TARGETS["znver4"])) == ["made", "d"]
    with pytest.raises(ValueError, match="not in tuple"):
        recipe.until("e")


def test_the_list_for_gpus_is_this_one() -> None:
    assert CUDA.names == (
        *("import", "guard", "canonicalize", "fold_batch_norm", "decompose", "fold", "fuse"),
        *("kernel_facts", "schedule", "generate"),
    )


def test_tuning_is_a_stage_before_the_kernels_are_chosen() -> None:
    assert TUNED_CPU.after("tune").names == CPU.between("legalize", "generate").names
    assert [name for name in TUNED_CPU.names if name != "tune"] == list(CPU.names)


def test_what_the_stages_note_stands_in_the_context() -> None:
    made = module([(4, 8)], lambda builder, x: builder.emit(_relu(x)))
    context = Context(source_of(made), target_for(AVX2))
    CPU.until("plan_memory").apply(None, context)
    facts = context.facts
    assert "relax.nn.relu" in facts.imported
    assert [kernel.name for kernel in facts.kernels] == ["relu"]
    assert facts.peak is not None
    assert facts.weights == ()


def test_a_watch_is_told_of_each_stage() -> None:
    made, told = module([(4, 8)], lambda builder, x: builder.emit(_relu(x))), list[str]()
    built = run_stages(source_of(made), target_for(AVX2), watch=Watch(stage=told.append))
    assert told == [stage.stage for stage in built.stages] == list(CPU.names)


def test_a_part_of_the_work_is_told_with_its_title_and_without_its_stages() -> None:
    told: list[str] = []
    part = watch_of(told.append, told.append).titled("bucket 4")
    part.stage("import")
    part.tuning("kernel 1")
    part.warn("slow")
    assert told == ["bucket 4: kernel 1", "bucket 4: slow"]
    assert watch_of(told.append, None).titled("bucket 4") == UNWATCHED == Watch(silent)


def test_a_models_graph_is_read_once_for_a_request(tmp_path: Path) -> None:
    source = read_model(saved(tmp_path / "net.onnx", add_net()), {})
    request = CompileRequest(source, TARGETS["znver4"], Options())
    assert isinstance(request.graph, OnnxGraph)
    assert request.graph is request.graph
    assert source.facts is not None
    assert source.facts() is source.facts()


def _relu(x: object) -> object:
    from tvm import relax

    return relax.op.nn.relu(x)
