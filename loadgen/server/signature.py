"""Ask a server for its model's inputs (Open Inference Protocol, GET /v2/models/model)."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from modeldyno.base.errors import LoadTestError
from modeldyno.base.records.record import TensorSpec
from modeldyno.loadgen.payloads.body import Payload, payload_for
from modeldyno.loadgen.server.endpoint import check_listening, server_root
from modeldyno.runtime.sessions.feeds import Shapes, at_shapes

METADATA_PATH = "/v2/models/model"
TIMEOUT_S = 10.0
MAX_BYTES = 2**20
NUMPY_NAMES = {
    "BOOL": "bool",
    **{f"{kind}{bits}": f"{kind.lower()}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
}


def payload_from_server(url: str, seed: int, shapes: Shapes | None = None) -> Payload:
    """Make a request body for the model behind an endpoint; of `shapes`, or the smallest that it takes.

    Raises:
        LoadTestError: nothing listens there, or the server does not tell its model's inputs.
        ConfigError: no random values can be made for them, or `shapes` do not fit them.
    """
    check_listening(url)
    return payload_for(at_shapes(fetch_signature(url), shapes or {}), seed)


def fetch_signature(url: str) -> tuple[TensorSpec, ...]:
    """Return the inputs of the model behind an endpoint.

    Raises:
        LoadTestError: the server does not tell, or tells something that no random input can be made for.
    """
    address = server_root(url) + METADATA_PATH
    try:
        return parse_signature(_get(address))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadTestError(
            f"cannot learn the model's inputs from {address}: {_reason(error)}",
            field="payload",
            hint="give a request body with `payload`",
        ) from error


def why_not_joined(url: str) -> str | None:
    """Return why the server behind an endpoint joins no requests; None where it does, or does not say."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        batching = json.loads(_get(server_root(url) + METADATA_PATH))["parameters"]["batching"]
        return str(batching["refusal"]) or None
    return None


def parse_signature(text: bytes) -> tuple[TensorSpec, ...]:
    """Read the metadata answer; -1 in a shape is any size, or one within limits that our server tells.

    Raises:
        ValueError, KeyError, TypeError: the answer does not follow the protocol.
    """
    inputs = json.loads(text)["inputs"]
    if not inputs:
        raise ValueError("the model names no inputs, as one behind user code does")
    return tuple(_tensor(entry) for entry in inputs)


def _tensor(entry: Any) -> TensorSpec:
    datatype = entry["datatype"]
    if datatype not in NUMPY_NAMES:
        raise ValueError(f"input {entry['name']!r} has type {datatype}, which random values can't stand for")
    shape = tuple(None if int(size) < 0 else int(size) for size in entry["shape"])
    limits = _limits(entry, len(shape))
    return TensorSpec(name=entry["name"], dtype=NUMPY_NAMES[datatype], shape=shape, limits=limits)


def _limits(entry: dict[str, Any], rank: int) -> tuple[tuple[int, int] | None, ...]:
    """Read the smallest and largest size of each axis; none where a server says something else there."""
    parameters = entry.get("parameters")
    told = parameters.get("limits") if isinstance(parameters, dict) else None
    if not isinstance(told, list) or len(told) != rank or not all(map(_is_limit, told)):
        return ()
    return tuple(None if limit is None else (limit[0], limit[1]) for limit in told)


def _is_limit(value: Any) -> bool:
    if value is None:
        return True
    numbers = isinstance(value, list) and len(value) == 2 and all(type(size) is int for size in value)
    return numbers and 0 < value[0] <= value[1]


def _get(address: str) -> bytes:
    try:
        # No proxy: the load goes straight to the server too.
        with build_opener(ProxyHandler({})).open(address, timeout=TIMEOUT_S) as answer:
            text: bytes = answer.read(MAX_BYTES + 1)
    except HTTPError as error:
        error.close()
        raise
    if len(text) > MAX_BYTES:
        raise ValueError("the answer is longer than 1 MiB")
    return text


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, URLError):
        return str(error.reason)
    if isinstance(error, KeyError):
        return f"the answer has no {error}"
    return str(error)
