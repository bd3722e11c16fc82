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

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from modeldyno.base.errors import ModelError, RequestError
from modeldyno.base.rowflow.records import UNPROVED, Verdict
from modeldyno.serving.models import user_defaults
from modeldyno.serving.models.base import Feeds, Signature
from modeldyno.serving.models.files import find_script
from modeldyno.serving.models.script import TRANSFORM, arguments, described, functions_of, import_script
from modeldyno.serving.wire.answer import JSON, Answer, Headers, header, media_type
from modeldyno.serving.wire.bounds import check_csv, check_json, depth
from modeldyno.serving.wire.npy import shown
from modeldyno.serving.wire.strict_json import check_constants

_DEEP = 300  # Python's own reader gives up near 1000, of which the script has used some
_TEXT_TYPES = (JSON, user_defaults.CSV)
_SENT, _DATA = "sent", "data"


@dataclass(frozen=True)
class Context:
    """What a function with one argument more is told; the names are those of the toolkit."""

    system_properties: dict[str, Any]
    manifest: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sent:
    """One request as it came."""

    body: bytes
    content_type: str
    accept: str


@dataclass(frozen=True)
class CodeCall:
    """One request that the user's code has read."""

    feeds: Feeds
    write: Callable[[Feeds], Answer]
    timeout_s: float | None = None

    def answer(self, outputs: Feeds) -> Answer:
        """Have the user's code write the answer."""
        return self.write(outputs)


class UserCode:
    """The functions of one script, and the model that they made."""

    signature = Signature(
        "user code", "python_inference_script", why_alone="user code sees one request at a time"
    )

    def __init__(self, module: ModuleType, folder: Path, threads: int) -> None:
        self._context = Context({"model_dir": str(folder), "gpu_id": None})
        self._functions = functions_of(module)
        make = getattr(module, "model_fn", None)
        if make is None:
            self._model: Any = user_defaults.model_fn(folder, threads)
        else:
            with_model = described(folder, "model_fn", lambda: self._call(make, str(folder)))
            self._model = with_model
        _limit_torch(threads)

    def read(self, headers: Headers, body: bytes, max_bytes: int) -> CodeCall:  # noqa: ARG002
        """Have input_fn read a request; transform_fn gets it as it was sent."""
        content_type = header(headers, b"content-type") or JSON
        accept = header(headers, b"accept")
        sent = _Sent(body, content_type, JSON if accept in ("", "*/*") else accept)
        with _told_apart(sent):
            data: Any = _as_sent(body, content_type)
            if TRANSFORM not in self._functions:
                data = self._call(self._functions["input_fn"], data, content_type)
        return CodeCall({_SENT: sent, _DATA: data}, self._write)

    def run(self, feeds: Feeds) -> Feeds:
        """Run predict_fn, or transform_fn, on what `read` gave.

        Raises:
            RequestError: these are tensors of another protocol, or the user's code refuses them.
        """
        sent = feeds.get(_SENT)
        if not isinstance(sent, _Sent):
            raise RequestError("user code is served here, which has no tensors: POST /invocations")
        transform = self._functions.get(TRANSFORM)
        with _told_apart(sent):
            if transform is None:
                found = self._call(self._functions["predict_fn"], feeds[_DATA], self._model)
            else:
                found = self._call(transform, self._model, feeds[_DATA], sent.content_type, sent.accept)
        return {_SENT: sent, _DATA: found}

    def warm_up(self) -> int:
        """Only its callers know what user code takes."""
        return 0

    def close(self) -> None:
        """Nothing: the toolkit has no function for it."""

    def _write(self, outputs: Feeds) -> Answer:
        sent, found = outputs[_SENT], outputs[_DATA]
        if TRANSFORM not in self._functions:
            with _told_apart(sent):
                found = self._call(self._functions["output_fn"], found, sent.accept)
        value, kind = found if isinstance(found, tuple) else (found, _first_type(sent.accept))
        if not isinstance(value, (bytes, bytearray, str)):
            raise TypeError(f"output_fn gave {type(value).__name__}: expected bytes or text")
        if not isinstance(kind, str) or not kind.isprintable():
            raise TypeError(f"output_fn gave the content type {shown(kind)}: expected text of one line")
        text = value.encode() if isinstance(value, str) else bytes(value)
        if media_type(kind) == JSON or media_type(kind).endswith("+json"):
            check_constants(text)
        return Answer(200, text, kind)

    def _call(self, function: Callable[..., Any], *given: Any) -> Any:
        if arguments(function) == len(given) + 1:
            return function(*given, self._context)
        return function(*given)


@dataclass(frozen=True)
class CodeSource:
    """A folder with a script, which is imported once; each worker thread makes a model of its own."""

    folder: Path
    threads: int

    def verdict(self) -> Verdict:
        """Nothing is proved of code."""
        return UNPROVED

    def loader(self) -> Callable[[], UserCode]:
        """Import the script, and return what makes a model.

        Raises:
            ModelError: the script fails, or lacks what is needed; with the traceback, now or when called.
        """
        script = find_script(self.folder)
        if script is None:
            raise ModelError(f"{self.folder} has no inference.py and no code/inference.py")
        # Read when torch and its like are first imported.
        os.environ.setdefault("OMP_NUM_THREADS", str(self.threads))
        module = described(self.folder, script.name, lambda: import_script(script))
        return partial(UserCode, module, self.folder, self.threads)


@contextmanager
def _told_apart(sent: _Sent) -> Iterator[None]:
    """Tell what the client did wrong from what the user's code did."""
    try:
        yield
    except SystemExit as error:  # it would end the server, with the requests of all others
        raise RuntimeError(f"the user code called sys.exit({error.code})") from error
    except RecursionError as error:
        raise _too_deep(sent.body, sent.content_type) or error from error
    except Exception as error:
        raise _with_status(error) from error


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


def _limit_torch(threads: int) -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
