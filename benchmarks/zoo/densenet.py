"""DenseNet (Huang et al. 2016): each layer reads all the layers before it in its block."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.zoo.blocks import Classifier, conv_bn

# Depth: first width, growth per layer, layers per block.
LAYOUTS: dict[int, tuple[int, int, tuple[int, int, int, int]]] = {
    121: (64, 32, (6, 12, 24, 16)),
    161: (96, 48, (6, 12, 36, 24)),
    169: (64, 32, (6, 12, 32, 32)),
    201: (64, 32, (6, 12, 48, 32)),
}


def _norm(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


class DenseLayer(nn.Module):
    """BatchNorm, ReLU, 1x1 to four growths, BatchNorm, ReLU, 3x3 to one growth, beside the input."""

    def __init__(self, ins: int, growth: int) -> None:
        super().__init__()
        # Not in place: the block reads `x` again behind this layer.
        self.body = nn.Sequential(
            nn.BatchNorm2d(ins),
            nn.ReLU(),
            conv_bn(ins, 4 * growth, 1),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the input with `growth` more channels."""
        return torch.cat([x, self.body(x)], 1)


def densenet(depth: int) -> nn.Module:
    """DenseNet of 121, 161, 169 or 201 layers: [N, 3, H, W] to [N, 1000]."""
    channels, growth, counts = LAYOUTS[depth]
    layers: list[nn.Module] = [conv_bn(3, channels, 7, stride=2), nn.MaxPool2d(3, 2, 1)]
    for block, count in enumerate(counts):
        for _ in range(count):
            layers.append(DenseLayer(channels, growth))
            channels += growth
        layers += _norm(channels)
        if block < len(counts) - 1:
            layers += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*layers, Classifier(channels))
