"""Information of a layer with Gaussian noise, or through a low-dimensional code."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from infoplane.data import Array, IntArray, checked_activations, class_ids, whole_number
from infoplane.errors import InputError
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.compressed.bracket_estimates import (
    BracketOptions,
    Noise,
    bracket_cell,
    resolution,
)
from infoplane.estimators.layers.compressed.estimates import CellOptions
from infoplane.estimators.layers.compressed.label_estimates import FEW
from infoplane.estimators.layers.compressed.noise_estimates import noise_estimates
from infoplane.estimators.layers.compressed.probe_check import with_probe
from infoplane.estimators.layers.compressed.two_views import view_estimates
from infoplane.estimators.trust import LARGE_LOSS, WIDE_BRACKET
from infoplane.numerics.codes import (
    KEPT_COMPONENTS,
    Code,
    choose_dim,
    holds_noise,
    loss_bound,
    root_mean_square,
    stability,
)
from infoplane.numerics.intervals import CHANCE
from infoplane.numerics.loss_bounds import capacity, input_loss_bound
from infoplane.numerics.networks.view_codes import (
    compressed_inputs,
    layer_code,
    learned_code,
    view_dim,
)
from infoplane.numerics.projection import PrincipalBasis, principal_basis
from infoplane.numerics.tensors import checked_squares
from infoplane.seeding import generator

MODES = ("auto", "bracket", "neighbors", "noise", "joint", "ksg")
_OF_NO_CODE = ("auto", "pooled")  # options of codes at their defaults
RELATIVE_NOISE = 0.1  # standard deviation of added noise, as a share of the root mean square


@dataclass(frozen=True)
class CompressedInformation:
    """What a layer tells about input and label, and what to know of the compression.

    Parameters
    ----------
    ixt, ity, ixt_given_y : Estimate
        I(X;T), I(T;Y) and I(X;T|Y) in bits; without labels the last two are None.
    dim : int
        Dimension of the code, or of what the distances were taken in.
    noise : float or None
        Standard deviation of the noise of each unit; None without noise.
    loss_bound_t : float or None
        The compression of the layer lost at most so many bits of I(X;T).
    loss_bound_x : float or None
        The compression of the inputs lost at most so many bits: what a regression of the layer's
        code on theirs leaves, beyond the noise. 0 in the mode noise, which compresses no inputs.
    capacity : float or None
        The largest I(X;T) that the variance and the noise of the code allow, in bits.
    diagnostics : mapping
        What else was measured, by name; ``mode`` says how.
    lower, upper : float or None
        The two-sided bracket of I(X;T) in bits, in the mode "bracket". Both are the value where
        all inputs were recorded.
    """

    ixt: Estimate
    ity: Estimate | None
    ixt_given_y: Estimate | None
    dim: int
    noise: float | None
    loss_bound_t: float | None
    loss_bound_x: float | None
    capacity: float | None
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    lower: float | None = None
    upper: float | None = None


def compressed_information(
    activations: Array,
    labels: Array | None = None,
    inputs: Array | None = None,
    *,
    mode: str = "auto",
    noise: float | None = None,
    dim: int | str = "auto",
    basis: PrincipalBasis | Array | Literal["autoencoder"] | None = None,
    k: int | None = None,
    folds: int = 10,
    seed: int = 0,
    noisy: bool | None = None,
    draws: int = 1,
    c: float | None = None,
    population: str = "sampled",
) -> CompressedInformation:
    """Estimate I(X;T), I(T;Y) and I(X;T|Y) of a layer with Gaussian noise.

    Parameters
    ----------
    activations : array (n_samples, n_units)
        The layer.
    labels : array (n_samples,), optional
        Class ids; needed for I(T;Y) and I(X;T|Y).
    inputs : array (n_samples, ...), optional
        The inputs, or a second view; needed by the modes "joint" and "ksg". The other modes take
        the layer for a function of its input and do not look at them, which is flagged.
    mode : {"auto", "bracket", "neighbors", "joint", "ksg"}
        ``bracket`` gives two bounds of I(X;T) of the layer with Gaussian noise, from the layer
        alone, ``neighbors`` a value from distances to neighbours in a code of few dimensions.
        ``joint`` takes the shuffle difference of the codes of layer and inputs, ``ksg`` counts
        neighbours. ``auto`` is ``joint`` if there are inputs; else ``bracket``, but ``neighbors``
        if ``dim``, ``basis`` or ``k`` is given or the layer contains its noise.
        ``diagnostics["mode"]`` says which. For a layer of at most 3 dimensions whose bounds at a
        given ``noise`` are far apart, ``auto`` gives the value of ``neighbors`` where that lies
        between them. ``noise`` is an older name of ``neighbors``.
    noise : float, optional
        Standard deviation of the noise of each unit. Unless given, it is ``c`` times the median
        distance between samples; in the mode ``neighbors`` 0.1 root mean square of the
        activations.
    dim : int or "auto"
        Dimension of the code. ``auto`` takes the smallest one whose loss bound is below a tenth of
        the estimate, within what the number of samples allows; in the modes "joint" and "ksg" that
        of the surface that the layer lies on. The mode ``bracket`` takes as many as lose less than
        0.05 bits, or all.
    basis : PrincipalBasis, array (n_units, n_components) or "autoencoder", optional
        Orthonormal directions to project on; the principal ones unless given. In the modes "joint"
        and "ksg", without ``noise``, an autoencoder takes their place where they leave out more
        than 5 % of the variance of a layer that lies on a surface of few dimensions, which they
        would fold; "autoencoder" asks for one in any case. The first call on two views of 5000
        samples that both need one takes up to 1.5 minutes of one core; the process remembers
        them.
    k : int, optional
        Neighbours; by default 20, or 40 from 8 dimensions on.
    folds : int, default 10
        Disjoint folds of the interval.
    seed : int, default 0
        Of noise, folds and permutations.
    noisy : bool, optional
        Whether the activations contain a given ``noise`` already. Unless said, they do if their
        variance and density allow it; otherwise it is added.
    draws : int, default 1
        Draws of the added noise to average over. More reduce the part of the variance that is the
        noise's own, which is large where the noise is.
    c : float, optional
        Noise in median distances, of the mode "bracket". By default 0.25 from 2000 samples on, 0.3
        from 1000, 0.35 from 250, 0.4 below.
    population : {"sampled", "recorded"}
        Whether the samples are drawn from more inputs, or all there are; the lower bound is then
        I(X;T) itself, and ``lower`` and ``upper`` are that value.

    Returns
    -------
    CompressedInformation
        In bits. I(T;Y) is that of the layer with noise. If a held-out probe reads more from the
        layer without it, ``ity`` is flagged ``below_probe``, and ``ity.diagnostics["probe"]`` says
        how much; `probe_information` finds it.

    Raises
    ------
    InputError
        If arrays are not finite, differ in length, or a parameter is out of range.
    EstimationError
        In the modes "joint" and "ksg", if the codes are degenerate.

    References
    ----------
    Butakov et al., "Information bottleneck analysis of deep neural networks via lossy
    compression", ICLR 2024; noise after Goldfeld et al., ICML 2019.

    Examples
    --------
    A layer that is one of two classes, far apart next to the noise: one bit, that of the label.

    >>> import numpy as np
    >>> labels = np.arange(1000) % 2
    >>> layer = np.column_stack([labels, 1.0 - labels])
    >>> found = compressed_information(layer, labels, noise=0.05)
    >>> round(found.ixt.bits, 1), round(found.ity.bits, 1)
    (1.0, 1.0)
    """
    layer = checked_squares(checked_activations(activations), "activations")
    classes = None if labels is None else class_ids(labels)
    given = None if inputs is None else np.asarray(inputs)
    _check_lengths(len(layer), labels=classes, inputs=given)
    check_options(mode, noise, dim, k, folds, draws)
    if c is not None and not (isinstance(c, (int, float)) and math.isfinite(c) and c > 0.0):
        raise InputError(f"expected c above 0, got {c!r:.80}")
    if population not in ("sampled", "recorded"):
        raise InputError(f"expected population 'sampled' or 'recorded', got {population!r}")
    if isinstance(noise, str):
        raise InputError(f"expected noise as a number, got {noise!r}, which is for cells of a run")
    noise = None if noise is None else float(noise)
    seed = whole_number(seed, "seed", 0)
    if isinstance(basis, str) and basis != "autoencoder":
        raise InputError(f"expected a basis as an array or 'autoencoder', got {basis!r}")
    # Not default_rng(seed): callers draw their data from it, and noise must be independent of them.
    rng = generator(seed, "compressed_information")
    options = CellOptions(
        None if k is None else int(k), folds, draws, cross_check=True, population=population
    )
    meant = mode_of(mode, options_of_codes(dim=dim, k=k, basis=basis))
    if mode == "auto" and given is not None:
        meant = "joint"
    check_relative(c, noise, meant)
    if c is not None and noisy:
        raise InputError("expected c or noisy=True, got both: c is for noise that is added")
    if meant in ("joint", "ksg"):
        if given is None:
            raise InputError(f"expected inputs for the mode {mode!r}, got none")
        return _of_views(layer, given, classes, meant, noise, dim, basis, options, seed, rng)
    if isinstance(basis, str):
        raise InputError(f"expected the mode joint or ksg with basis='{basis}', got {mode!r}")
    if meant == "bracket" and (mode == "bracket" or not _contains(layer, noise, noisy, rng)):
        found = _bracketed(layer, classes, noise, c, options, rng, finer=mode == "auto")
    else:
        found = _with_noise(layer, classes, noise, dim, basis, options, rng, noisy)
    if found.ity is not None and classes is not None:
        found = replace(found, ity=with_probe(found.ity, layer, classes, rng))
    return found if given is None else _without_inputs(found)


def _check_lengths(n: int, **others: Array | None) -> None:
    for name, other in others.items():
        if other is not None and other.shape[:1] != (n,):
            count = len(other) if other.ndim else "a single value"
            raise InputError(f"expected {name} of the {n} samples, got {count}")


def _of_views(
    layer: Array,
    inputs: Array,
    labels: IntArray | None,
    mode: str,
    noise: float | None,
    dim: int | str,
    basis: PrincipalBasis | Array | str | None,
    options: CellOptions,
    seed: int,
    rng: np.random.Generator,
) -> CompressedInformation:
    """Return the information between the codes of layer and inputs."""
    code, compressor = _view_code(layer, basis, dim, noise, seed, rng)
    input_code = compressed_inputs(inputs, seed)
    found = view_estimates(code, input_code, mode, labels, options, rng)
    extra: dict[str, Any] = {"encoder": input_code.encoder, "basis": compressor}
    if noise is not None and not isinstance(basis, str):
        extra["loss_bound_t"] = loss_bound(code, code.dim, noise, True)
        extra["loss_bound_x"] = input_loss_bound(code.clean, input_code.values, noise)
        extra["capacity"] = capacity(code.clean, noise)
        found["ixt"] = _within_bounds(found["ixt"], extra)
    return _gathered(found, found["ixt"].diagnostics.get("dim", code.dim), noise, extra)


def _contains(
    layer: Array, noise: float | None, noisy: bool | None, rng: np.random.Generator
) -> bool:
    """Tell whether a layer contains the noise, by its data unless ``noisy``."""
    if noisy is not None or noise is None:
        return bool(noisy)
    scores, residual = _resolved_basis(None, layer, rng).project(layer)
    return holds_noise([Code(scores, 1, layer.shape[1], residual)], noise)


def _bracketed(
    layer: Array,
    labels: IntArray | None,
    noise: float | None,
    c: float | None,
    options: CellOptions,
    rng: np.random.Generator,
    *,
    finer: bool,
) -> CompressedInformation:
    """Return the information of the layer with added noise, between two bounds."""
    whole = options.population == "recorded"
    size = Noise(resolution(len(layer)) if c is None else c, relative=True)
    cell = bracket_cell(
        layer,
        labels,
        [size if noise is None else Noise(noise, relative=False)],
        BracketOptions(whole, options.draws),
        rng,
    )
    if isinstance(cell, dict):
        return _gathered(cell, layer.shape[1], noise, {"mode": "bracket"})
    (at,) = cell.by_noise
    found = cell.estimates(at)
    ixt = found["ixt"]
    lower, upper = (ixt.bits, ixt.bits) if whole else (ixt.bound_low, ixt.bound_high)
    told = found["ixt"].diagnostics
    few = layer.shape[1] <= FEW and not whole
    if finer and few and noise is not None and told["gap"] > WIDE_BRACKET:
        found = _finer(found, layer, noise, labels, options, rng)
    return replace(_gathered(found, told["dim"], told["noise"], {}), lower=lower, upper=upper)


def _finer(
    bounded: dict[str, Estimate],
    layer: Array,
    noise: float,
    labels: IntArray | None,
    options: CellOptions,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Return estimates by neighbours if they lie between the bounds, else those that there are."""
    centred = layer - layer.mean(axis=0, dtype=np.float64)
    code = Code(centred, layer.shape[1], layer.shape[1], 0.0)
    found = noise_estimates(code, noise, labels, options, rng, noisy=False)
    bits, low, high = found["ixt"].bits, bounded["ixt"].bound_low, bounded["ixt"].bound_high
    if bits is None or low is None or high is None:
        return bounded
    slack = CHANCE * (found["ixt"].diagnostics.get("se") or 0.0)
    return found if low - slack <= bits <= high + slack else bounded


def _without_inputs(found: CompressedInformation) -> CompressedInformation:
    """Return what was found, flagged: the inputs that were given have no part in it."""
    if found.ixt.bits is None or "constant" in found.ixt.flags:
        return found
    flags = (*found.ixt.flags, "inputs_unused")
    return replace(found, ixt=replace(found.ixt, flags=flags))


def _with_noise(
    layer: Array,
    labels: IntArray | None,
    noise: float | None,
    dim: int | str,
    basis: PrincipalBasis | Array | None,
    options: CellOptions,
    rng: np.random.Generator,
    noisy: bool | None,
) -> CompressedInformation:
    """Return the information of the layer with Gaussian noise."""
    directions = _resolved_basis(basis, layer, rng)
    scores, residual = directions.project(layer)
    size = noise if noise is not None else RELATIVE_NOISE * root_mean_square(layer)
    whole = Code(scores, 1, layer.shape[1], residual)
    if size == 0.0:
        size = 1.0  # all activations are 0: the layer is constant at any noise
    contained = noise is not None and holds_noise([whole], size, noisy)
    if dim == "auto":
        chosen = choose_dim([whole], size, len(layer), contained, share=LARGE_LOSS)
    else:
        chosen = min(int(dim), scores.shape[1])
    code = replace(whole, dim=chosen)
    found = noise_estimates(code, size, labels, options, rng, noisy=contained)
    tried = stability([whole], chosen, size, contained)
    extra = {"basis": basis_hash(directions), "stability": tried}
    return _gathered(found, chosen, size, extra)


def _within_bounds(ixt: Estimate, bounds: Mapping[str, Any]) -> Estimate:
    """Return an estimate, flagged where the declared noise speaks against it."""
    if ixt.bits is None:
        return ixt
    flags = list(ixt.flags)
    if max(bounds["loss_bound_t"], bounds["loss_bound_x"]) > LARGE_LOSS * max(ixt.bits, 0.0):
        flags.append("large_compression_loss")
    if ixt.bits > bounds["capacity"] + CHANCE * (ixt.diagnostics.get("se") or 0.0):
        flags.append("out_of_range")
    return replace(ixt, flags=tuple(dict.fromkeys(flags)))


def _gathered(
    found: Mapping[str, Estimate], dim: int, noise: float | None, extra: Mapping[str, Any]
) -> CompressedInformation:
    diagnostics = {**found["ixt"].diagnostics, **extra}
    return CompressedInformation(
        ixt=found["ixt"],
        ity=found.get("ity"),
        ixt_given_y=found.get("ixt_given_y"),
        dim=dim,
        noise=noise,
        loss_bound_t=diagnostics.get("loss_bound_t"),
        loss_bound_x=diagnostics.get("loss_bound_x"),
        capacity=diagnostics.get("capacity"),
        diagnostics=diagnostics,
    )


def mode_of(mode: str, of_codes: Sequence[str] = ()) -> str:
    """Return the mode that is meant: what ``auto`` is, and today's name of ``noise``.

    Parameters
    ----------
    mode : str
        As it was given.
    of_codes : sequence of str
        The options that were given and say something about codes, as "dim=2".

    Raises
    ------
    InputError
        If there are some with the mode "bracket", which has no code.
    """
    if mode == "auto":
        return "neighbors" if of_codes else "bracket"
    if mode == "bracket" and of_codes:
        raise InputError(
            f"expected {', '.join(of_codes)} with mode=neighbors, got mode=bracket: a bracket is "
            "of the whole layer"
        )
    return "neighbors" if mode == "noise" else mode


def options_of_codes(**options: object) -> list[str]:
    """Return those options of codes that were given, as "dim=2"; "basis" for an array."""
    return [
        f"{name}={value}" if isinstance(value, int | str) else name
        for name, value in options.items()
        if value is not None
        and value is not False
        and not (isinstance(value, str) and value in _OF_NO_CODE)
    ]


def check_relative(c: object, noise: float | str | None, mode: str) -> None:
    """Check that noise in median distances is asked for where there is some.

    Raises
    ------
    InputError
        If ``c`` is given beside a number for noise, or in another mode than "bracket".
    """
    absolute = noise is not None and not isinstance(noise, str)
    if c is not None and (absolute or mode != "bracket"):
        other = f"noise={noise}" if absolute else f"mode={mode}"
        raise InputError(f"expected c or {other}, got both: c is for relative noise")


def check_options(
    mode: str, noise: float | str | None, dim: int | str, k: int | None, folds: int, draws: int
) -> None:
    """Check what function and estimator share.

    Raises
    ------
    InputError
        If a value is out of range.
    """
    if mode not in MODES:
        raise InputError(f"expected mode {', '.join(MODES)}, got {mode!r}")
    if isinstance(noise, str):
        if noise not in ("relative", "fixed"):
            raise InputError(f"expected noise as a number, 'relative' or 'fixed', got {noise!r}")
        if mode in ("joint", "ksg"):
            raise InputError(f"expected mode=bracket with noise={noise!r}, got mode={mode!r}")
    elif noise is not None:
        if isinstance(noise, bool) or not isinstance(noise, (int, float, np.number)):
            raise InputError(f"expected noise as a number, got {noise!r:.80}")
        if not (math.isfinite(noise) and noise > 0.0):
            raise InputError(f"expected noise above 0, got {noise}")
        checked_squares(np.array([float(noise)]), "noise")
    if isinstance(dim, str):
        if dim != "auto":
            raise InputError(f"expected dim as a whole number or 'auto', got {dim!r}")
    else:
        whole_number(dim, "dim", 1)
    if k is not None:
        # The intrinsic dimension of a noisy code is known from its neighbours as well.
        whole_number(k, "k", 1 if mode in ("joint", "ksg") else 3)
    whole_number(folds, "folds", 3)
    whole_number(draws, "draws", 1)


def basis_hash(basis: PrincipalBasis) -> str:
    """Return 16 hexadecimal digits that name a basis."""
    digest = hashlib.sha256(np.ascontiguousarray(basis.mean).tobytes())
    digest.update(np.ascontiguousarray(basis.components).tobytes())
    return digest.hexdigest()[:16]


def _view_code(
    layer: Array,
    basis: PrincipalBasis | Array | str | None,
    dim: int | str,
    noise: float | None,
    seed: int,
    rng: np.random.Generator,
) -> tuple[Code, str | None]:
    """Return the code of a layer that is compared with inputs, and the name of its compressor."""
    given = None if dim == "auto" else int(dim)
    if isinstance(basis, str):
        return learned_code(layer, seed, given)
    directions = _resolved_basis(basis, layer, rng)
    if basis is None and noise is None:
        code, encoder = layer_code(layer, directions, given, seed)
        return code, encoder or basis_hash(directions)
    scores, residual = directions.project(layer)
    chosen = min(given or view_dim(scores), scores.shape[1])
    return Code(scores, chosen, layer.shape[1], residual), basis_hash(directions)


def _resolved_basis(
    basis: PrincipalBasis | Array | None, layer: Array, rng: np.random.Generator
) -> PrincipalBasis:
    if basis is None:
        return principal_basis(layer, min(KEPT_COMPONENTS, *layer.shape), rng)
    if isinstance(basis, PrincipalBasis):
        return basis
    columns = np.asarray(basis)
    if columns.dtype.kind not in "fiub":
        raise InputError(f"expected a basis of real numbers, got dtype {columns.dtype}")
    columns = columns.astype(np.float64)
    if columns.ndim != 2 or columns.shape[0] != layer.shape[1] or columns.size == 0:
        raise InputError(
            f"expected a basis of shape ({layer.shape[1]}, n_components), got {columns.shape}"
        )
    if not np.allclose(columns.T @ columns, np.eye(columns.shape[1]), atol=1e-6):
        raise InputError("expected a basis of orthonormal columns")
    mean = layer.mean(axis=0, dtype=np.float64)
    return PrincipalBasis(mean, columns, np.full(columns.shape[1], math.nan), math.nan)
