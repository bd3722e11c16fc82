"""VGG (Simonyan and Zisserman 2014): stacks of 3x3 convolutions with biases, and a large classifier."""

from __future__ import annotations

from torch import nn

WIDTHS = (64, 128, 256, 512, 512)
LAYOUTS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg(depth: int) -> nn.Module:
    """VGG of 11, 13, 16 or 19 layers: [N, 3, 224, 224] to [N, 1000]."""
    layers: list[nn.Module] = []
    ins = 3
    for count, width in zip(LAYOUTS[depth], WIDTHS, strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(ins, width, 3, padding=1), nn.ReLU(inplace=True)]
            ins = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True)]
    layers += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers)
