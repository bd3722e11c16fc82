"""Runs node tests of the `onnx` package one after the other; its own process may die on any of them.

Arguments: a file of test names, and a JSON-lines file to append to: {"test", "phase"} before each step, then
one line with what came out. Who started it sees from the last line where it died.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from modeldyno.base.errors import CompileError, DynoError
from modeldyno.base.process.procs import end_with_parent

REASON_LIMIT = 300


def main(names: Path, results: Path) -> None:
    """Run the tests named in `names`, in that order."""
    end_with_parent()
    warnings.simplefilter("ignore")
    cases = {case.name: case for case in load_cases()}
    with results.open("a") as stream:
        for name in names.read_text().split():
            case = cases[name]
            passes = _step(stream, name, "onnxruntime", lambda case=case: _onnxruntime(case))
            outcome = _step(
                stream, name, "native", lambda case=case: _native(case), passes=not passes["stage"]
            )
            known = {"passes": not passes["stage"], "native": outcome}
            rest = (
                _step(stream, name, "fallback", lambda case=case: _native(case, "onnxruntime"), **known)
                if outcome["stage"] and not passes["stage"]
                else {"stage": ""}
            )
            fallback = {"fallback_stage": rest["stage"], "fallback_reason": rest.get("reason", "")}
            share = {"compiled_share": rest["compiled_share"]} if "compiled_share" in rest else {}
            _say(stream, {"test": name, "onnxruntime": not passes["stage"], **outcome, **fallback, **share})


def load_cases() -> list[Any]:
    """Give the node tests that the `onnx` package generates."""
    from onnx.backend.test.case.node import collect_testcases

    with np.errstate(all="ignore"):
        return list(collect_testcases(None))


def _step(stream: Any, name: str, phase: str, work: Any, **known: Any) -> dict[str, Any]:
    """Do one step; `stage` of what comes back is empty where it went well."""
    _say(stream, {"test": name, "phase": phase, **known})
    try:
        with np.errstate(all="ignore"):
            return {"stage": "", "reason": "", **(work() or {})}
    except CompileError as error:
        return _failure(error.stage, error)
    except AssertionError as error:
        return _failure("compare", error)
    except DynoError as error:
        return _failure("read", error)
    except Exception as error:  # whatever goes wrong is this test's outcome
        return _failure("other", error)


def _failure(stage: str, error: BaseException) -> dict[str, str]:
    text = " ".join(str(error).split()) or type(error).__name__
    return {"stage": stage, "reason": f"{type(error).__name__}: {text}"[:REASON_LIMIT]}


def _say(stream: Any, record: dict[str, Any]) -> None:
    stream.write(json.dumps(record) + "\n")
    stream.flush()


def _native(case: Any, fallback: str | None = None) -> dict[str, Any]:
    from modeldyno.compiler.onnx_backend import ModeldynoBackend

    prepared = ModeldynoBackend.prepare(case.model, fallback=fallback)
    for inputs, expected in case.data_sets:
        _compare(case, expected, prepared.run(inputs))
    share = prepared.coverage.flops_share if prepared.coverage else None
    return {"specialised": list(prepared.specialised), "compiled_share": share}


def _onnxruntime(case: Any) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    model = case.model.SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    for inputs, expected in case.data_sets:
        _compare(case, expected, session.run(None, dict(zip(names, inputs, strict=False))))


def _compare(case: Any, expected: Any, found: Any) -> None:
    from onnx.backend.test.runner import Runner

    Runner.assert_similar_outputs(expected, list(found), case.rtol, case.atol)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
