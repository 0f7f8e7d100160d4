"""Two small ReLU networks for 28x28 images of digits."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def mlp() -> nn.Module:
    """Return a multi-layer perceptron 784-128-64-32-10."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(784, 128),
            relu1=nn.ReLU(),
            fc2=nn.Linear(128, 64),
            relu2=nn.ReLU(),
            fc3=nn.Linear(64, 32),
            relu3=nn.ReLU(),
            output=nn.Linear(32, 10),
        )
    )


def cnn() -> nn.Module:
    """Return a convolutional network: 8 and 16 maps, each at half the size before, 32-10."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 5, stride=2, padding=2),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(8, 16, 3, stride=2, padding=1),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * 7 * 7, 32),
            relu3=nn.ReLU(),
            output=nn.Linear(32, 10),
        )
    )
