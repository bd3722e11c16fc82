"""Inception v3 (Szegedy et al. 2015) for images of 299 pixels, without the auxiliary classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.zoo.blocks import Classifier, conv_bn


class Branches(nn.Module):
    """Runs several branches on one input and joins their channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Join the branches' answers along the channels."""
        return torch.cat([branch(x) for branch in self.branches], 1)


def _pooled(ins: int, outs: int) -> nn.Module:
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), conv_bn(ins, outs, 1))


def _mixed_35(ins: int, pool: int) -> nn.Module:
    return Branches(
        conv_bn(ins, 64, 1),
        nn.Sequential(conv_bn(ins, 48, 1), conv_bn(48, 64, 5)),
        nn.Sequential(conv_bn(ins, 64, 1), conv_bn(64, 96, 3), conv_bn(96, 96, 3)),
        _pooled(ins, pool),
    )


def _to_17(ins: int) -> nn.Module:
    return Branches(
        conv_bn(ins, 384, 3, stride=2, padding=0),
        nn.Sequential(conv_bn(ins, 64, 1), conv_bn(64, 96, 3), conv_bn(96, 96, 3, stride=2, padding=0)),
        nn.MaxPool2d(3, 2),
    )


def _mixed_17(mid: int) -> nn.Module:
    return Branches(
        conv_bn(768, 192, 1),
        nn.Sequential(conv_bn(768, mid, 1), conv_bn(mid, mid, (1, 7)), conv_bn(mid, 192, (7, 1))),
        nn.Sequential(
            conv_bn(768, mid, 1),
            conv_bn(mid, mid, (7, 1)),
            conv_bn(mid, mid, (1, 7)),
            conv_bn(mid, mid, (7, 1)),
            conv_bn(mid, 192, (1, 7)),
        ),
        _pooled(768, 192),
    )


def _to_8() -> nn.Module:
    return Branches(
        nn.Sequential(conv_bn(768, 192, 1), conv_bn(192, 320, 3, stride=2, padding=0)),
        nn.Sequential(
            conv_bn(768, 192, 1),
            conv_bn(192, 192, (1, 7)),
            conv_bn(192, 192, (7, 1)),
            conv_bn(192, 192, 3, stride=2, padding=0),
        ),
        nn.MaxPool2d(3, 2),
    )


def _split_8() -> nn.Module:
    return Branches(conv_bn(384, 384, (1, 3)), conv_bn(384, 384, (3, 1)))


def _mixed_8(ins: int) -> nn.Module:
    return Branches(
        conv_bn(ins, 320, 1),
        nn.Sequential(conv_bn(ins, 384, 1), _split_8()),
        nn.Sequential(conv_bn(ins, 448, 1), conv_bn(448, 384, 3), _split_8()),
        _pooled(ins, 192),
    )


def inception_v3() -> nn.Module:
    """Inception v3: [N, 3, 299, 299] to [N, 1000]."""
    stem = [
        conv_bn(3, 32, 3, stride=2, padding=0),
        conv_bn(32, 32, 3, padding=0),
        conv_bn(32, 64, 3),
        nn.MaxPool2d(3, 2),
        conv_bn(64, 80, 1),
        conv_bn(80, 192, 3, padding=0),
        nn.MaxPool2d(3, 2),
    ]
    body = [_mixed_35(192, 32), _mixed_35(256, 64), _mixed_35(288, 64), _to_17(288)]
    body += [_mixed_17(mid) for mid in (128, 160, 160, 192)]
    body += [_to_8(), _mixed_8(1280), _mixed_8(2048)]
    return nn.Sequential(*stem, *body, Classifier(2048))
