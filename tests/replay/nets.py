"""Compiles that between them use every schedule rule, every family of targets, ranges and fallback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modeldyno.compiler.options import Fallback
from tests.compiler.models import conv_net, counted, det_net, mlp
from tests.compiler.sequence_models import encoder
from tests.emulation.gallery import attention, curves, odd_convolutions, winograd

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Net:
    """A model, and how it is compiled."""

    make: Callable[[], onnx.ModelProto]
    target: str
    shapes: dict[str, Any] = field(default_factory=dict)
    fallback: Fallback | None = None


NETS: dict[str, Net] = {
    "network": Net(conv_net, "x86-64-v3"),
    "network-arm": Net(conv_net, "neoverse-n1"),
    "network-gpu": Net(conv_net, "cuda-sm_80"),
    "odd_convolutions": Net(odd_convolutions, "x86-64-v4"),
    "odd_convolutions-arm": Net(odd_convolutions, "cortex-a72"),
    "winograd": Net(winograd, "znver4"),
    "winograd-haswell": Net(winograd, "haswell"),
    "attention": Net(attention, "sapphirerapids"),
    "attention-v2": Net(attention, "x86-64-v2"),
    "curves": Net(curves, "znver5"),
    "fallback": Net(det_net, "x86-64-v3", fallback="onnxruntime"),
    "range": Net(lambda: mlp("rows"), "x86-64-v3", {"x": ("1..8", 8)}),
    "range-fallback": Net(counted, "x86-64-v4", {"x": ("1..4", 6, 6, 8)}, "onnxruntime"),
    "encoder": Net(
        lambda: encoder(mask=True), "neoverse-v1", {"input_ids": (2, 12), "attention_mask": (2, 12)}
    ),
}
