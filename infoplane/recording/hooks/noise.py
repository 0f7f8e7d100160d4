"""What is random in a model, drawn for each sample of its own.

A function mode of torch sees every call of a function that draws: dropout of all kinds, dropout in
attention, and the functions that make random tensors. Each draw comes from the stream of the
sample, so that a recording depends neither on the size of the batches nor on their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  - as torch's own code calls it
from torch.overrides import TorchFunctionMode

from infoplane.data import NoiseIn
from infoplane.errors import DataError
from infoplane.nn import GaussianNoise, noise_size
from infoplane.recording.hooks.attention_weights import attention_weights, grouped
from infoplane.recording.hooks.draws import Draws
from infoplane.recording.hooks.running import running_modules

_DROPOUTS = (nn.modules.dropout._DropoutNd, nn.MultiheadAttention, GaussianNoise)
"""Modules that do in training what they do in evaluation mode, but for what they draw."""

_NOT_IN_TRAINING = (nn.modules.batchnorm._NormBase, nn.RNNBase, nn.RReLU)
"""Modules that learn from the batch in training, or whose kernels draw by themselves."""

_ALPHA = 1.7580993408473766
"""Where self-normalising units end on the left: Klambauer et al., NeurIPS 2017, section 3."""


@dataclass
class Noise:
    """The noise of a model in the passes of a probe set.

    Parameters
    ----------
    keep : bool
        Dropout, `GaussianNoise` and what else the model draws in training is on.
    passes : int
        Passes of each sample.
    sizes : mapping of str to float
        Standard deviation of the additive noise of layers, by glob, where it was declared.
    """

    keep: bool = False
    passes: int = 1
    sizes: Mapping[str, float] = field(default_factory=dict)
    draws: Draws = field(default_factory=Draws)
    silent: bool = False  # nothing is drawn, for a comparison
    everywhere: bool = False  # all modules are as in training, not those alone that draw

    def of_samples(self, model: nn.Module) -> bool:
        """Tell whether what the model draws is drawn for each sample of its own."""
        return (
            self.keep
            or self.passes > 1
            or bool(self.sizes)
            or any(isinstance(module, GaussianNoise) for module in model.modules())
        )

    @contextmanager
    def seeded(self, model: nn.Module) -> Iterator[None]:
        """Draw for each sample in the block, if anything is kept or declared to be random."""
        if not self.of_samples(model):
            yield
            return
        with running_modules(model) as running, _SampleMode(self, running):
            yield

    @contextmanager
    def one_pass(self, model: nn.Module, rows: Sequence[int]) -> Iterator[None]:
        """Let the block make one pass of these rows."""
        self.draws.begin(rows)
        kept = self._in_training(model) if self.keep else ()
        try:
            for module in kept:
                object.__setattr__(module, "training", True)
            yield
        finally:
            for module in kept:
                object.__setattr__(module, "training", False)

    def _in_training(self, model: nn.Module) -> Sequence[nn.Module]:
        modules = [module for module in model.modules() if not module.training]
        if self.everywhere:
            return [module for module in modules if not isinstance(module, _NOT_IN_TRAINING)]
        return [module for module in modules if isinstance(module, _DROPOUTS)]


@dataclass(frozen=True)
class NoiseOf:
    """The additive noise of a layer: declared size, what holds it, whether more is random."""

    size: float | None = None
    inside: NoiseIn | None = None
    random: bool = False

    def noted(self) -> dict[str, Any]:
        """Return what the metadata of the layer say."""
        inside = {"noise_in": self.inside} if self.inside else {}
        return {**inside, **({"random": True} if self.random else {})}


def noise_sizes(declared: Mapping[str, float]) -> dict[str, float]:
    """Return standard deviations by glob, as floats.

    Raises
    ------
    InputError
        If one is no number above 0.
    """
    return {glob: noise_size(sigma, f"noise[{glob!r}]") for glob, sigma in declared.items()}


def check_kernels(model: nn.Module) -> None:
    """Refuse recurrent layers with dropout of their own.

    Raises
    ------
    DataError
        If there is one: its kernel draws for the whole batch at once.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.RNNBase) and module.dropout > 0 and module.num_layers > 1:
            raise DataError(
                f"layer {name!r} ({type(module).__name__}): the dropout between its layers is "
                "inside its kernel, and cannot be drawn for each sample",
                hint="make it of layers of its own with nn.Dropout between them, or leave "
                "--keep-dropout out",
            )


class _SampleMode(TorchFunctionMode):
    """Replaces every function that draws by one that draws for each sample."""

    def __init__(self, noise: Noise, running: list[str]) -> None:
        super().__init__()
        self.noise, self._running = noise, running

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        own = _OWN.get(func)
        if own is None or not self.noise.draws.rows:
            return func(*args, **(kwargs or {}))
        return own(self, func, *args, **(kwargs or {}))

    def numbers(self, law: Any, like: torch.Tensor, what: str) -> torch.Tensor:
        """Return what a function draws."""
        module = self._running[-1] if self._running else ""
        if self.noise.silent:
            return torch.full_like(like, 0.5 if law == "uniform" else 0.0)
        return self.noise.draws.like(law, like, f"{module}:{what}")

    def kept(self, like: torch.Tensor, p: float, what: str) -> torch.Tensor:
        """Return 1 where dropout keeps a value, 0 where it does not."""
        return (self.numbers("uniform", like, what) >= p).to(like.dtype)

    def dropped(self, values: torch.Tensor, p: float, what: str) -> torch.Tensor:
        """Return values with dropout of each of them."""
        if self.noise.silent or p == 0:
            return values
        if p == 1:
            return torch.zeros_like(values)
        made: torch.Tensor = values * (self.kept(values, p, what) / (1 - p))
        return made


def _dropout(whole: bool, alpha: bool) -> Callable[..., Any]:
    """Return what takes the place of a dropout: of whole channels, or to the end of a unit."""

    def dropout(
        mode: _SampleMode,
        func: Callable[..., Any],
        input: torch.Tensor,  # noqa: A002  - as torch calls it
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> torch.Tensor:
        made: torch.Tensor
        if not (training or mode.noise.keep):
            made = func(input, p, training, inplace)
            return made
        what, like = func.__name__, input
        if whole:  # of a map without samples the channels are the first axis, as the samples are
            like = input.new_empty(input.shape[:2] + (1,) * (input.ndim - 2))
        if mode.noise.silent or p == 0:
            made = input
        elif p == 1:
            made = torch.zeros_like(input)
        elif alpha:
            kept = mode.kept(like, p, what)
            scale = ((_ALPHA**2 * p + 1) * (1 - p)) ** -0.5
            made = scale * (input * kept - _ALPHA * (1 - kept) + _ALPHA * p)
        else:
            made = input * (mode.kept(like, p, what) / (1 - p))
        return input.copy_(made) if inplace and made is not input else made

    return dropout


def _native(own: Callable[..., Any], inplace: bool = False) -> Callable[..., Any]:
    """Return what takes the place of a function under ``torch``, which has no such option."""

    def dropout(
        mode: _SampleMode,
        func: Callable[..., Any],
        input: torch.Tensor,  # noqa: A002  - as torch calls it
        p: float,
        train: bool,
    ) -> Any:
        if not (train or mode.noise.keep):
            return func(input, p, train)
        made: torch.Tensor = own(mode, func, input, p, True, False)
        return input.copy_(made) if inplace else made

    return dropout


def _attention(
    mode: _SampleMode,
    func: Callable[..., Any],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Attend with dropout of each weight; without dropout, as torch does."""
    if not dropout_p or mode.noise.silent:
        more: dict[str, Any] = {"enable_gqa": True} if enable_gqa else {}
        return func(query, key, value, attn_mask, 0.0, is_causal, scale=scale, **more)
    weights = attention_weights(query, key, attn_mask, is_causal=is_causal, scale=scale)
    return mode.dropped(weights, dropout_p, "attention") @ grouped(value, query)


def _multi_head(mode: _SampleMode, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Let the functions inside it draw for each sample; no mode sees what it calls."""

    def dropout(
        input: torch.Tensor,  # noqa: A002  - as torch calls it
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
    ) -> torch.Tensor:
        return mode.dropped(input, p, "attention") if training else input

    plain = F.scaled_dot_product_attention

    def attention(*args: Any, **kwargs: Any) -> Any:
        return _attention(mode, plain, *args, **kwargs)

    with ExitStack() as stack:
        for name, own in (("dropout", dropout), ("scaled_dot_product_attention", attention)):
            stack.callback(setattr, F, name, getattr(F, name))
            setattr(F, name, own)
        return func(*args, **kwargs)


def _like(law: str) -> Callable[..., Any]:
    """Return what takes the place of ``torch.randn_like`` and ``torch.rand_like``."""

    def made(
        mode: _SampleMode,
        func: Callable[..., Any],
        input: torch.Tensor,  # noqa: A002  - as torch calls it
        **kwargs: Any,
    ) -> torch.Tensor:
        return mode.numbers(law, torch.empty_like(input, **kwargs), func.__name__)

    return made


def _sized(law: str) -> Callable[..., Any]:
    """Return what takes the place of ``torch.randn`` and ``torch.rand``."""

    def made(mode: _SampleMode, func: Callable[..., Any], *size: Any, **kwargs: Any) -> Any:
        if kwargs.pop("generator", None) is not None or kwargs.get("out") is not None:
            return func(*size, **kwargs)
        return mode.numbers(law, torch.empty(*size, **kwargs), func.__name__)

    return made


def _filled(law: str) -> Callable[..., Any]:
    """Return what takes the place of ``tensor.normal_`` and ``tensor.uniform_``."""

    def made(
        mode: _SampleMode,
        func: Callable[..., Any],
        tensor: torch.Tensor,
        one: float = 0.0,
        other: float = 1.0,
        **kwargs: Any,
    ) -> torch.Tensor:
        if "mean" in kwargs or "from" in kwargs:
            one = kwargs.get("mean", kwargs.get("from", one))
        other = kwargs.get("std", kwargs.get("to", other))
        size = other if law == "normal" else other - one
        return tensor.copy_(one + size * mode.numbers(law, tensor, func.__name__))

    return made


def _normal(
    mode: _SampleMode, func: Callable[..., Any], mean: Any, std: Any = 1.0, *size: Any, **more: Any
) -> Any:
    """Take the place of ``torch.normal``."""
    if more.get("out") is not None:
        return func(mean, std, *size, **more)
    more.pop("generator", None)
    if size or "size" in more:
        like = torch.empty(more.pop("size", None) or size[0], **more)
    else:
        tensors = [one for one in (mean, std) if isinstance(one, torch.Tensor)]
        like = sum(tensors[1:], tensors[0])
    return mean + std * mode.numbers("normal", like, "normal")


def _bernoulli(
    mode: _SampleMode,
    func: Callable[..., Any],
    input: torch.Tensor,  # noqa: A002  - as torch calls it
    p: Any = None,
    **kwargs: Any,
) -> torch.Tensor:
    """Take the place of ``torch.bernoulli`` and ``tensor.bernoulli_``."""
    inplace = func.__name__.endswith("_")
    shares = (0.5 if inplace else input) if p is None else p
    drawn = (mode.numbers("uniform", input, "bernoulli") < shares).to(input.dtype)
    return input.copy_(drawn) if inplace else drawn


_EACH, _WHOLE = _dropout(False, False), _dropout(True, False)
_TO_END, _WHOLE_TO_END = _dropout(False, True), _dropout(True, True)

_OWN: dict[Any, Callable[..., Any]] = {
    F.dropout: _EACH,
    F.dropout1d: _WHOLE,
    F.dropout2d: _WHOLE,
    F.dropout3d: _WHOLE,
    F.alpha_dropout: _TO_END,
    F.feature_alpha_dropout: _WHOLE_TO_END,
    torch.dropout: _native(_EACH),
    torch.dropout_: _native(_EACH, inplace=True),
    torch.feature_dropout: _native(_WHOLE),
    torch.feature_dropout_: _native(_WHOLE, inplace=True),
    torch.alpha_dropout: _native(_TO_END),
    torch.alpha_dropout_: _native(_TO_END, inplace=True),
    torch.feature_alpha_dropout: _native(_WHOLE_TO_END),
    torch.feature_alpha_dropout_: _native(_WHOLE_TO_END, inplace=True),
    F.scaled_dot_product_attention: _attention,
    F.multi_head_attention_forward: _multi_head,
    torch.randn_like: _like("normal"),
    torch.rand_like: _like("uniform"),
    torch.randn: _sized("normal"),
    torch.rand: _sized("uniform"),
    torch.Tensor.normal_: _filled("normal"),
    torch.Tensor.uniform_: _filled("uniform"),
    torch.normal: _normal,
    torch.bernoulli: _bernoulli,
    torch.Tensor.bernoulli_: _bernoulli,
}
"""What takes the place of each function that draws."""
