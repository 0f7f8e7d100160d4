"""A small convolutional network for the digits of scikit-learn, and its probe set."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from torch import nn

from infoplane import ProbeSet


def build() -> nn.Module:
    """Return the network, untrained: 8 maps of 8x8, 16 maps of 4x4, 32 units, 10 logits."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 3, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(8, 16, 3, stride=2, padding=1),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * 4 * 4, 32),
            relu3=nn.ReLU(),
            output=nn.Linear(32, 10),
        )
    )


def probe() -> ProbeSet:
    """Return all 1,797 images (1, 8, 8), values 0 to 1, with their labels 0 to 9."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return ProbeSet(found.images[:, None].astype(np.float32) / 16, found.target)
