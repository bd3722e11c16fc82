"""ResNet (He et al. 2015) with the stride on the 3x3 convolution, the variant known as v1.5."""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.zoo.blocks import Classifier, conv_bn

WIDTHS = (64, 128, 256, 512)
# Depth: blocks per stage, and whether a block is the bottleneck of three convolutions.
LAYOUTS: dict[int, tuple[tuple[int, int, int, int], bool]] = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class Residual(nn.Module):
    """One residual block: two 3x3 convolutions, or the bottleneck 1x1, 3x3, 1x1 with four times the width."""

    def __init__(self, ins: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outs = width * 4 if bottleneck else width
        if bottleneck:
            self.body = nn.Sequential(
                conv_bn(ins, width, 1),
                conv_bn(width, width, 3, stride=stride),
                conv_bn(width, outs, 1, activation=None),
            )
        else:
            self.body = nn.Sequential(
                conv_bn(ins, width, 3, stride=stride), conv_bn(width, outs, 3, activation=None)
            )
        same = stride == 1 and ins == outs
        self.shortcut = nn.Identity() if same else conv_bn(ins, outs, 1, stride=stride, activation=None)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Add the body's answer to the input."""
        return self.relu(self.body(x) + self.shortcut(x))


def stem() -> nn.Sequential:
    """The 7x7 convolution and the pooling that every depth begins with: to 64 channels at a quarter size."""
    return nn.Sequential(conv_bn(3, 64, 7, stride=2), nn.MaxPool2d(3, 2, 1))


def stages(depth: int) -> tuple[list[nn.Sequential], list[int]]:
    """Four stages of residual blocks, and the channels that each gives."""
    counts, bottleneck = LAYOUTS[depth]
    made, channels, ins = [], [], 64
    for index, (count, width) in enumerate(zip(counts, WIDTHS, strict=True)):
        blocks = []
        for place in range(count):
            stride = 2 if index and not place else 1
            blocks.append(Residual(ins, width, stride, bottleneck))
            ins = width * 4 if bottleneck else width
        made.append(nn.Sequential(*blocks))
        channels.append(ins)
    return made, channels


def resnet(depth: int) -> nn.Module:
    """ResNet of 18, 34, 50, 101 or 152 layers: [N, 3, H, W] to [N, 1000]."""
    made, channels = stages(depth)
    return nn.Sequential(stem(), *made, Classifier(channels[-1]))
