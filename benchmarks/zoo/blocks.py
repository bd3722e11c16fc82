"""What the convolutional networks of the zoo are put together from."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Activation = Callable[[], nn.Module]


def relu() -> nn.Module:
    """ReLU in place, as the published networks have it."""
    return nn.ReLU(inplace=True)


def conv_bn(
    ins: int,
    outs: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    groups: int = 1,
    padding: int | tuple[int, int] | None = None,
    activation: Activation | None = relu,
) -> nn.Sequential:
    """Convolution without bias, BatchNorm, activation (None: none); the padding keeps the size by default."""
    if padding is None:
        padding = kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
    layers: list[nn.Module] = [
        nn.Conv2d(ins, outs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outs),
    ]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class Classifier(nn.Module):
    """Global mean over the plane, then 1000 classes: NCHW to [N, 1000]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dense = nn.Linear(channels, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Classify a batch of feature maps."""
        return self.dense(self.pool(x).flatten(1))
