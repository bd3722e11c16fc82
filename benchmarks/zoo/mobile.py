"""MobileNetV2 (Sandler et al. 2018) and EfficientNet-B0 (Tan and Le 2019): inverted residuals."""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.zoo.blocks import Activation, Classifier, conv_bn

Layout = tuple[int, int, int, int, int]
# Expansion, channels, blocks, stride of the first block, and (EfficientNet) the depthwise kernel.
MOBILENET_V2 = (
    *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3)),
    *((6, 96, 3, 1, 3), (6, 160, 3, 2, 3), (6, 320, 1, 1, 3)),
)
EFFICIENTNET_B0 = (
    *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3)),
    *((6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)),
)


class Squeeze(nn.Module):
    """Squeeze and excitation: a gate per channel from the mean of the plane."""

    def __init__(self, channels: int, middle: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, middle, 1),
            nn.SiLU(),
            nn.Conv2d(middle, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels."""
        return x * self.gate(x)


class Inverted(nn.Module):
    """Expand by 1x1, filter by a depthwise convolution, project by 1x1; residual where the shapes agree."""

    def __init__(self, ins: int, layout: Layout, stride: int, *, squeeze: bool, act: Activation) -> None:
        super().__init__()
        expand, outs, _, _, kernel = layout
        middle = ins * expand
        layers: list[nn.Module] = [conv_bn(ins, middle, 1, activation=act)] if expand > 1 else []
        layers.append(conv_bn(middle, middle, kernel, stride=stride, groups=middle, activation=act))
        if squeeze:
            layers.append(Squeeze(middle, ins // 4))
        layers.append(conv_bn(middle, outs, 1, activation=None))
        self.body = nn.Sequential(*layers)
        self.residual = stride == 1 and ins == outs

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        return x + self.body(x) if self.residual else self.body(x)


def _inverted_net(layouts: tuple[Layout, ...], squeeze: bool, activation: Activation) -> nn.Module:
    layers: list[nn.Module] = [conv_bn(3, 32, 3, stride=2, activation=activation)]
    ins = 32
    for row in layouts:
        _, outs, count, stride, _ = row
        for place in range(count):
            layers.append(Inverted(ins, row, 1 if place else stride, squeeze=squeeze, act=activation))
            ins = outs
    return nn.Sequential(*layers, conv_bn(ins, 1280, 1, activation=activation), Classifier(1280))


def mobilenet_v2() -> nn.Module:
    """MobileNetV2 of width 1: [N, 3, H, W] to [N, 1000]."""
    return _inverted_net(MOBILENET_V2, squeeze=False, activation=nn.ReLU6)


def efficientnet_b0() -> nn.Module:
    """EfficientNet-B0: [N, 3, H, W] to [N, 1000]."""
    return _inverted_net(EFFICIENTNET_B0, squeeze=True, activation=nn.SiLU)
