"""Entropy of attention, computed from its weights while the probe set is sent.

Fused kernels make no weights. So a function mode of torch sees every scaled dot-product attention
that a model calls, and computes the weights of its queries and keys beside it; what the model
computes is left alone. ``nn.MultiheadAttention`` is called again for its weights. Modules with
attention of their own are taken where they return weights. Only entropies are kept.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  - as torch's own code calls it
from torch.overrides import TorchFunctionMode

from infoplane.data import Array, Slot
from infoplane.errors import DataError, InputError
from infoplane.patterns import matches
from infoplane.recording.hooks.attention_weights import attention_weights, causal
from infoplane.recording.hooks.masks import TokenMask
from infoplane.recording.hooks.outputs import Key, tensors_in
from infoplane.recording.hooks.running import running_modules
from infoplane.recording.hooks.wrappers import named_layers
from infoplane.recording.probes.batches import Batch
from infoplane.runs.step_writer import StepWriter

log = logging.getLogger("infoplane")

_MOST = 1 << 24  # weights that are made at a time
_OFF = 1e-2  # by which the weights of a query may miss 1
_LOW = -1e3  # what is added to a score to hide a key is below

AXES = ("head", "measure")
"""Of what is kept of a sample; the measures are the entropy in bits, and its share of the most."""


def attention_patterns(asked: bool | str | Sequence[str]) -> tuple[str, ...]:
    """Return the globs over modules whose attention is kept: ``**`` matches all.

    Raises
    ------
    InputError
        If it is neither True or False, nor a glob or globs.
    """
    if isinstance(asked, bool):
        return ("**",) * asked
    found = (asked,) if isinstance(asked, str) else asked
    if not isinstance(found, (tuple, list)) or not all(isinstance(x, str) and x for x in found):
        raise InputError(f"attention: expected True, False or globs of modules, got {asked!r:.80}")
    return tuple(found)


@dataclass
class Attention:
    """The attention that is watched, and what was found of it in the passes.

    Parameters
    ----------
    patterns : sequence of str
        Globs over the names of the modules that call it; ``**`` matches all.
    """

    patterns: Sequence[str] = ()
    active: bool = False  # what is sent is to be kept
    rows: int = 0  # of the batch
    real: list[torch.Tensor] = field(default_factory=list)  # (n_samples, length) masks of tokens
    found: dict[Key, list[Array]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)  # class of each module
    refused: dict[str, str] = field(default_factory=dict)  # modules without entropies, and why
    seen: dict[str, None] = field(default_factory=dict)  # modules that attend, chosen or not

    def chosen(self, name: str) -> bool:
        """Tell whether the attention of a module is to be kept."""
        return any(matches(name, pattern) for pattern in self.patterns)

    @contextmanager
    def watched(self, model: nn.Module) -> Iterator[Callable[[], None]]:
        """Watch the attention of a model; yield what is to be called before each pass."""
        if not self.patterns:
            yield lambda: None
            return
        with ExitStack() as stack:
            running = stack.enter_context(running_modules(model))
            stack.enter_context(_with_weights(model))
            mode = stack.enter_context(_AttentionMode(self, running))
            for name, module in named_layers(model).items():
                self.kinds[name] = type(module).__name__
                hook = module.register_forward_hook(mode.returned(name), with_kwargs=True)
                stack.callback(hook.remove)
            self.kinds[""] = type(model).__name__
            yield mode.begin

    def sends(self, batch: Batch, masks: Sequence[TokenMask]) -> None:
        """Take note of the batch that is sent, and of which of its tokens are real."""
        self.rows = len(batch)
        self.real = [mask.real(batch.argument(mask.name)) for mask in masks]

    def begin_step(self) -> None:
        """Forget what was found before."""
        self.found.clear()

    def slots(self) -> tuple[Slot, ...]:
        """Return what is recorded of each sample."""
        return tuple(
            Slot(
                self._name(key), index, self.kinds.get(key[0], ""), parts[0].shape[1:], "float32",
                kind="attention", axes=AXES,
            )
            for index, (key, parts) in enumerate(self.found.items())
        )  # fmt: skip

    def write(self, writer: StepWriter) -> None:
        """Write what was found with a step.

        Raises
        ------
        DataError
            If a batch lacks attention that another has.
        """
        n = writer.layout.n_samples
        for key, parts in self.found.items():
            values = np.concatenate(parts)
            if len(values) != n:
                raise DataError(
                    f"attention {self._name(key)!r}: seen for {len(values)} of {n} samples",
                    hint="leave it out with --attention GLOB",
                )
            name, kind = self._name(key), self.kinds.get(key[0], "")
            writer.write(key, name, kind, 0, values, "float32", kind="attention")
            writer.written["attention"][key].details = {"axes": list(AXES)}

    def check(self) -> None:
        """Refuse a model without attention, or a pattern that means none of it.

        Raises
        ------
        DataError
            The message is one line.
        """
        refused = list(self.refused.items())[:3]
        why = "; ".join(f"{name or 'the model itself'}: {why}" for name, why in refused)
        for pattern in self.patterns if self.seen else ():
            if not any(matches(name, pattern) for name in self.seen):
                raise DataError(
                    f"no attention matches {pattern!r}",
                    hint=f"the model attends in {', '.join(list(self.seen)[:12])}",
                )
        if not self.found:
            raise DataError(
                f"attention: none was found in the model{why and f' ({why})'}",
                hint="seen are torch's scaled_dot_product_attention and nn.MultiheadAttention, and "
                "modules that return weights (n_samples, n_heads, n_queries, n_keys)",
            )

    def _name(self, key: Key) -> str:
        several = sum(name == key[0] for name, _ in self.found) > 1
        name = key[0] or "model"
        return f"{name}#{key[1]}" if several else name

    def add(self, key: Key, entropies: Iterator[tuple[Array, Array]]) -> None:
        """Keep the entropies (n_samples, n_heads) of a call, and their shares."""
        parts = [np.stack(pair, axis=2).astype(np.float32) for pair in entropies]
        self.found.setdefault(key, []).append(np.concatenate(parts))


class _AttentionMode(TorchFunctionMode):
    def __init__(self, attention: Attention, running: list[str]) -> None:
        super().__init__()
        self.attention, self._running = attention, running
        self._calls: dict[str, int] = {}
        self._taken: dict[int, torch.Tensor] = {}  # weights that an inner module has returned

    def begin(self) -> None:
        """Begin a pass."""
        self._calls.clear()
        self._taken.clear()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if not self.attention.active:
            return func(*args, **named)
        if func is F.scaled_dot_product_attention:
            self._of_queries(*args, **named)
        elif func is F.multi_head_attention_forward:
            self._of_multi_head(func, args, named)
        return func(*args, **named)

    def _of_queries(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        rows, shape = self.attention.rows, query.shape
        if len(shape) < 3 or not shape[0] or shape[0] % rows:
            self._refuse(f"queries of shape {tuple(shape)} for {rows} samples")
            return
        seen = visible(attn_mask, shape[-2], key.shape[-2], query.device, is_causal)

        def weights(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
            hidden = attn_mask if attn_mask is None else _rows_of(attn_mask, part, shape)
            made = attention_weights(
                query[part].float(), key[part].float(), hidden, is_causal=is_causal, scale=scale
            )
            return made, _rows_of(seen, part, shape).expand(made.shape)

        self._take(weights, shape, key.shape[-2])

    def _of_multi_head(
        self, func: Callable[..., Any], args: Sequence[Any], named: dict[str, Any]
    ) -> None:
        query, key = args[0], args[1]
        rows = self.attention.rows
        if query.ndim != 3 or query.shape[1] != rows:
            self._refuse(f"queries of shape {tuple(query.shape)} for {rows} samples")
            return
        asked = {"need_weights": True, "average_attn_weights": False, "training": False}
        if named.get("attn_mask") is not None:
            asked["is_causal"] = False  # the mask says it
        weights = func(*args, **{**named, **asked})[1]
        n_keys = key.shape[0]
        shape = (rows, weights.shape[1], weights.shape[2])
        seen = visible(named.get("attn_mask"), shape[2], n_keys, query.device, False)
        if seen.ndim == 3:
            seen = seen.view(-1, *((shape[1],) if len(seen) > 1 else (1,)), shape[2], n_keys)
        padding = named.get("key_padding_mask")
        if padding is not None:
            hidden = padding if padding.dtype is torch.bool else padding < _LOW
            seen = seen & ~hidden[:, None, None]
        more = weights.shape[-1] - n_keys  # bias_k and zero attention add keys that are seen
        seen = F.pad(
            seen.expand(rows, -1, -1, -1) if seen.ndim == 4 else seen, (0, more), value=True
        )

        def of_rows(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
            made = weights[part].float()
            return made, _rows_of(seen, part, weights.shape).expand(made.shape)

        self._take(of_rows, weights.shape, weights.shape[-1])

    def returned(self, name: str) -> Callable[..., None]:
        """Return the hook that looks for weights in what a module returns."""

        def look(module: nn.Module, inputs: Any, named: Mapping[str, Any], output: Any) -> None:
            alone = isinstance(output, torch.Tensor)
            if not self.attention.active or alone or isinstance(module, nn.MultiheadAttention):
                return
            for _, found in tensors_in(output):
                if id(found) in self._taken or not _are_weights(found, self.attention.rows):
                    continue
                self._taken[id(found)] = found
                given = [one for _, one in tensors_in([*inputs, *named.values()])]
                self._of_weights(name, found, given)

        return look

    def _of_weights(self, name: str, found: torch.Tensor, given: Sequence[torch.Tensor]) -> None:
        n_queries, n_keys = found.shape[-2:]
        masks = [
            one
            for one in given
            if one.ndim == 4 and one.shape[-1] >= n_keys and one.shape[-2] in (1, n_queries)
            and one.shape[0] in (1, len(found)) and one is not found
        ]  # fmt: skip
        mask = masks[0][..., :n_keys] if masks else None
        hidden = mask is None and not bool(found.triu(1 + n_keys - n_queries).any())
        seen = visible(mask, n_queries, n_keys, found.device, False)
        if hidden and n_queries > 1:
            seen = seen.tril(n_keys - n_queries)

        def of_rows(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
            return found[part].float(), _rows_of(seen, part, found.shape).expand(found[part].shape)

        self._take(of_rows, found.shape, n_keys, name)

    def _take(
        self,
        weights: Callable[[slice], tuple[torch.Tensor, torch.Tensor]],
        shape: Sequence[int],
        n_keys: int,
        name: str | None = None,
    ) -> None:
        """Keep the entropies of weights, which are made some samples at a time."""
        name = (self._running[-1] if self._running else "") if name is None else name
        self.attention.seen[name] = None
        if not self.attention.chosen(name):
            return
        call = self._calls.get(name, 0)
        self._calls[name] = call + 1
        rows, each = self.attention.rows, shape[0] // self.attention.rows
        real = [one for one in self.attention.real if one.shape[1] == shape[-2]]
        step = max(1, _MOST // max(1, each * math.prod(shape[1:-1]) * n_keys))

        def entropies() -> Iterator[tuple[Array, Array]]:
            for first in range(0, rows, step):
                part = slice(first, min(first + step, rows))
                made, seen = weights(slice(each * first, each * part.stop))
                token = real[0][part] if real else None
                yield by_head(made, seen, token, part.stop - first)

        try:
            self.attention.add((name, call), entropies())
        except DataError as error:
            self.attention.refused[name] = str(error)

    def _refuse(self, why: str) -> None:
        self.attention.refused[self._running[-1] if self._running else ""] = why


@contextmanager
def _with_weights(model: nn.Module) -> Iterator[None]:
    """Let models of Hugging Face compute attention where it can be seen, and put it back."""
    changed: list[tuple[Any, str]] = []
    for config in {id(c): c for m in model.modules() if (c := getattr(m, "config", None))}.values():
        used = getattr(config, "_attn_implementation", None)
        if isinstance(used, str) and used not in ("sdpa", "eager"):
            changed.append((config, used))
    try:
        for config, used in changed:
            config._attn_implementation = "eager"
            log.info("attention: eager in place of %s, which makes no weights", used)
        yield
    finally:
        for config, used in changed:
            config._attn_implementation = used


def visible(
    mask: torch.Tensor | None,
    n_queries: int,
    n_keys: int,
    device: torch.device,
    is_causal: bool,
) -> torch.Tensor:
    """Return which keys a query sees (..., n_queries, n_keys), by the mask of the attention."""
    seen = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    if is_causal:
        seen = causal(seen)
    if mask is None:
        return seen
    return seen & (mask if mask.dtype is torch.bool else mask > _LOW)


def by_head(
    weights: torch.Tensor, seen: torch.Tensor, real: torch.Tensor | None, n_samples: int
) -> tuple[Array, Array]:
    """Return the mean entropy over the queries of each sample, in bits, and its mean share.

    Parameters
    ----------
    weights : tensor (n, ..., n_heads, n_queries, n_keys)
        Weights; n is a multiple of the samples, as for windows of an image. Those of one head may
        lack its axis.
    seen : tensor of bool
        Which keys each query sees, in the shape of the weights.
    real : tensor of bool (n_samples, n_queries), optional
        Which queries are tokens; without it those are that some query sees as a key.
    n_samples : int
        Number of samples.

    Returns
    -------
    entropy, share : arrays (n_samples, n_heads)
        Queries that see no key, and padding, do not count; for the share, nor do those that see one
        key alone. NaN where none is left.

    Raises
    ------
    DataError
        If the weights of a query that counts do not sum to 1.
    """
    if weights.ndim == 3:
        weights, seen = weights[:, None], seen[:, None]
    n_queries, n_keys = weights.shape[-2:]
    number = seen.sum(-1)
    counts = number > 0
    if real is not None:
        many = real.repeat_interleave(len(weights) // n_samples, 0)
        counts = counts & many.view(len(many), *[1] * (counts.ndim - 2), n_queries)
    elif n_queries == n_keys:
        counts = counts & seen.any(-2)
    entropy = -torch.special.xlogy(weights, weights).sum(-1) / math.log(2)
    off = ((weights.sum(-1) - 1).abs() > _OFF) | entropy.isnan()
    if bool((off & counts).any()):
        raise DataError("its weights do not sum to 1 for each query")
    several = counts & (number > 1)
    share = entropy / number.clamp(min=2).double().log2()
    return tuple(_mean(v, c, n_samples) for v, c in ((entropy, counts), (share, several)))  # type: ignore[return-value]  # two


def _mean(values: torch.Tensor, counts: torch.Tensor, n_samples: int) -> Array:
    """Return the mean over the queries that count, and over windows; NaN where none does."""
    n_heads = values.shape[-2]

    def summed(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.double().sum(-1).reshape(n_samples, -1, n_heads)
        return tensor.sum(1)

    total = summed(values.double().masked_fill(~counts, 0.0)) / summed(counts)
    return total.cpu().numpy()


def _rows_of(tensor: torch.Tensor, part: slice, shape: Sequence[int]) -> torch.Tensor:
    """Return rows of a mask that is broadcast to attention of a shape (n, ..., queries, units)."""
    if tensor.ndim < len(shape) or tensor.shape[0] == 1:
        return tensor
    return tensor[part]


def _are_weights(tensor: torch.Tensor, rows: int) -> bool:
    """Tell whether a tensor looks like attention weights (n_samples, n_heads, queries, keys)."""
    if tensor.ndim != 4 or len(tensor) != rows or not tensor.is_floating_point():
        return False
    sums = tensor.sum(-1)
    near = ((sums - 1).abs() < 1e-3) | (sums == 0)
    return bool((tensor >= 0).all() and near.all() and (sums > 0).any())
