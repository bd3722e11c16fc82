"""User code in the shape of SageMaker's inference toolkit: a folder with an `inference.py`, served as it is.

    model_fn(model_dir)                              the model, made once for each worker
    input_fn(request_body, content_type)             text for JSON and CSV, else bytes
    predict_fn(data, model)
    output_fn(prediction, accept)                    the body, or (body, content type)
    transform_fn(model, body, content_type, accept)  in place of the last three

Each may take one argument more, the context. Defaults are in `user_defaults`. The folder's code is run with
all the rights of this process: serve your own.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

from modeldyno.base.errors import DynoError, ModelError, RequestError
from modeldyno.serving.models import user_defaults
from modeldyno.serving.models.base import find_script
from modeldyno.serving.protocols.invocations import media_type
from modeldyno.serving.wire.answer import JSON, Answer, Headers, header
from modeldyno.serving.wire.bounds import check_csv, check_json, depth
from modeldyno.serving.wire.npy import shown
from modeldyno.serving.wire.strict_json import check_constants

_MODULE = "inference"
_DEEP = 300  # Python's own reader gives up near 1000, of which the script has used some
_STEPS = ("input_fn", "predict_fn", "output_fn")
_TEXT_TYPES = (JSON, user_defaults.CSV)


@dataclass(frozen=True)
class Context:
    """What a function with one argument more is told; the names are those of the toolkit."""

    system_properties: dict[str, Any]
    manifest: dict[str, Any] = field(default_factory=dict)


class UserCode:
    """The functions of one script, and the model that they made. A backend, but for `run`."""

    name = "user code"
    platform = "python_inference_script"
    inputs = ()
    outputs = ()
    preferred_batches: tuple[int, ...] = ()

    def __init__(self, module: ModuleType, folder: Path, threads: int) -> None:
        self._context = Context({"model_dir": str(folder), "gpu_id": None})
        self._functions = _functions(module)
        make = getattr(module, "model_fn", None)
        if make is None:
            self._model: Any = user_defaults.model_fn(folder, threads)
        else:
            with_model = _described(folder, "model_fn", lambda: self._call(make, str(folder)))
            self._model = with_model
        _limit_torch(threads)

    def run(self, _feeds: dict[str, Any]) -> dict[str, Any]:
        """Refuse: there are no tensors to run on.

        Raises:
            RequestError: always.
        """
        raise RequestError("user code is served here, which has no tensors: POST /invocations")

    def warm_up(self) -> int:
        """Only its callers know what user code takes."""
        return 0

    def invoke(self, headers: Headers, body: bytes, observe: Callable[[float], None]) -> Answer:
        """Answer one request; `observe` gets the seconds of predict_fn."""
        content_type = header(headers, b"content-type") or JSON
        accept = header(headers, b"accept")
        accept = JSON if accept in ("", "*/*") else accept
        try:
            answer = self._transform(_as_sent(body, content_type), content_type, accept, observe)
        except SystemExit as error:  # it would end the server, with the requests of all others
            raise RuntimeError(f"the user code called sys.exit({error.code})") from error
        except RecursionError as error:
            raise _too_deep(body, content_type) or error from error
        except Exception as error:
            raise _with_status(error) from error
        value, kind = answer if isinstance(answer, tuple) else (answer, _first_type(accept))
        if not isinstance(value, (bytes, bytearray, str)):
            raise TypeError(f"output_fn gave {type(value).__name__}: expected bytes or text")
        if not isinstance(kind, str) or not kind.isprintable():
            raise TypeError(f"output_fn gave the content type {shown(kind)}: expected text of one line")
        text = value.encode() if isinstance(value, str) else bytes(value)
        if media_type(kind) == JSON or media_type(kind).endswith("+json"):
            check_constants(text)
        return Answer(200, text, kind)

    def _transform(
        self, body: bytes | str, content_type: str, accept: str, observe: Callable[[float], None]
    ) -> Any:
        transform = self._functions.get("transform_fn")
        if transform is not None:
            return _timed(observe, lambda: self._call(transform, self._model, body, content_type, accept))
        read, predict, write = (self._functions[name] for name in _STEPS)
        data = self._call(read, body, content_type)
        prediction = _timed(observe, lambda: self._call(predict, data, self._model))
        return self._call(write, prediction, accept)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if _takes(function) == len(arguments) + 1:
            return function(*arguments, self._context)
        return function(*arguments)


def code_loader(folder: Path, threads: int) -> Callable[[], UserCode]:
    """Import the folder's script; the result makes each worker a model of its own.

    Raises:
        ModelError: the script fails, or lacks what is needed; with the traceback, now or when called.
    """
    script = find_script(folder)
    if script is None:
        raise ModelError(f"{folder} has no inference.py and no code/inference.py")
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch and its like are first imported
    module = _described(folder, script.name, lambda: _import(script))
    return partial(UserCode, module, folder, threads)


def _import(script: Path) -> ModuleType:
    sys.path.insert(0, str(script.parent.resolve()))
    spec = importlib.util.spec_from_file_location(_MODULE, script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{script} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    return module


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    own = {name: getattr(module, name) for name in (*_STEPS, "transform_fn") if hasattr(module, name)}
    expected = {"input_fn": 2, "predict_fn": 2, "output_fn": 2, "transform_fn": 4}
    if "transform_fn" in own and len(own) > 1:
        raise ModelError(
            f"{module.__file__} has transform_fn beside {', '.join(own)}: keep one or the others"
        )
    for name, function in own.items():
        if _takes(function) not in (expected[name], expected[name] + 1):
            raise ModelError(
                f"{module.__file__}: {name} takes {_takes(function)} arguments, expected {expected[name]}, "
                "or one more for the context"
            )
    return {**{name: getattr(user_defaults, name) for name in _STEPS}, **own}


def _takes(function: Callable[..., Any]) -> int:
    return len(inspect.signature(function).parameters)


def _described(folder: Path, what: str, act: Callable[[], Any]) -> Any:
    """Do `act`; what it raises becomes one error, with the part of the traceback that is the user's."""
    try:
        return act()
    except DynoError:
        raise
    except (Exception, SystemExit) as error:
        own = [
            frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename, folder)
        ]
        lines = "".join(traceback.format_list(own))
        raise ModelError(
            f"{folder}: {what} failed: {type(error).__name__}: {error}\n{lines}".rstrip()
        ) from error


def _is_users(filename: str, folder: Path) -> bool:
    return Path(filename).resolve().is_relative_to(folder.resolve())


def _first_type(accept: str) -> str:
    """Return the type of an answer that does not say its own; of a list the first that is no pattern."""
    if "," not in accept and "*" not in accept:
        return accept
    return next((kind for kind in map(media_type, accept.split(",")) if kind and "*" not in kind), JSON)


def _as_sent(body: bytes, content_type: str) -> bytes | str:
    kind = media_type(content_type)
    if kind == JSON or kind.endswith("+json"):
        check_json(body, "the body")
    if kind == user_defaults.CSV:
        check_csv(body, "the body")
    if kind not in _TEXT_TYPES:
        return body
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"the body is no UTF-8 text, which {content_type} is: {error}") from error


def _too_deep(body: bytes, content_type: str) -> RequestError | None:
    """Say that a reader of JSON gave up on lists in lists, if that is what the body has."""
    if media_type(content_type) != JSON or depth(body) < _DEEP:
        return None
    return RequestError("the body's lists or objects are nested too deep to be read")


def _with_status(error: Exception) -> Exception:
    """Keep the HTTP status that an error of the toolkit's kind carries; any other is the server's fault."""
    status = getattr(error, "status_code", None)
    if isinstance(error, RequestError) or type(status) is not int or not 400 <= status < 600:
        return error
    return RequestError(str(getattr(error, "message", error)), status=status)


def _timed(observe: Callable[[float], None], act: Callable[[], Any]) -> Any:
    started_s = perf_counter()
    result = act()
    observe(perf_counter() - started_s)
    return result


def _limit_torch(threads: int) -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
