"""Entropy of the spectrum of a diffusion kernel: all eigenvalues, or stochastic quadrature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from infoplane.data import Array, FloatArray
from infoplane.errors import EstimationError

TORCH_FROM = 1000  # rows from which torch's LAPACK gains more than its import costs


@dataclass(frozen=True, eq=False)
class SpectralEntropies:
    """Entropies of one spectrum at several diffusion times.

    Attributes
    ----------
    bits : array (n_times,)
        Entropies.
    errors : array (n_times,)
        Numerical uncertainty in bits: probe standard error plus quadrature bias; 0 if exact.
    leading : tuple of float
        Largest eigenvalues, descending (of ``slq`` those that converged).
    trace : float
        Sum of all eigenvalues.
    n_above : int or None
        Eigenvalues above 0.01, if all are known.
    """

    bits: FloatArray
    errors: FloatArray
    leading: tuple[float, ...]
    trace: float
    n_above: int | None = None


def eigenvalues(matrix: Any, *, by_torch: bool | None = None) -> FloatArray:
    """Return all eigenvalues of a symmetric matrix (n, n), ascending, as float64.

    Parameters
    ----------
    matrix : array or torch.Tensor
        Symmetric; float32 or float64. Of an array only the lower triangle is read. A tensor is
        solved on its device.
    by_torch : bool, optional
        Whether torch's LAPACK solves arrays; None is from 1000 rows. Of many small matrices the
        caller knows better: importing torch takes as long as some hundred of them.

    Raises
    ------
    EstimationError
        If the solver does not converge.
    """
    if by_torch is None:
        by_torch = len(matrix) >= TORCH_FROM
    if isinstance(matrix, np.ndarray) and not by_torch:
        return _tridiagonal_eigenvalues(matrix)
    import torch

    tensor = torch.from_numpy(matrix) if isinstance(matrix, np.ndarray) else matrix
    try:
        # Column-major, as LAPACK wants it: the copy that torch makes need not transpose.
        values = torch.linalg.eigvalsh(tensor.mT, UPLO="U").cpu().numpy()
    except RuntimeError as error:
        raise _no_convergence(matrix) from error
    return np.asarray(values, dtype=np.float64)


def _tridiagonal_eigenvalues(matrix: Array) -> FloatArray:
    """Return the eigenvalues of a small matrix, an eighth faster than ``numpy.linalg.eigvalsh``.

    These are the steps of LAPACK's driver, with a block size for small matrices, on the triangle
    that is quicker.
    """
    from scipy.linalg import lapack

    prefix = "s" if matrix.dtype == np.float32 else "d"
    reduce, solve = getattr(lapack, prefix + "sytrd"), getattr(lapack, prefix + "sterf")
    if len(matrix) == 1:
        return np.asarray(matrix[0], dtype=np.float64)
    _, diagonal, off_diagonal, _, _ = reduce(matrix.T, lower=0, lwork=16 * len(matrix))
    values, failed = solve(diagonal, off_diagonal)
    if failed:
        raise _no_convergence(matrix)
    return np.asarray(values, dtype=np.float64)


def _no_convergence(matrix: Any) -> EstimationError:
    return EstimationError(
        f"expected eigenvalues of a matrix {tuple(matrix.shape)}, got no convergence"
    )


def spectral_entropy(spectrum: FloatArray, t: float = 1.0) -> float:
    """Return the Shannon entropy in bits of the shares of ``spectrum ** t``.

    Eigenvalues below 0 are rounding of a positive semi-definite matrix and count as 0.

    Parameters
    ----------
    spectrum : array (n,)
        Eigenvalues, the largest above 0.
    t : float
        Diffusion time, above 0.

    References
    ----------
    Liao et al., arXiv 2312.04823, definition IV.1.
    """
    powers = np.clip(spectrum, 0.0, None) ** t
    return float(scipy.special.entr(powers / powers.sum()).sum() / np.log(2)) + 0.0


def exact_entropies(
    kernel: Any, times: Sequence[float], *, by_torch: bool | None = None
) -> SpectralEntropies:
    """Return the entropies of a diffusion kernel (n, n) from all of its eigenvalues.

    Parameters
    ----------
    kernel : array or torch.Tensor (n, n)
        Symmetric, largest eigenvalue 1.
    times : sequence of float
        Diffusion times; one spectrum serves all.
    by_torch : bool, optional
        As for :func:`eigenvalues`.
    """
    spectrum = eigenvalues(kernel, by_torch=by_torch)
    return SpectralEntropies(
        bits=np.array([spectral_entropy(spectrum, t) for t in times]),
        errors=np.zeros(len(times)),
        leading=tuple(float(value) for value in spectrum[:-11:-1]),
        trace=float(spectrum.sum()),
        n_above=int((spectrum > 0.01).sum()),
    )


def stochastic_entropies(
    kernel: Any,
    top: Any,
    times: Sequence[float],
    *,
    seed: int = 0,
    n_probes: int = 24,
    n_steps: int = 20,
    n_leading: int = 24,
    tolerance: float = 0.003,
) -> SpectralEntropies:
    """Estimate the entropies of a diffusion kernel by stochastic Lanczos quadrature.

    Only what is not known is left to chance: the pair (1, ``top``) is split off, the trace over an
    approximate leading subspace is taken vector by vector, and random probes serve only the rest.
    Their quadratures of v'f(K)v are regressed on v'v, v'Kv and v'K²v, whose exact means are known
    traces. Half the Lanczos steps come for free and give the quadrature bias by extrapolation.

    Parameters
    ----------
    kernel : array or torch.Tensor (n, n)
        Symmetric positive semi-definite, largest eigenvalue 1.
    top : array or torch.Tensor (n,)
        Eigenvector to the eigenvalue 1, of any length.
    times : sequence of float
        Diffusion times; all come from one set of quadratures.
    seed : int
        Draws the probes.
    n_probes, n_steps, n_leading : int
        Random vectors, Lanczos steps, and dimension of the leading subspace.
    tolerance : float
        Standard error in bits at which to stop; up to 5 times ``n_probes`` are drawn to reach it.

    References
    ----------
    Ubaru, Chen, Saad: "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", 2017;
    Meyer, Musco, Musco, Woodruff: "Hutch++: Optimal stochastic trace estimation", 2021.
    """
    import torch

    matrix = torch.from_numpy(kernel) if isinstance(kernel, np.ndarray) else kernel
    place: dict[str, Any] = {"dtype": matrix.dtype, "device": matrix.device}
    draw = np.random.default_rng(seed)
    n = len(matrix)
    n_leading = min(n_leading, n // 4)

    top = torch.as_tensor(top).to(**place)
    first = (top / torch.linalg.vector_norm(top))[:, None]
    start = torch.as_tensor(draw.standard_normal((n, n_leading))).to(**place)
    basis, image, ritz = _leading_subspace(matrix, first, start)
    trace = float(matrix.diagonal().double().sum())
    square = float(torch.linalg.vector_norm(matrix, dim=1).double().square().sum())
    means = np.array(
        [
            n - 1 - n_leading,
            trace - 1 - float((basis.double() * image.double()).sum()),
            square - 1 - float(image.double().square().sum()),
        ]
    )

    known = {1.0: trace, 2.0: square}

    def at(t: float, steps: int) -> tuple[float, float]:
        return _entropy_of(norms, tridiagonal[:, :steps, :steps], n_leading, means, t, known.get(t))

    norms, tridiagonal = np.empty(0), np.empty((0, n_steps, n_steps))
    pending = basis
    while True:
        signs = torch.as_tensor(draw.choice([-1.0, 1.0], (n, n_probes))).to(**place)
        for part in (first, basis):
            signs -= part @ (part.T @ signs)
        block = torch.cat([pending, signs], dim=1)
        more = _lanczos(matrix, first, block, n_steps, n_short=pending.shape[1])
        pending = signs[:, :0]
        norms = np.concatenate([norms, more[0]])
        tridiagonal = np.concatenate([tridiagonal, more[1]])
        fine = [at(t, n_steps) for t in times]
        if max(error for _, error in fine) <= tolerance or len(norms) > 4 * n_probes + n_leading:
            break
    rounding = 20 * torch.finfo(matrix.dtype).eps * n**0.5
    bits, errors = [], []
    for t, (value, error) in zip(times, fine, strict=True):
        bias = (value - at(t, n_steps // 2)[0]) / 3
        bits.append(value + bias)
        errors.append(error + abs(bias) + rounding)
    return SpectralEntropies(np.array(bits), np.array(errors), (1.0, *ritz)[:10], trace)


def _leading_subspace(matrix: Any, first: Any, start: Any) -> tuple[Any, Any, list[float]]:
    """Return an orthonormal basis close to the leading eigenvectors but ``first``.

    Also its image under ``matrix``, and the Ritz values that are good to 2 %, descending.
    """
    import torch

    block = start
    for _ in range(4):
        block, _ = torch.linalg.qr(block - first @ (first.T @ block))
        block = matrix @ block
    block, _ = torch.linalg.qr(block - first @ (first.T @ block))
    image = matrix @ block
    values, rotation = torch.linalg.eigh((block.T @ image).double())
    rotation = rotation.to(block.dtype)
    block, image = block @ rotation, image @ rotation
    residual = torch.linalg.vector_norm(image - block * values.to(block.dtype), dim=0).double()
    good = residual <= 0.02 * values
    return block, image, sorted(values[good].cpu().tolist(), reverse=True)


def _lanczos(
    matrix: Any, basis: Any, block: Any, n_steps: int, *, n_short: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Run Lanczos from each column of ``block``, orthogonal to ``basis``.

    The first ``n_short`` columns, which are close to eigenvectors, take half the steps.

    Returns
    -------
    norms : array (n_probes,)
        Squared norms of the start vectors.
    tridiagonal : array (n_probes, n_steps, n_steps)
        Projections of the matrix, float64; zero where a Krylov space was exhausted.
    """
    import torch

    n, n_probes = block.shape
    length = torch.linalg.vector_norm(block, dim=0)
    tridiagonal = np.zeros((n_probes, n_steps, n_steps))
    previous = torch.empty((n_probes, n_steps, n), dtype=block.dtype, device=block.device)
    eps = torch.finfo(block.dtype).eps
    vector = block / length
    done = 0  # columns
    for step in range(n_steps):
        if step == n_steps // 2 and n_short and step:
            tridiagonal[:n_short, step - 1, step] = tridiagonal[:n_short, step, step - 1] = 0.0
            done, vector, previous = n_short, vector[:, n_short:], previous[n_short:]
        previous[:, step] = vector.T
        image = matrix @ vector
        image -= basis @ (basis.T @ image)
        diagonal = (vector * image).sum(0)
        tridiagonal[done:, step, step] = diagonal.double().cpu().numpy()
        if step + 1 == n_steps:
            break
        if step == 0:  # relative to what is left of the matrix, which may be tiny
            exhausted = 10 * eps * float(torch.linalg.vector_norm(image, dim=0).max()) + 1e-300
        rows = image.T.contiguous()[:, :, None]  # (n_probes, n, 1)
        so_far = previous[:, : step + 1]
        rows -= so_far.transpose(1, 2) @ (so_far @ rows)
        size = torch.linalg.vector_norm(rows, dim=1)  # (n_probes, 1)
        alive = size > exhausted
        vector = torch.where(alive, rows[:, :, 0] / size.clamp(min=exhausted), 0.0).T.contiguous()
        off = (size * alive)[:, 0].double().cpu().numpy()
        tridiagonal[done:, step, step + 1] = tridiagonal[done:, step + 1, step] = off
    return length.double().square().cpu().numpy(), tridiagonal


def _entropy_of(
    norms: FloatArray,
    tridiagonal: FloatArray,
    n_leading: int,
    means: FloatArray,
    t: float,
    total: float | None,
) -> tuple[float, float]:
    """Return entropy in bits and its standard error over probes.

    The first ``n_leading`` quadratures are added up, the others estimate a trace; ``total`` is
    the sum of λ^t if it is known.
    """
    nodes, vectors = np.linalg.eigh(tridiagonal)
    weights = norms[:, None] * vectors[:, 0, :] ** 2
    powers = np.clip(nodes, 0.0, 1.0) ** t
    sums = (weights * powers).sum(axis=1)
    logs = -(weights * scipy.special.entr(powers)).sum(axis=1) / np.log(2)  # of λ^t log2 λ^t
    squares = (tridiagonal[:, 0, :2] ** 2).sum(axis=1)
    controls = np.stack([norms, norms * tridiagonal[:, 0, 0], norms * squares], axis=1)
    probes = slice(n_leading, None)
    log_mean, log_residual, factor, freedom = _regressed(logs[probes], controls[probes], means)
    sum_mean, sum_residual, _, _ = _regressed(sums[probes], controls[probes], means)
    log_total = log_mean + float(logs[:n_leading].sum())
    if total is None:
        total = 1.0 + sum_mean + float(sums[:n_leading].sum())
        slope = 1 / (total * np.log(2)) + log_total / total**2
    else:
        slope = 0.0
    spread = slope * sum_residual - log_residual / total
    error = factor * float(np.sqrt((spread**2).sum() / freedom))
    return float(np.log2(total) - log_total / total), error


def _regressed(
    values: FloatArray, controls: FloatArray, means: FloatArray
) -> tuple[float, FloatArray, float, int]:
    """Return the mean of ``values`` at controls equal to their known means.

    Also the residuals, the factor from residual spread to standard error, and the degrees of
    freedom.
    """
    spread = controls.std(axis=0)
    used = spread > 1e-12 * np.abs(controls).max(axis=0)
    centred = (controls - means)[:, used] / spread[used]
    design = np.column_stack([np.ones(len(values)), centred])
    inverse = np.linalg.pinv(design, rcond=1e-6)
    coefficients = inverse @ values
    residual = values - design @ coefficients
    factor = float(np.linalg.norm(inverse[0]))
    return float(coefficients[0]), residual, factor, max(1, len(values) - design.shape[1])
