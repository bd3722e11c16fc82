"""Random weights with the statistics of trained ones, so that values neither explode nor die out.

Filters are He-normal. BatchNorm gets a scale and a shift away from 1 and 0, and as running statistics those
of one batch, then shifted a little: as in a trained network they fit the activations, but not exactly.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from benchmarks.zoo.vocabulary import TEXT_TOKENS, VOCABULARY

_SMALLEST_VARIANCE = 1e-3


def randomise(model: nn.Module, example: tuple[Tensor, ...], seed: int = 0) -> nn.Module:
    """Fill the parameters of `model` from `seed`, fit BatchNorms to `example`; returns it in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            _fill(module, generator)
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        if norms:
            _fit(model, norms, example, generator)
    return model.eval()


def _fill(module: nn.Module, generator: torch.Generator) -> None:
    if isinstance(module, nn.Conv2d):
        module.weight.normal_(0.0, math.sqrt(2.0 / module.weight[0].numel()), generator=generator)
        _fill_bias(module.bias, generator)
    elif isinstance(module, nn.Linear):
        # He for a layer behind a ReLU is 2 / fan_in; classifiers and attention stay at 1 / fan_in.
        module.weight.normal_(0.0, math.sqrt(1.0 / module.in_features), generator=generator)
        _fill_bias(module.bias, generator)
    elif isinstance(module, nn.Embedding):
        module.weight.normal_(0.0, 0.5, generator=generator)
    elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
        module.weight.uniform_(0.5, 1.2, generator=generator)
        module.bias.normal_(0.0, 0.2, generator=generator)


def _fill_bias(bias: Tensor | None, generator: torch.Generator) -> None:
    if bias is not None:
        bias.normal_(0.0, 0.1, generator=generator)


def _fit(
    model: nn.Module, norms: list[nn.BatchNorm2d], example: tuple[Tensor, ...], generator: torch.Generator
) -> None:
    for norm in norms:
        norm.momentum = 1.0  # the running statistics become those of this one batch
    model.train()
    model(*example)
    for norm in norms:
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None:
            continue
        variance.clamp_(min=_SMALLEST_VARIANCE)
        mean.add_(torch.randn(mean.shape, generator=generator) * variance.sqrt() * 0.1)
        variance.mul_(torch.empty_like(variance).uniform_(0.8, 1.25, generator=generator))
        norm.momentum = 0.1


def example_inputs(pixels: int | None, batch: int) -> tuple[Tensor, ...]:
    """Example of a model's arguments: a random image, or (pixels None) token ids and a mask of ones."""
    generator = torch.Generator().manual_seed(1)
    if pixels is not None:
        return (torch.randn(batch, 3, pixels, pixels, generator=generator),)
    ids = torch.randint(0, VOCABULARY, (batch, TEXT_TOKENS), generator=generator)
    return ids, torch.ones_like(ids)
