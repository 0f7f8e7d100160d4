"""Information-plane analysis of neural networks.

How much does each layer keep of the input, how much does it tell about the label, how do both move
during training, and can the number be trusted? All information is in bits.

Public names load on first use, so that importing the package stays quick.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULES = {
    "BottleneckCurve": "infoplane.numerics.bottleneck",
    "NoisyInformation": "infoplane.numerics.noisy",
    "RenyiInformation": "infoplane.numerics.renyi",
    "GradientAccumulator": "infoplane.numerics.gradients",
    "GradientStatistics": "infoplane.numerics.gradients",
    "gradient_transition": "infoplane.numerics.gradients",
    "adjacency_spectral_entropy": "infoplane.numerics.spectral_variants",
    "matrix_entry_entropy": "infoplane.numerics.spectral_variants",
    "coordinate_binned_entropy": "infoplane.numerics.spectral_variants",
    "subset_mutual_information": "infoplane.numerics.spectral_variants",
    "Estimate": "infoplane.records",
    "LayerInfo": "infoplane.records",
    "ProbeSet": "infoplane.records",
    "DataError": "infoplane.errors",
    "ExitCode": "infoplane.errors",
    "EstimationError": "infoplane.errors",
    "InfoplaneError": "infoplane.errors",
    "InfoplaneWarning": "infoplane.errors",
    "InputError": "infoplane.errors",
    "NotFoundError": "infoplane.errors",
    "RunFileError": "infoplane.errors",
    "toy12": "infoplane.tasks",
    "BinnedInformation": "infoplane.numerics.binning",
    "binned_information": "infoplane.numerics.binning",
    "KdeInformation": "infoplane.numerics.kde",
    "kde_information": "infoplane.numerics.kde",
    "noisy_network_information": "infoplane.numerics.noisy",
    "renyi_information": "infoplane.numerics.renyi",
    "information_bottleneck_curve": "infoplane.numerics.bottleneck",
    "DiffusionEntropy": "infoplane.numerics.diffusion",
    "diffusion_spectral_entropy": "infoplane.numerics.diffusion",
    "DiffusionInformation": "infoplane.numerics.diffusion_information",
    "diffusion_spectral_mutual_information": "infoplane.numerics.diffusion_information",
    "intrinsic_dimension": "infoplane.numerics.neighbors",
    "kozachenko_leonenko_entropy": "infoplane.numerics.neighbors",
    "ksg_mutual_information": "infoplane.numerics.neighbors",
    "mixed_mutual_information": "infoplane.numerics.neighbors",
    "shuffle_difference": "infoplane.numerics.neighbors",
    "CompressedInformation": "infoplane.numerics.compression",
    "compressed_information": "infoplane.numerics.compression",
    "Recorder": "infoplane.recording.recorder",
    "Run": "infoplane.store.run",
    "Results": "infoplane.results",
    "load": "infoplane.results",
    "find_phases": "infoplane.phases",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'infoplane' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
