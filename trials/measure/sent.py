"""What the candidates are sent: samples of the user's, or random tensors of the shapes asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeldyno.base.records.record import TensorSpec
from modeldyno.loadgen.payloads.body import payload_for
from modeldyno.loadgen.payloads.files import Kind, Mix, read_mix, single
from modeldyno.loadgen.spec.arrivals import trace_rate
from modeldyno.loadgen.spec.traces import read_trace
from modeldyno.trials.measure.orders import BodyOrder


@dataclass(frozen=True)
class Sent:
    """Request bodies, and the arrival times of a trace."""

    mix: Mix
    trace_s: tuple[float, ...] = ()

    @property
    def trace_rps(self) -> float:
        """The trace's own rate; 1 without a trace."""
        return trace_rate(self.trace_s) if self.trace_s else 1.0

    @property
    def digest(self) -> str:
        """BLAKE2b of it all: what was measured with other bodies or times does not compare."""
        state = hashlib.blake2b(np.asarray(self.trace_s, np.float64).tobytes(), digest_size=16)
        for kind in self.mix.kinds:
            state.update(f"{kind.name} {kind.weight} {len(kind.bodies)}".encode())
            for body in kind.bodies:
                state.update(f"{body.content_type} {len(body.body)}".encode() + body.body)
        return state.hexdigest()


def sent(order: BodyOrder, requests: Sequence[tuple[TensorSpec, ...]]) -> Sent:
    """Read or make what was ordered; `requests` are the inputs of each shape that is sent.

    Raises:
        ConfigError: a file can't be read, is no sample or no trace, or there is too much.
    """
    trace_s = read_trace(order.trace) if order.trace else ()
    if order.files:
        return Sent(read_mix(_mix_text(order.files), order.content_type, rows=order.rows), trace_s)
    payloads = [payload_for(inputs, order.seed) for inputs in requests]
    if len(payloads) == 1:
        return Sent(single(payloads[0]), trace_s)
    kinds = (Kind(_name(inputs), 1.0, (payload,)) for inputs, payload in zip(requests, payloads, strict=True))
    return Sent(Mix(tuple(kinds)), trace_s)


def _mix_text(files: Mapping[Path, float]) -> str:
    if len(files) == 1:
        return str(next(iter(files)))
    return ",".join(f"{path}={weight!r}" for path, weight in files.items())


def _name(inputs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {'x'.join(map(str, spec.shape))}" for spec in inputs)
