"""The network of the 12-bit task, 12-10-7-5-4-3-2 with tanh, and its probe set."""

from __future__ import annotations

import itertools
from collections import OrderedDict

import torch
from torch import nn

from infoplane import ProbeSet, toy12

WIDTHS = (12, 10, 7, 5, 4, 3)


def build() -> nn.Module:
    """Return the network, untrained: fc1, tanh1, ..., fc5, tanh5, output (two logits)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (fan_in, units) in enumerate(itertools.pairwise(WIDTHS), 1):
        layers[f"fc{number}"] = _linear(fan_in, units)
        layers[f"tanh{number}"] = nn.Tanh()
    layers["output"] = _linear(WIDTHS[-1], 2)
    return nn.Sequential(layers)


def probe() -> ProbeSet:
    """Return all 4096 patterns with their labels: the whole population, nothing is sampled."""
    inputs, labels = toy12()
    return ProbeSet(2 * inputs - 1, labels)


def _linear(fan_in: int, units: int) -> nn.Linear:
    """Return a linear layer initialised as in the published experiments: sd 1/sqrt(fan_in)."""
    layer = nn.Linear(fan_in, units)
    with torch.no_grad():
        nn.init.trunc_normal_(
            layer.weight, std=fan_in**-0.5, a=-2 * fan_in**-0.5, b=2 * fan_in**-0.5
        )
        layer.bias.zero_()
    return layer
