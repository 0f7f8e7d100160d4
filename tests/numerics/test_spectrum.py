"""Entropy of spectra, exact and by stochastic quadrature."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infoplane.numerics.diffusion.kernel import (
    BLOCK,
    diffusion_kernel,
    gaussian_kernel,
    unweighted_kernel,
)
from infoplane.numerics.diffusion.points import SMALL, point_cloud
from infoplane.numerics.diffusion.spectrum import (
    eigenvalues,
    exact_entropies,
    spectral_entropy,
    stochastic_entropies,
)

TIMES = (1.0, 2.0, 5.0)


def kernel_of(x, sigma, dtype="float64"):
    cloud = point_cloud(x)
    cloud.rescale(sigma)
    gaussian = gaussian_kernel(cloud, dtype)
    return diffusion_kernel(gaussian, "official", 0.5)[:2]


@pytest.mark.parametrize("n", [5, 300, 1001])
def test_eigenvalues_of_a_matrix_of_known_spectrum(n):
    spectrum = np.linspace(0, 1, n)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    matrix = (basis * spectrum) @ basis.T
    np.testing.assert_allclose(eigenvalues(matrix), spectrum, atol=1e-12)
    single = eigenvalues(matrix.astype(np.float32))
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, spectrum, atol=1e-5)
    np.testing.assert_allclose(eigenvalues(torch.from_numpy(matrix)), spectrum, atol=1e-12)


@pytest.mark.parametrize("n", [2, 300, 600, 1100])
@pytest.mark.parametrize("normalization", ["official", "rowstochastic"])
def test_the_lower_triangle_is_enough(n, normalization):
    x = np.random.default_rng(1).normal(size=(n, 3))
    weights = np.random.default_rng(2).integers(1, 4, n).astype(float)
    whole = gaussian_kernel(point_cloud(x))
    half = gaussian_kernel(point_cloud(x), lower=True)
    block = np.arange(n) // BLOCK if n > SMALL else np.zeros(n)
    half[block[:, None] < block] = np.nan
    expected, top, degree = diffusion_kernel(whole, normalization, 0.5, weights=weights)
    found, *also = diffusion_kernel(half, normalization, 0.5, weights=weights, lower=True)
    np.testing.assert_allclose(also[0], top, rtol=1e-12)
    assert also[1] == pytest.approx(degree, rel=1e-12)
    lower = np.tril_indices(n)
    np.testing.assert_allclose(found[lower], expected[lower], rtol=1e-12)
    found[np.triu_indices(n, 1)] = np.nan
    np.testing.assert_allclose(eigenvalues(found), np.linalg.eigvalsh(expected), atol=1e-12)
    np.testing.assert_allclose(
        eigenvalues(found, by_torch=n < 1000), np.linalg.eigvalsh(expected), atol=1e-12
    )


@pytest.mark.parametrize("sigma", [0.8, 3.0, 100.0])
@pytest.mark.parametrize(("n", "repeated"), [(200, False), (200, True), (SMALL + 300, True)])
def test_what_divides_rows_and_columns_cancels(sigma, n, repeated):
    rng = np.random.default_rng(3)
    cloud = point_cloud(rng.normal(size=(n, 5)))
    cloud.rescale(sigma)
    counts = rng.integers(1, 4, n) if repeated else np.ones(n, dtype=int)
    expected, *also = diffusion_kernel(gaussian_kernel(cloud), "official", 0.5, weights=counts)
    kernel, factor = unweighted_kernel(cloud)
    found = diffusion_kernel(
        kernel, "official", 0.5, weights=factor * counts, n=counts.sum(), lower=True
    )
    lower = np.tril_indices(n)
    np.testing.assert_allclose(found[0][lower], expected[lower], rtol=1e-12)
    for one, other in zip(found[1:], also, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_points_far_out_keep_their_distances():
    assert unweighted_kernel(point_cloud(np.array([[-8.0], [8.0]]))) is None


@given(st.integers(1, 40), st.floats(0.1, 9))
def test_entropy_of_equal_eigenvalues_is_the_log_of_their_number(n, t):
    assert spectral_entropy(np.full(n, 0.7), t) == pytest.approx(np.log2(n), abs=1e-12)
    padded = np.concatenate([np.full(n, 0.7), np.zeros(5), np.full(3, -1e-17)])
    assert spectral_entropy(padded, t) == pytest.approx(np.log2(n), abs=1e-12)


def test_entropy_of_one_eigenvalue_is_a_positive_zero():
    assert str(spectral_entropy(np.array([0.0, 1.0]))) == "0.0"


def test_entropy_of_two_eigenvalues():
    # Shares 0.8, 0.2 at t = 1 and 16/17, 1/17 at t = 2.
    spectrum = np.array([0.2, 0.8])
    assert spectral_entropy(spectrum) == pytest.approx(-0.8 * np.log2(0.8) - 0.2 * np.log2(0.2))
    p = np.array([16, 1]) / 17
    assert spectral_entropy(spectrum, 2.0) == pytest.approx(-(p * np.log2(p)).sum())


def sets():
    rng = np.random.default_rng(0)
    n, mixing = 1200, rng.normal(size=(8, 64)) / 8**0.5
    labels = rng.integers(10, size=n)
    return {
        "isotropic": rng.normal(size=(n, 64)),
        "eight-dimensional": rng.normal(size=(n, 8)) @ mixing,
        "clustered": 1.5 * rng.normal(size=(10, 64))[labels] + 0.5 * rng.normal(size=(n, 64)),
        "heavy-tailed": rng.standard_t(2, size=(n, 8)) @ mixing,
    }


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("name", list(sets()))
def test_quadrature_is_within_a_hundredth_of_a_bit_and_its_own_uncertainty(name, factor):
    x = sets()[name]
    square = ((x[:200, None] - x[None, :200]) ** 2).sum(-1)
    sigma = factor * np.sqrt(np.median(square[np.triu_indices(200, 1)]) / 2)
    kernel, top = kernel_of(x, sigma)
    exact = exact_entropies(kernel, TIMES)
    found = stochastic_entropies(kernel.astype(np.float32), top, TIMES, seed=1)
    error = np.abs(found.bits - exact.bits)
    assert error.max() <= 0.01
    assert (error <= 3 * found.errors).all()
    assert found.trace == pytest.approx(exact.trace, rel=1e-5)
    assert found.leading[0] == 1.0


def test_quadrature_of_a_very_wide_kernel_in_float64():
    x = sets()["heavy-tailed"]
    kernel, top = kernel_of(x, 200.0)
    exact = exact_entropies(kernel, TIMES)
    found = stochastic_entropies(kernel, top, TIMES)
    np.testing.assert_allclose(found.bits, exact.bits, atol=1e-4)


def test_quadrature_ends_where_the_krylov_space_does():
    # Rank 3 in 200 dimensions: eigenvalues 1, 1/2, 1/4.
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(200, 3)))[0]
    kernel = (basis * [1, 0.5, 0.25]) @ basis.T
    found = stochastic_entropies(kernel, basis[:, 0], TIMES)
    expected = [spectral_entropy(np.array([1, 0.5, 0.25]), t) for t in TIMES]
    np.testing.assert_allclose(found.bits, expected, atol=1e-9)


def test_quadrature_is_reproducible_and_takes_tensors():
    kernel, top = kernel_of(sets()["isotropic"], 6.0)
    first = stochastic_entropies(kernel, top, TIMES, seed=3)
    again = stochastic_entropies(torch.from_numpy(kernel), torch.from_numpy(top), TIMES, seed=3)
    np.testing.assert_array_equal(first.bits, again.bits)
    other = stochastic_entropies(kernel, top, TIMES, seed=4)
    assert (first.bits != other.bits).all()
