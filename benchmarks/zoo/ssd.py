"""SSD (Liu et al. 2015) on ResNet-50 for images of 512 pixels: raw scores and boxes, nothing selected."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.zoo.blocks import conv_bn
from benchmarks.zoo.resnet import stages, stem

CLASSES = 21  # the 20 of Pascal VOC and the background
EXTRA_WIDTHS = (512, 512, 256, 256)
ANCHORS = (4, 6, 6, 6, 4, 4)  # boxes per place, scale by scale


class SsdResnet50(nn.Module):
    """Detector over six scales: [N, 3, 512, 512] to [N, boxes, 21 + 4] (class scores, then box offsets)."""

    def __init__(self) -> None:
        super().__init__()
        made, channels = stages(50)
        self.base = nn.Sequential(stem(), *made[:3])
        self.last = made[3]
        extras, widths = [], [channels[2], channels[3]]
        for width in EXTRA_WIDTHS:
            extras.append(
                nn.Sequential(conv_bn(widths[-1], width // 2, 1), conv_bn(width // 2, width, 3, stride=2))
            )
            widths.append(width)
        self.extras = nn.ModuleList(extras)
        self.scores = self._heads(widths, CLASSES)
        self.boxes = self._heads(widths, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return one row per box."""
        maps = [self.base(x)]
        maps.append(self.last(maps[0]))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return torch.cat([self._rows(maps, self.scores, CLASSES), self._rows(maps, self.boxes, 4)], 2)

    @staticmethod
    def _heads(widths: list[int], values: int) -> nn.ModuleList:
        pairs = zip(widths, ANCHORS, strict=True)
        return nn.ModuleList(nn.Conv2d(width, anchors * values, 3, padding=1) for width, anchors in pairs)

    @staticmethod
    def _rows(maps: list[Tensor], heads: nn.ModuleList, values: int) -> Tensor:
        found = [head(x).permute(0, 2, 3, 1) for x, head in zip(maps, heads, strict=True)]
        return torch.cat([x.reshape(x.shape[0], -1, values) for x in found], 1)
