"""Random torch modules: layers one after the other, some with a way around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

_CHANNELS = (1, 3, 4, 8, 17)
_ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    *(nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardsigmoid, nn.LeakyReLU),
    *(nn.ELU, nn.SELU, nn.CELU, nn.Softplus, nn.Mish, nn.Softsign, nn.LogSigmoid, nn.PReLU),
)


class Around(nn.Module):
    """A layer whose result its input is added to."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any) -> Any:
        """Add the layer's result."""
        return x + self.inner(x)


class Apply(nn.Module):
    """One of torch's functions as a layer."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Any) -> Any:
        """Apply it."""
        return _FUNCTIONS[self.name](x)


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "amax": lambda x: x.amax(-1, keepdim=True) + x,
    "mean": lambda x: x - x.mean(1, keepdim=True),
    "clamp": lambda x: x.clamp(-0.75, 1.5),
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(1),
    "logsumexp": lambda x: x.logsumexp(-1, keepdim=True) - x,
    "maximum": lambda x: torch.maximum(x, 0.5 - x),
    "flip": lambda x: x.flip(-1) * 0.5 + x,
    "cumsum": lambda x: x.cumsum(-1),
    "where": lambda x: torch.where(x > 0.25, x, x * 0.1),
    "cat": lambda x: torch.cat([x, x.neg()], 1)[:, : x.shape[1]],
    "pow": lambda x: x.abs().add(0.25).pow(0.5),
}


def draw_module(seed: int) -> tuple[nn.Module, Any]:
    """Draw a module in its evaluation mode, and one input for it."""
    r = np.random.default_rng(seed)
    torch.manual_seed(seed)
    plane = bool(r.random() < 0.6)
    side, channels = int(r.choice((5, 8, 13, 16))), int(r.choice(_CHANNELS))
    x = torch.randn(int(r.integers(1, 3)), channels, *((side, side) if plane else (side,)))
    layers: list[nn.Module] = []
    shape = x
    for _ in range(int(r.integers(2, 8))):
        layer = (_plane_layer if plane else _row_layer)(r, shape)
        layers.append(layer)
        with torch.no_grad():
            shape = layer.eval()(shape)
    return nn.Sequential(*layers).eval(), x


def _any_layer(r: np.random.Generator) -> nn.Module:
    if r.random() < 0.6:
        return _ACTIVATIONS[int(r.integers(len(_ACTIVATIONS)))]()
    return Apply(str(r.choice(list(_FUNCTIONS))))


def _plane_layer(r: np.random.Generator, x: Any) -> nn.Module:
    """Draw a layer for images of shape [N, C, H, W]."""
    channels, side = int(x.shape[1]), min(x.shape[2:])
    out, taps = int(r.choice(_CHANNELS)), int(r.choice((1, 3)))
    made: list[Callable[[], nn.Module]] = [
        lambda: nn.Conv2d(channels, out, taps, padding=taps // 2, stride=int(r.integers(1, 3))),
        lambda: nn.Conv2d(channels, channels, taps, padding=taps // 2, groups=channels),
        lambda: Around(nn.Conv2d(channels, channels, taps, padding=taps // 2)),
        lambda: nn.BatchNorm2d(channels),
        lambda: nn.GroupNorm(1, channels),
        lambda: nn.ConvTranspose2d(channels, out, 2, stride=2) if side < 12 else nn.Identity(),
        lambda: nn.Upsample(scale_factor=2, mode="bilinear") if side < 12 else nn.Identity(),
    ]
    if side > 2:
        made += [lambda: nn.MaxPool2d(2), lambda: nn.AvgPool2d(3, 1, 1), lambda: nn.AdaptiveAvgPool2d(2)]
    return _any_layer(r) if r.random() < 0.45 else made[int(r.integers(len(made)))]()


def _row_layer(r: np.random.Generator, x: Any) -> nn.Module:
    """Draw a layer for sequences of shape [N, L, D]."""
    length, width = int(x.shape[1]), int(x.shape[2])
    made: list[Callable[[], nn.Module]] = [
        lambda: nn.Linear(width, int(r.choice((3, 8, 17, 32)))),
        lambda: Around(nn.Linear(width, width)),
        lambda: nn.LayerNorm(width),
        lambda: nn.Conv1d(length, int(r.choice(_CHANNELS)), 3, padding=1),
        lambda: nn.TransformerEncoderLayer(width, 1, 16, batch_first=True),
        lambda: nn.RMSNorm(width),
    ]
    return _any_layer(r) if r.random() < 0.4 else made[int(r.integers(len(made)))]()
