"""Triton's requests about models: the index of its repository, statistics, load and unload.

The models are those that the server was started with: each is loaded already, and none is unloaded.
"""

from __future__ import annotations

import re
from typing import Any

from modeldyno.base.errors import RequestError
from modeldyno.serving.protocols.base import Action, Control, ModelState, OfServer
from modeldyno.serving.protocols.openapi import get, post
from modeldyno.serving.wire.tensor_json import read_json

MODELS = "/v2/models/"
VERSION = "1"
_REPOSITORY = "/v2/repository/models/"
_NS_PER_S = 1e9
_NO_REGIONS = "shared memory is not supported: send the data in the body"
_STARTED_WITH = "this server keeps the models that it was started with"
_NOT_HERE = (
    (rf"{MODELS}[^/]+(/versions/[^/]+)?/generate(_stream)?", "text is not generated here: POST …/infer"),
    (rf"({MODELS}[^/]+(/versions/[^/]+)?|/v2)/trace/setting", "requests are not traced: see /metrics"),
    (rf"{_REPOSITORY}[^/]+/unload", f"nothing is unloaded: {_STARTED_WITH}"),
    (r"/v2/logging", "logging has no settings"),
    (r"/v2/(system|cuda)sharedmemory/.*", _NO_REGIONS),
)


def server_controls() -> dict[str, OfServer]:
    """Give what is answered of all models; nothing is shared, so that nothing is there to unregister."""
    empty: dict[str, OfServer] = {}
    for kind in ("system", "cuda"):
        empty[f"/v2/{kind}sharedmemory/status"] = Control("GET", lambda _states, _body: [])
        empty[f"/v2/{kind}sharedmemory/unregister"] = Control("POST", lambda _states, _body: {})
    return {
        "/v2/repository/index": Control("POST", _index),
        f"{MODELS}stats": Control("GET", _statistics),
        **empty,
    }


def model_controls(name: str) -> dict[str, Action]:
    """Give what is answered of one model."""
    return {
        f"{MODELS}{name}/stats": Control("GET", _statistics),
        f"{MODELS}{name}/versions/{VERSION}/stats": Control("GET", _statistics),
        f"{_REPOSITORY}{name}/load": Control("POST", _load),
    }


def describe_server_controls() -> dict[str, dict[str, Any]]:
    """Describe `server_controls`."""
    ready = {"type": "object", "properties": {"ready": {"type": ["boolean", "null"]}}}
    found = {
        "/v2/repository/index": post("The models, each with its state", ready),
        f"{MODELS}stats": get("What the requests of each model took", "413"),
    }
    for kind in ("system", "cuda"):
        found[f"/v2/{kind}sharedmemory/status"] = get("No regions: shared memory is not supported", "413")
        found[f"/v2/{kind}sharedmemory/unregister"] = post("Nothing: there are no regions")
    return found


def describe_model_controls(name: str) -> dict[str, dict[str, Any]]:
    """Describe `model_controls`; paths with the version are told in words."""
    none = {"type": ["object", "null"], "maxProperties": 0}
    parameters = {"type": "object", "properties": {"parameters": none}}
    return {
        f"{MODELS}{name}/stats": get("What the requests of the model took", "413"),
        f"{_REPOSITORY}{name}/load": post("Nothing: it is loaded", parameters),
    }


def why_unknown(path: str, names: list[str]) -> str | None:
    """Say what is not here of what Triton has, or which model or version a path names in vain."""
    for start in (MODELS, _REPOSITORY):
        name, _, rest = path.removeprefix(start).partition("/") if path.startswith(start) else ("", "", "")
        if name and name not in names:
            more = f" ({_STARTED_WITH})" if start == _REPOSITORY else ""
            return f"no such model {name!r}; there is {', '.join(map(repr, names))}{more}"
        version = re.match(r"versions/([^/]+)", rest)
        if version and version[1] != VERSION:
            return f"model {name!r} has no version {version[1]!r}, only {VERSION!r}"
    return next((words for pattern, words in _NOT_HERE if re.fullmatch(pattern, path)), None)


def _index(states: tuple[ModelState, ...], body: bytes) -> list[dict[str, str]]:
    only_ready = _document(body).get("ready")
    if not isinstance(only_ready, bool | None):
        raise RequestError("'ready': expected true or false")
    return [
        {
            "name": state.name,
            "version": VERSION,
            "state": "UNAVAILABLE" if state.why_not else "READY",
            "reason": state.why_not or "",
        }
        for state in states
        if not (only_ready and state.why_not)
    ]


def _load(states: tuple[ModelState, ...], body: bytes) -> dict[str, Any]:
    (state,) = states
    parameters = _document(body).get("parameters")
    if not isinstance(parameters, dict | None):
        raise RequestError("'parameters': expected an object")
    if parameters:
        raise RequestError(f"{state.name!r} can't be loaded with other parameters: {_STARTED_WITH}")
    if state.why_not:
        raise RequestError(f"{state.name!r} is not ready: {state.why_not}", status=503)
    return {}


def _document(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    found = read_json(body, "the request", lambda document: document)
    if not isinstance(found, dict):
        raise RequestError(f"expected a JSON object, found {type(found).__name__}")
    return found


def _statistics(states: tuple[ModelState, ...], _body: bytes) -> dict[str, Any]:
    return {"model_stats": [_of_model(state) for state in states]}


def _of_model(state: ModelState) -> dict[str, Any]:
    """Word a model's counts as Triton does; what is not measured apart (writing answers, a cache) is 0."""
    counts = state.counts

    def took(count: float, seconds: float) -> dict[str, int]:
        return {"count": int(count), "ns": round(seconds * _NS_PER_S)}

    return {
        "name": state.name,
        "version": VERSION,
        "last_inference": int(counts.last_s * 1000),
        "inference_count": int(counts.answered),
        "execution_count": int(counts.inferences),
        "inference_stats": {
            "success": took(counts.answered, counts.answered_s),
            "fail": took(counts.failed, counts.failed_s),
            "queue": took(counts.begun, counts.queued_s),
            "compute_input": took(counts.begun, counts.read_s),
            "compute_infer": took(counts.inferences, counts.inference_s),
            "compute_output": took(0, 0),
            "cache_hit": took(0, 0),
            "cache_miss": took(0, 0),
        },
        "batch_stats": [],
    }
