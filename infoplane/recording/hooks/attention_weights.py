"""The weights of scaled dot-product attention, which fused kernels never make."""

from __future__ import annotations

import math

import torch


def attention_weights(
    query: torch.Tensor,
    key: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> torch.Tensor:
    """Return softmax(scale q k' + mask) (..., n_queries, n_keys).

    Arguments as of ``torch.nn.functional.scaled_dot_product_attention``. A query that sees no key
    has NaN.
    """
    size = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ grouped(key, query).transpose(-2, -1) * size
    if is_causal:
        scores = scores.masked_fill(~causal(scores), -math.inf)
    if attn_mask is not None:
        if attn_mask.dtype is torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        else:
            scores = scores + attn_mask
    return scores.softmax(-1)


def causal(scores: torch.Tensor) -> torch.Tensor:
    """Return which keys each query sees, (n_queries, n_keys), as torch has it: from the first."""
    shape = scores.shape[-2:]
    return torch.ones(shape, dtype=torch.bool, device=scores.device).tril()


def grouped(values: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Return keys or values (..., heads, length, units) for as many heads as the queries have."""
    heads = query.shape[-3] if query.ndim > 3 else 1
    if values.ndim <= 3 or values.shape[-3] in (1, heads):
        return values
    return values.repeat_interleave(heads // values.shape[-3], -3)
