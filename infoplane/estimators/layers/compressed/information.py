"""Information of wide layers through a low-dimensional code, with a bound on what it lost."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from infoplane.data import Array, checked_activations, class_ids, whole_number
from infoplane.errors import InputError
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.compressed.codes import LARGE_LOSS, CellOptions, Code
from infoplane.estimators.layers.compressed.noise_estimates import noise_estimates
from infoplane.estimators.layers.compressed.two_views import view_estimates
from infoplane.estimators.layers.compressed.view_codes import (
    compressed_inputs,
    layer_code,
    learned_code,
    view_dim,
)
from infoplane.numerics.loss_bounds import activation_loss_bound, capacity, input_loss_bound
from infoplane.numerics.neighbors.noise_channel import (
    SMALLEST_SAMPLE,
    may_contain_noise,
    noise_information,
)
from infoplane.numerics.projection import PrincipalBasis, principal_basis, row_chunks
from infoplane.numerics.tensors import Tensor, checked_squares, double
from infoplane.seeding import generator

MODES = ("auto", "noise", "joint", "ksg")
RELATIVE_NOISE = 0.1  # standard deviation of added noise, as a share of the root mean square
KEPT_COMPONENTS = 64  # directions whose covariance enters the loss bound in full
LARGEST_DIM = 10
_CANDIDATES = (1, 2, 3, 4, 6, 8, 10)
_TRIAL_SAMPLES = 1000


@dataclass(frozen=True)
class CompressedInformation:
    """What a layer tells about input and label, and what to know of the compression.

    Parameters
    ----------
    ixt, ity, ixt_given_y : Estimate
        I(X;T), I(T;Y) and I(X;T|Y) of the code in bits; None without labels.
    dim : int
        Dimension of the code.
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
        What else was measured, by name.
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
) -> CompressedInformation:
    """Estimate I(X;T), I(T;Y) and I(X;T|Y) of a layer through a low-dimensional code.

    Parameters
    ----------
    activations : array (n_samples, n_units)
        The layer.
    labels : array (n_samples,), optional
        Class ids; needed for I(T;Y) and I(X;T|Y).
    inputs : array (n_samples, ...), optional
        The inputs, or a second view; needed by the modes "joint" and "ksg".
    mode : {"auto", "noise", "joint", "ksg"}
        ``noise`` estimates I(X;T) of the layer with Gaussian noise, from the layer alone. ``joint``
        takes the shuffle difference of the codes of layer and inputs, ``ksg`` counts neighbours.
        ``auto`` is ``noise``.
    noise : float, optional
        Standard deviation of the noise of each unit. Unless given, noise of 0.1 root mean square
        of the activations is added.
    dim : int or "auto"
        Dimension of the code. ``auto`` takes the smallest one whose loss bound is below a tenth of
        the estimate, within what the number of samples allows; in the modes "joint" and "ksg" that
        of the surface that the layer lies on.
    basis : PrincipalBasis, array (n_units, n_components) or "autoencoder", optional
        Orthonormal directions to project on; the principal ones unless given. In the modes "joint"
        and "ksg", without ``noise``, an autoencoder takes their place where they leave out more
        than 5 % of the variance of a layer that lies on a surface of few dimensions, which they
        would fold; "autoencoder" asks for one in any case. The first call on two views of 5000
        samples that both need one takes up to 1.5 minutes of one core; encoders are kept.
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

    Returns
    -------
    CompressedInformation
        In bits.

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
    """
    layer = checked_squares(checked_activations(activations), "activations")
    n = len(layer)
    classes = None if labels is None else class_ids(labels)
    given = None if inputs is None else np.asarray(inputs)
    for name, other in (("labels", classes), ("inputs", given)):
        if other is not None and other.shape[:1] != (n,):
            count = len(other) if other.ndim else "a single value"
            raise InputError(f"expected {name} of the {n} samples, got {count}")
    check_options(mode, noise, dim, k, folds, draws)
    if isinstance(noise, str):
        raise InputError(f"expected noise as a number, got {noise!r}, which is for cells of a run")
    noise = None if noise is None else float(noise)
    seed = whole_number(seed, "seed", 0)
    if isinstance(basis, str) and basis != "autoencoder":
        raise InputError(f"expected a basis as an array or 'autoencoder', got {basis!r}")
    # Not default_rng(seed): callers draw their data from it, and noise must be independent of them.
    rng = generator(seed, "compressed_information")
    options = CellOptions(None if k is None else int(k), folds, draws, cross_check=True)
    if mode in ("joint", "ksg"):
        if given is None:
            raise InputError(f"expected inputs for the mode {mode!r}, got none")
        code, compressor = _view_code(layer, basis, dim, noise, seed, rng)
        input_code = compressed_inputs(given, seed)
        found = view_estimates(code, input_code, mode, classes, options, rng)
        extra: dict[str, Any] = {"encoder": input_code.encoder, "basis": compressor}
        if noise is not None and not isinstance(basis, str):
            extra["loss_bound_t"] = _loss(code, code.dim, noise, True)
            extra["loss_bound_x"] = input_loss_bound(code.clean, input_code.values, noise)
            extra["capacity"] = capacity(code.clean, noise)
            found["ixt"] = _within_bounds(found["ixt"], extra)
        return _gathered(found, found["ixt"].diagnostics.get("dim", code.dim), noise, extra)
    if isinstance(basis, str):
        raise InputError(f"expected the mode joint or ksg with basis='{basis}', got {mode!r}")
    directions = _resolved_basis(basis, layer, rng)
    scores, residual = directions.project(layer)
    size = noise if noise is not None else RELATIVE_NOISE * root_mean_square(layer)
    whole = Code(scores, 1, layer.shape[1], residual)
    if size == 0.0:
        size = 1.0  # all activations are 0: the layer is constant at any noise
    contained = noise is not None and holds_noise([whole], size, noisy)
    if dim == "auto":
        chosen = choose_dim([whole], size, n, contained)
    else:
        chosen = min(int(dim), scores.shape[1])
    code = replace(whole, dim=chosen)
    found = noise_estimates(code, size, classes, options, rng, noisy=contained)
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
    if ixt.bits > bounds["capacity"] + 3.0 * (ixt.diagnostics.get("se") or 0.0):
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
        if noise != "relative":
            raise InputError(f"expected noise as a number or 'relative', got {noise!r}")
        if mode in ("joint", "ksg"):
            raise InputError(f"expected mode=noise with noise='relative', got mode={mode!r}")
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


def root_mean_square(activations: Tensor) -> float:
    """Return the root mean square over samples and units, read in chunks."""
    total = sum(float((double(chunk) ** 2).sum()) for chunk in row_chunks(activations))
    return math.sqrt(total / math.prod(activations.shape))


def largest_dim(n: int, n_components: int) -> int:
    """Return the largest dimension that ``n`` samples support: n >= 200 * 2^(q/2), at most 10."""
    supported = int(2.0 * math.log2(max(n, 1) / 200.0)) if n > 200 else 1
    return max(1, min(LARGEST_DIM, supported, n_components))


def holds_noise(codes: list[Code], noise: float, noisy: bool | None = None) -> bool:
    """Return whether a layer contains the noise at every checkpoint, by its data unless ``noisy``.

    Too few samples for an estimate do not tell.
    """
    if noisy is not None:
        return noisy
    return all(
        len(code.scores) >= SMALLEST_SAMPLE and may_contain_noise(code.scores, noise)
        for code in codes
    )


def choose_dim(codes: list[Code], noise: float, n: int, contained: bool = False) -> int:
    """Return the smallest dimension that loses at most a tenth of I(X;T) at every checkpoint.

    Parameters
    ----------
    codes : list of Code
        The layer at a few checkpoints, on one basis; their ``dim`` does not matter.
    noise : float
        Standard deviation of the noise of each unit.
    n : int
        Samples that the estimates will have; the codes may hold fewer.
    contained : bool, default False
        Whether the codes contain the noise already.
    """
    trial, components = codes[0].scores.shape
    cap = largest_dim(n, components)
    varied = [code for code in codes if code.variance > 0.0]
    if trial < SMALLEST_SAMPLE:
        return cap
    for dim in _CANDIDATES:
        if dim >= cap:
            break
        if all(
            _loss(code, dim, noise, contained) <= 0.1 * _trial(code, dim, noise, contained)
            for code in varied
        ):
            return dim
    return cap


def stability(
    codes: list[Code], dim: int, noise: float, contained: bool = False
) -> dict[str, list[float]]:
    """Return trial estimates of I(X;T_c) in bits at half, the chosen and twice the dimension.

    Keys are the dimensions, values one estimate per code, each from at most 1000 samples.
    """
    n, components = codes[0].scores.shape
    if n < SMALLEST_SAMPLE:
        return {}
    dims = sorted({max(1, dim // 2), dim, min(2 * dim, components)})
    varied = [code for code in codes if code.variance > 0.0]
    return {str(d): [_trial(code, d, noise, contained) for code in varied] for d in dims}


def basis_hash(basis: PrincipalBasis) -> str:
    """Return 16 hexadecimal digits that name a basis."""
    digest = hashlib.sha256(np.ascontiguousarray(basis.mean).tobytes())
    digest.update(np.ascontiguousarray(basis.components).tobytes())
    return digest.hexdigest()[:16]


def _loss(code: Code, dim: int, noise: float, contained: bool) -> float:
    return activation_loss_bound(
        code.scores,
        dim,
        noise,
        n_units=code.n_units,
        residual_variance=code.residual_variance,
        contained=contained,
    )


def _trial(code: Code, dim: int, noise: float, contained: bool) -> float:
    """Return I(X;T_c) at one dimension from a part of the samples."""
    some = code.scores[:: max(1, len(code.scores) // _TRIAL_SAMPLES), :dim]
    if contained:
        return noise_information(some, noise).bits
    draw = generator(0, "trial dimension").standard_normal(some.shape)
    return noise_information(some + noise * draw, noise, clean=some).bits


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
