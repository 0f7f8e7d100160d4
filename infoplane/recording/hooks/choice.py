"""Choose what the passes of a probe set record, by what patterns say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from torch import nn

from infoplane.data import ProbeSet, whole_number
from infoplane.errors import InputError
from infoplane.patterns import split_address
from infoplane.recording.hooks.attention import Attention
from infoplane.recording.hooks.capture import At
from infoplane.recording.hooks.head import found_head
from infoplane.recording.hooks.layers import Layer, chosen_by, select_layers
from infoplane.recording.hooks.masks import chosen_mask
from infoplane.recording.hooks.noise import Noise, noise_sizes
from infoplane.recording.hooks.operations import (
    Operations,
    is_operation,
)
from infoplane.recording.hooks.passes import ProbePasses
from infoplane.recording.hooks.reductions import chosen_reductions, several_by_glob
from infoplane.recording.hooks.roles import head_named
from infoplane.recording.hooks.variants import by_variant, names_of_variants, one_each, single
from infoplane.recording.hooks.wrappers import named_layers, unwrapped

_Choice = TypeVar("_Choice")


def probe_passes(
    model: nn.Module,
    probe: ProbeSet,
    *,
    layers: Sequence[str] = (),
    at: At = "output",
    batch_dims: Mapping[str, int] | None = None,
    reduce: Mapping[str, str] | None = None,
    mask: Mapping[str, str] | None = None,
    logits: str | None = None,
    head: str | None = None,
    batch_size: int = 512,
    rows: slice | None = None,
    noise: Mapping[str, float] | None = None,
    keep_dropout: bool = False,
    passes: int = 1,
    attention: Sequence[str] = (),
) -> ProbePasses:
    """Return the passes that record what patterns choose; parameters as for ``Recorder``.

    Raises
    ------
    InputError
        If an argument is unfit.
    NotFoundError
        If a pattern matches nothing.
    """
    if batch_size < 1:
        raise InputError(f"expected a batch size of at least 1, got {batch_size}")
    if at not in ("output", "input"):
        raise InputError(f"at: expected 'output' or 'input', got {at!r}")
    model = unwrapped(model)
    functions = [pattern for pattern in layers if is_operation(pattern)]
    modules = [pattern for pattern in layers if not is_operation(pattern)]
    if functions and at != "output":
        raise InputError(f"expected at='output' to record operations ({functions[0]}), got {at!r}")
    named = None if head is None else head_named(model, head)
    asked = any(split_address(pattern.removeprefix("!"))[0] == "head" for pattern in modules)
    if asked and named is None and "head" not in named_layers(model):
        named = found_head(model, probe, batch_size)
    chosen = select_layers(model, modules, named) if modules or not functions else {}
    dims, kinds = batch_dims or {}, several_by_glob(reduce or {})
    for text in (mask or {}).values():
        chosen_mask(text, probe.arguments)
    masks = _by_name(mask or {}, chosen, "whose mask is given")
    sizes = _by_name(noise_sizes(noise or {}), chosen, "whose noise is declared")

    def of_modules(values: Mapping[str, _Choice]) -> dict[str, _Choice]:
        return {glob: one for glob, one in values.items() if chosen and not is_operation(glob)}

    reductions = chosen_reductions(of_modules(kinds), chosen)
    names = names_of_variants(chosen, reductions)
    dims_of = by_variant(_sample_axes(of_modules(dims), chosen), names)
    masks, sizes = by_variant(masks, names), by_variant(sizes, names)
    of_functions = single(kinds) if functions else {}
    return ProbePasses(
        model,
        probe,
        by_variant(chosen, names),
        at,
        batch_size,
        dims_of,
        one_each(reductions, names),
        rows,
        Operations(functions, dims, of_functions, sizes),
        by_default=all(pattern.startswith("!") for pattern in layers),
        masks=masks,
        logits=logits,
        head=named if head is not None else None,
        noise=Noise(keep_dropout, whole_number(passes, "passes", 1), sizes),
        attention=Attention(tuple(attention)),
    )


def _by_name(
    values: Mapping[str, _Choice], layers: Mapping[str, Layer], why: str
) -> dict[str, _Choice]:
    """Return what holds for layers by their names, and for operations by glob."""
    found: dict[str, _Choice] = {}
    for pattern, value in values.items():
        names = [pattern] if is_operation(pattern) else chosen_by(pattern, layers, why)
        for name in names:
            found.pop(name, None)  # the last that matches holds
            found[name] = value
    return found


def _sample_axes(values: Mapping[str, int], layers: Mapping[str, Layer]) -> dict[str, int]:
    """Return the sample axis of every layer for which a glob gives one."""
    axes = {}
    for pattern, axis in values.items():
        if not isinstance(axis, int) or axis < 0:
            raise InputError(f"batch_dims[{pattern!r}]: expected an axis from 0, got {axis!r}")
        found = chosen_by(pattern, layers, "whose sample axis is given")
        axes.update(dict.fromkeys(found, axis))
    return axes
