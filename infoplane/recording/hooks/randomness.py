"""Find out what of a model is random, from two passes of the same samples."""

from __future__ import annotations

import itertools
import logging
import math
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from infoplane.data import FloatArray, NoiseIn
from infoplane.errors import DataError, InputError
from infoplane.nn import GaussianNoise
from infoplane.recording.hooks.further_passes import before_noise
from infoplane.recording.hooks.modes import evaluation_mode
from infoplane.recording.hooks.noise import NoiseOf, check_kernels
from infoplane.recording.hooks.outputs import Address, Key, to_array
from infoplane.recording.hooks.passes import ProbePasses
from infoplane.recording.hooks.trials import Trial
from infoplane.recording.probes.batches import Batch

log = logging.getLogger("infoplane")

_ROWS, _UNITS = 256, 64
"""Of a layer that are compared."""

_FEW = 8
"""Samples of a first trial."""

_KEPT = (None, "flatten", "last", "tokens")
"""Reductions that leave the noise of a unit as it is."""

_CONTAINED = 0.25  # of the variance that declared noise gives the change between two passes
_CHANCE = 6.0  # standard errors of that variance


@dataclass
class _Pass:
    """Some values of every layer in one pass, and of those that add noise before it."""

    values: dict[Key, FloatArray]
    before: dict[Key, FloatArray]
    rounding: dict[Key, float]


def learn_randomness(passes: ProbePasses) -> None:
    """Find what is needed to draw for each sample: its axis, and which modules are as in training.

    Raises
    ------
    DataError
        If a kernel draws for a whole batch.
    """
    noise = passes.noise
    if not noise.of_samples(passes.model):
        return
    if noise.keep:
        check_kernels(passes.model)
        _choose_modules(passes)
    n = passes.probe.n_samples
    for size in (min(_FEW, n), min(_FEW, n) - 1):
        try:
            with evaluation_mode(passes.model), noise.seeded(passes.model):
                passes.forward(passes.batch(slice(0, max(size, 1))))
        except DataError as error:  # a model of one batch size alone
            log.debug("no batch of %d: %s", size, error)


def find_noise(
    passes: ProbePasses, layers: Iterable[Key], chance: Collection[str]
) -> dict[Key, NoiseOf]:
    """Return the noise of every layer: its size, what holds it, and whether there is more.

    ``chance`` names the layers that draw otherwise than for each sample. Tells of layers whose
    noise single passes cannot tell from signal, and of passes that are all the same.

    Raises
    ------
    InputError
        If noise is declared of a layer whose reduction changes it, or otherwise than it adds it.
    """
    noise = passes.noise
    if not noise.of_samples(passes.model):
        return {key: NoiseOf(random=True) for key in layers if key[0] in chance}
    one, other = _passed(passes, 0), _passed(passes, 1)
    found = {key: _noise_of(passes, key, one, other) for key in one.values if key in other.values}
    _tell(passes, found, any(not np.array_equal(v, other.values[k]) for k, v in one.values.items()))
    return found


def _noise_of(passes: ProbePasses, key: Key, one: _Pass, other: _Pass) -> NoiseOf:
    size = _declared(passes, key)
    change = one.values[key] - other.values[key]
    if key in one.before:  # an added noise is known to be there
        moved = _moved(one.before[key], other.before[key], one.rounding[key])
        return NoiseOf(size, "values" if size else None, moved if size else True)
    if size is None or size == 0:
        return NoiseOf(random=_moved(one.values[key], other.values[key], one.rounding[key]))
    power = float(np.mean(change**2)) / (2 * size**2) if change.size else 0.0
    if power < _CONTAINED:
        moved = _moved(one.values[key], other.values[key], one.rounding[key])
        if (
            moved
            and passes.declared_noise(key[0]) is not None
            and _gaussian(passes, key[0]) is None
        ):
            raise InputError(
                f"layer {key[0]!r}: noise of {size:g} is declared, but two passes of a sample "
                f"differ as with noise of {size * math.sqrt(power):.2g}",
                hint="declare the standard deviation that the layer adds, or leave it out of "
                "--noise",
            )
        return NoiseOf(size, "none", moved)
    inside: NoiseIn = "all"
    return NoiseOf(size, inside, power > 1 + _CHANCE * math.sqrt(2 / change.size))


def _declared(passes: ProbePasses, key: Key) -> float | None:
    """Return the standard deviation of the noise of a layer, as it is stored."""
    name = key[0]
    said = passes.declared_noise(name)
    module = _gaussian(passes, name)
    own = None if module is None else module.sigma
    if said is not None and own is not None and said != own:
        raise InputError(
            f"layer {name!r} adds noise of {own:g}, but {said:g} is declared",
            hint="GaussianNoise declares its noise by itself: leave it out of --noise",
        )
    reduction = passes.reduction(key)
    if (None if reduction is None else reduction.kind) not in _KEPT:
        if said is not None:
            raise InputError(
                f"layer {name!r}: noise is declared of its units, but {reduction} mixes them",
                hint=f"keep its units: --reduce '{name}=flatten' (or last, tokens:K)",
            )
        return None
    return own if said is None else said


def _gaussian(passes: ProbePasses, name: str) -> GaussianNoise | None:
    layer = passes.layers.get(name)
    found = None if layer is None else layer.module
    return found if isinstance(found, GaussianNoise) else None


def _moved(one: FloatArray, other: FloatArray, rounding: float) -> bool:
    """Tell whether values differ by more than rounding."""
    if np.array_equal(one, other, equal_nan=True):
        return False
    scale = float(np.max(np.abs(one), where=np.isfinite(one), initial=0.0))
    return not np.allclose(one, other, rtol=0.0, atol=rounding * scale, equal_nan=True)


def _passed(passes: ProbePasses, number: int) -> _Pass:
    """Make a pass of some samples, in batches of the size that is used."""
    values: dict[Key, list[FloatArray]] = defaultdict(list)
    before: dict[Key, list[FloatArray]] = defaultdict(list)
    rounding: dict[Key, float] = {}
    batch: Batch

    def kept(key: Key, tensor: torch.Tensor) -> FloatArray:
        tensor = passes.reduced(key, passes.by_sample(key[0], tensor, len(batch)), batch)
        found = to_array(tensor, key[0]).astype(np.float64)
        found = found.reshape(len(found), -1)
        return found[:, :: max(1, found.shape[1] // _UNITS)][:, :_UNITS].copy()

    def receive(name: str, call: int, address: Address, tensor: torch.Tensor) -> None:
        key = name, call
        values[key].append(kept(key, tensor))
        real = tensor.is_floating_point() or tensor.is_complex()
        rounding[key] = math.sqrt(torch.finfo(tensor.dtype).eps) if real else 0.0
        if name in given and passes.at == "output":
            before[key].append(kept(key, given[name]))

    with (
        evaluation_mode(passes.model) as state,
        before_noise(passes.layers) as given,
        passes.captured(receive, lambda error: None) as next_pass,
    ):
        torch.manual_seed(number)
        np.random.seed(number)  # noqa: NPY002  - that of the model
        random.seed(number)
        passes.noise.draws.number = number
        try:
            for rows in itertools.islice(passes.batches(), -(-_ROWS // passes.batch_size)):
                batch = passes.batch(slice(rows.start, min(rows.stop, rows.start + _ROWS)))
                next_pass()
                passes.forward(batch)
                state.put_back()
        finally:
            passes.noise.draws.number = 0
    return _Pass(
        {key: np.concatenate(parts) for key, parts in values.items()},
        {key: np.concatenate(parts) for key, parts in before.items()},
        rounding,
    )


def _tell(passes: ProbePasses, found: Mapping[Key, NoiseOf], differ: bool) -> None:
    noise = passes.noise
    if noise.draws.shared:
        log.warning(
            "no axis of the samples where %s draws: all samples of a pass share those numbers",
            ", ".join(list(noise.draws.shared)[:4]),
        )
    if noise.passes > 1 and not differ:
        log.warning(
            "the passes are all the same: nothing that is recorded is random%s; "
            "leave --passes out%s",
            "" if noise.keep else " in evaluation mode",
            "" if noise.keep else ", or leave dropout and GaussianNoise on with --keep-dropout",
        )
    if noise.keep and not differ and noise.passes == 1:
        log.warning("--keep-dropout changes nothing: no layer that is recorded draws in training")
    beyond = list(dict.fromkeys(key[0] for key, one in found.items() if one.random))
    if beyond and noise.passes == 1:
        more = f" and {len(beyond) - 3} more" if beyond[3:] else ""
        log.warning(
            "%s%s: values change from pass to pass by more than the noise that is declared; of one "
            "pass, I(X;T) takes that for information and is flagged upper_bound: declare Gaussian "
            "noise with --noise, or record several passes with --passes",
            ", ".join(beyond[:3]),
            more,
        )
    off = list(dict.fromkeys(key[0] for key, one in found.items() if one.inside == "none"))
    if off:
        log.warning(
            "%s: noise is declared, but nothing is added%s, so the recorded values are "
            "without it%s",
            ", ".join(off[:3]),
            "" if noise.keep else " in evaluation mode",
            "" if noise.keep else "; --keep-dropout leaves it on",
        )


def _choose_modules(passes: ProbePasses) -> None:
    """Let all modules be as in training if nothing but what they draw differs then.

    Functional dropout heeds ``self.training`` of the module that calls it. Where something else
    differs too, only the modules of dropout are as in training.
    """
    noise = passes.noise
    noise.silent = True
    try:
        noise.everywhere = False
        alone = _silent_trial(passes)
        noise.everywhere = True
        noise.everywhere = not alone.unlike(_silent_trial(passes))
    except DataError as error:
        log.debug("not as in training: %s", error)
        noise.everywhere = False
    finally:
        noise.silent = False
    if not noise.everywhere:
        log.warning(
            "the model does more in training than to draw: only dropout modules, GaussianNoise and "
            "the dropout that it calls in evaluation mode are kept"
        )


def _silent_trial(passes: ProbePasses) -> Trial:
    batch = passes.batch(slice(0, min(_FEW, passes.probe.n_samples)))
    trial = Trial(batch.rows)

    def receive(name: str, call: int, address: Address, tensor: torch.Tensor) -> None:
        trial.add((name, call), passes.by_sample(name, tensor, len(batch)))

    with (
        evaluation_mode(passes.model, thorough=True),
        passes.captured(receive, lambda error: None),
    ):
        passes.forward(batch)
    return trial
