"""Modules for networks that are noisy themselves. Importing this module imports torch."""

from __future__ import annotations

import math

import torch
from torch import nn

from infoplane.errors import InputError


class GaussianNoise(nn.Module):
    """Adds Gaussian noise to its input: T = S + N(0, sigma^2), for every unit on its own.

    The noise is on in training. In evaluation mode it is on with ``always``, and in a recording
    that keeps what is random in training (``record --keep-dropout``). A layer of this class
    declares its noise when it is recorded, so that I(X;T) can be that of the network.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise, per unit; above 0.
    always : bool, default False
        Add the noise in evaluation mode too.

    Raises
    ------
    InputError
        If ``sigma`` is no number above 0.

    References
    ----------
    Goldfeld et al.: "Estimating information flow in deep neural networks", ICML 2019.

    Examples
    --------
    >>> noise = GaussianNoise(0.5).eval()
    >>> noise(torch.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, sigma: float, *, always: bool = False) -> None:
        super().__init__()
        self.sigma = noise_size(sigma, "GaussianNoise")
        self.always = always

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values with noise, or as they are where it is off."""
        if not (self.training or self.always):
            return values
        return values + self.sigma * torch.randn_like(values)

    def extra_repr(self) -> str:
        """Return what stands between the brackets of its text."""
        return f"sigma={self.sigma:g}" + (", always=True" if self.always else "")


def noise_size(sigma: object, where: str) -> float:
    """Return a standard deviation as float.

    Raises
    ------
    InputError
        If it is no finite number above 0; the message begins with ``where``.
    """
    number = isinstance(sigma, (int, float)) and not isinstance(sigma, bool)
    if not number or not 0 < float(sigma) < math.inf:  # type: ignore[arg-type]  # a number here
        raise InputError(f"{where}: expected a standard deviation above 0, got {sigma!r:.80}")
    return float(sigma)  # type: ignore[arg-type]  # a number here
