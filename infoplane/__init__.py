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
    "BottleneckCurve": "infoplane.numerics.discrete.bottleneck",
    "NoisyInformation": "infoplane.numerics.kernels.noisy",
    "RenyiInformation": "infoplane.numerics.kernels.renyi",
    "GradientAccumulator": "infoplane.numerics.gradients",
    "GradientStatistics": "infoplane.numerics.gradients",
    "gradient_transition": "infoplane.numerics.gradients",
    "adjacency_spectral_entropy": "infoplane.numerics.diffusion.variants",
    "matrix_entry_entropy": "infoplane.numerics.diffusion.variants",
    "coordinate_binned_entropy": "infoplane.numerics.diffusion.variants",
    "subset_mutual_information": "infoplane.numerics.diffusion.variants",
    "Estimate": "infoplane.estimators.estimate",
    "Estimator": "infoplane.estimators.base",
    "LayerInfo": "infoplane.data",
    "ProbeSet": "infoplane.data",
    "DataError": "infoplane.errors",
    "ExitCode": "infoplane.errors",
    "EstimationError": "infoplane.errors",
    "InfoplaneError": "infoplane.errors",
    "InfoplaneWarning": "infoplane.errors",
    "InputError": "infoplane.errors",
    "NotFoundError": "infoplane.errors",
    "RunFileError": "infoplane.errors",
    "toy12": "infoplane.sample_runs.twelve_bit.task",
    "BinnedInformation": "infoplane.estimators.layers.binned_information",
    "binned_information": "infoplane.estimators.layers.binned_information",
    "KdeInformation": "infoplane.estimators.layers.kde_information",
    "kde_information": "infoplane.estimators.layers.kde_information",
    "noisy_network_information": "infoplane.numerics.kernels.noisy",
    "renyi_information": "infoplane.numerics.kernels.renyi",
    "information_bottleneck_curve": "infoplane.numerics.discrete.bottleneck",
    "DiffusionEntropy": "infoplane.estimators.layers.diffusion_entropy",
    "diffusion_spectral_entropy": "infoplane.estimators.layers.diffusion_entropy",
    "DiffusionInformation": "infoplane.estimators.layers.diffusion_information",
    "diffusion_spectral_mutual_information": "infoplane.estimators.layers.diffusion_information",
    "intrinsic_dimension": "infoplane.numerics.neighbors.estimates",
    "kozachenko_leonenko_entropy": "infoplane.numerics.neighbors.estimates",
    "ksg_mutual_information": "infoplane.numerics.neighbors.estimates",
    "mixed_mutual_information": "infoplane.numerics.neighbors.estimates",
    "shuffle_difference": "infoplane.numerics.neighbors.estimates",
    "CompressedInformation": "infoplane.estimators.layers.compressed.information",
    "compressed_information": "infoplane.estimators.layers.compressed.information",
    "Recorder": "infoplane.recording.recorder",
    "Run": "infoplane.runs.run",
    "Results": "infoplane.results.notebook",
    "load": "infoplane.results.notebook",
    "find_phases": "infoplane.results.phases",
    "write_csv": "infoplane.results.export",
    "write_parquet": "infoplane.results.export",
    "write_tensorboard": "infoplane.results.export",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'infoplane' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
