"""What the numbers of a model depend on besides its weights and its code."""

from __future__ import annotations

import torch
from torch import nn


def arithmetic(model: nn.Module) -> dict[str, str]:
    """Return release of torch, device, dtypes of the parameters and precision of products.

    Where one of them differs, the same weights give other activations, if only in the last digits.
    """
    parameters = list(model.parameters())
    devices = sorted({_device(parameter.device) for parameter in parameters})
    dtypes = sorted({str(parameter.dtype).removeprefix("torch.") for parameter in parameters})
    return {
        "torch": str(torch.__version__),
        "device": ", ".join(devices),
        "dtype": ", ".join(dtypes),
        "matmul_precision": torch.get_float32_matmul_precision(),
    }


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
