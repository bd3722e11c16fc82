"""Candidates of which a part runs in ONNX Runtime: said in the records, on the console and in the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeldyno.recommender.job.job import Job
from modeldyno.recommender.job.model_file import inspect_model
from modeldyno.recommender.job.trial_orders import compile_order
from modeldyno.recommender.rounds.told import told_what_is_not_compiled
from modeldyno.recommender.show import console_lines
from modeldyno.recommender.show.events import CompileEnded
from modeldyno.reports.page.page import write_report
from modeldyno.trials.measure.compiled import Compiled, compile_apart, not_wholly_compiled, summary
from modeldyno.trials.measure.orders import CompileOrder
from tests.compiler.models import conv_net, counted, det_net, saved
from tests.reports.sample import sample, write_run

TEXT = "only 99.9% of its FLOPs are compiled; in ONNX Runtime run: Det"


@pytest.fixture(scope="module")
def partly(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tmp_path_factory.mktemp("partly")
    model = saved(folder / "det.onnx", det_net())
    return compile_apart(model, folder / "artifact", CompileOrder(fallback="onnxruntime"), folder / "log.txt")


def test_the_record_has_the_shares_and_the_operators(partly: Compiled) -> None:
    assert partly.manifest is not None
    found = summary(partly.manifest, {})
    assert found is not None
    assert found.operators_share == 6 / 7
    assert found.flops_share is not None
    assert 0.999 < found.flops_share < 1
    assert found.fallback == ("Det",)


def test_the_rows_of_compiled_candidates_alone_warn_of_it(partly: Compiled) -> None:
    ranking = sample()[0].ranking
    for before, after in zip(ranking, told_what_is_not_compiled(ranking, partly.manifest), strict=True):
        assert after.warnings == (*before.warnings, *([TEXT] if before.backend == "compiled" else []))
    assert told_what_is_not_compiled(ranking, None) == ranking


def test_the_console_says_it_when_compiling_ends(partly: Compiled) -> None:
    assert TEXT in console_lines.compile_end(CompileEnded(partly.manifest, False, None, 1.0))


def test_the_report_says_it(partly: Compiled, tmp_path: Path) -> None:
    assert partly.manifest is not None
    recommendation, trials = sample()
    told = recommendation.model_copy(
        update={
            "compiled": summary(partly.manifest, {}),
            "ranking": told_what_is_not_compiled(recommendation.ranking, partly.manifest),
        }
    )
    page = write_report(write_run(tmp_path, told, trials)).read_text()
    assert TEXT in page
    assert "run in ONNX Runtime" in page
    assert "85.7%" in page


def test_nothing_is_said_where_all_is_compiled_or_nothing_is_known(tmp_path: Path) -> None:
    model = saved(tmp_path / "net.onnx", conv_net())
    options = CompileOrder(fallback="onnxruntime", min_compiled=1.0)
    made = compile_apart(model, tmp_path / "artifact", options, tmp_path / "log.txt")
    assert made.manifest is not None, made.failure
    assert not_wholly_compiled(made.manifest) == not_wholly_compiled(None) == ""


def test_a_range_is_cut_into_segments_too(tmp_path: Path) -> None:
    model = saved(tmp_path / "counted.onnx", counted())
    job = Job.model_validate(
        {"shape": {"x": ["1..4", 6, 6, 8]}, "compile": {"fallback": "onnxruntime"}, "load": {"shape": {}}}
    )
    inspect_model(model, job)
    made = compile_apart(model, tmp_path / "artifact", compile_order(job), tmp_path / "log.txt")
    assert made.manifest is not None, made.failure
    assert made.manifest.buckets is not None
    assert "ConvInteger" in not_wholly_compiled(made.manifest)


def test_too_small_a_share_is_why_there_is_no_compiled_candidate(tmp_path: Path) -> None:
    model = saved(tmp_path / "det.onnx", det_net())
    options = CompileOrder(fallback="onnxruntime", min_compiled=0.99999)
    made = compile_apart(model, tmp_path / "artifact", options, tmp_path / "log.txt")
    assert made.manifest is None
    assert "--min-compiled asks for 99.999 %" in str(made.failure)
