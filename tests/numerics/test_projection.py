"""Principal components of streamed activations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoplane.errors import InputError
from infoplane.numerics import projection
from infoplane.numerics.projection import (
    PrincipalBasis,
    principal_basis,
    row_chunks,
    streaming_basis,
)


def sample(n, d, seed=0, offset=0.0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    spread = 1.0 / np.arange(1, d + 1)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return ((rng.normal(size=(n, d)) * spread) @ rotation + offset).astype(dtype)


def reference(array, kept):
    exact = array.astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(exact, rowvar=False, bias=True))
    return values[::-1][:kept], vectors[:, ::-1][:, :kept]


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_covariance_route_equals_the_eigenvectors_of_the_covariance(offset):
    array = sample(500, 30, offset=offset)
    basis = principal_basis(array, 5)
    values, vectors = reference(array, 5)
    np.testing.assert_allclose(basis.variances, values, rtol=1e-7)
    np.testing.assert_allclose(np.abs(np.sum(basis.components * vectors, axis=0)), 1.0, atol=1e-7)
    assert basis.total_variance == pytest.approx(array.var(axis=0).sum(), rel=1e-7)
    np.testing.assert_allclose(basis.mean, array.mean(axis=0), rtol=1e-12, atol=1e-12)


def test_random_route_finds_the_same_directions(monkeypatch):
    array = sample(600, 200, dtype=np.float32)
    monkeypatch.setattr(projection, "COVARIANCE_UNITS", 100)
    basis = principal_basis(array, 6, np.random.default_rng(1))
    values, vectors = reference(array, 6)
    np.testing.assert_allclose(basis.variances, values, rtol=1e-3)
    cosines = np.linalg.svd(basis.components.T @ vectors)[1]
    assert cosines.min() > 0.995
    exact = array.astype(np.float64).var(axis=0).sum()
    assert basis.total_variance == pytest.approx(exact, rel=1e-9)


@given(st.integers(1, 60), st.integers(0, 3))
def test_chunks_do_not_change_the_basis(rows, seed):
    array = sample(120, 6, seed)
    whole = principal_basis(array, 3)
    pieces = [array[start : start + rows] for start in range(0, len(array), rows)]
    streamed = streaming_basis(lambda: pieces, 6, 3)
    np.testing.assert_allclose(streamed.variances, whole.variances, rtol=1e-9)
    np.testing.assert_allclose(
        np.abs(np.sum(streamed.components * whole.components, axis=0)), 1.0, atol=1e-6
    )


def test_scores_and_the_rest_hold_all_variance():
    array = sample(400, 20, offset=3.0)
    scores, rest = principal_basis(array, 4).project(array)
    assert scores.var(axis=0).sum() + rest == pytest.approx(array.var(axis=0).sum())
    full, nothing = principal_basis(array, 20).project(array)
    assert nothing == pytest.approx(0.0, abs=1e-12)
    gaps = np.linalg.norm(array[:5, None] - array[None, :5], axis=2)
    np.testing.assert_allclose(
        np.linalg.norm(full[:5, None] - full[None, :5], axis=2), gaps, atol=1e-9
    )


def test_components_are_orthonormal_even_where_the_rank_is_lower():
    array = np.hstack([sample(50, 3), np.zeros((50, 4))])
    basis = principal_basis(array, 6)
    np.testing.assert_allclose(basis.components.T @ basis.components, np.eye(6), atol=1e-9)
    np.testing.assert_allclose(basis.variances[3:], 0.0, atol=1e-12)


def test_reading_makes_no_copy_of_the_whole(tmp_path):
    array = np.memmap(tmp_path / "a.bin", dtype=np.float32, mode="w+", shape=(50_000, 40))
    array[:] = np.random.default_rng(0).normal(size=array.shape)
    assert max(len(chunk) for chunk in row_chunks(array)) * 40 <= projection._CHUNK_VALUES
    assert sum(len(chunk) for chunk in row_chunks(array)) == 50_000
    assert all(np.shares_memory(chunk, array) for chunk in row_chunks(array))


def test_arguments_are_checked():
    array = sample(20, 4)
    with pytest.raises(InputError, match="at least 1 component"):
        principal_basis(array, 0)
    with pytest.raises(InputError, match="at least 2 samples"):
        principal_basis(array[:1], 2)
    basis = principal_basis(array, 9)
    assert isinstance(basis, PrincipalBasis)
    assert basis.n_components == 4
    with pytest.raises(InputError, match="as the basis"):
        basis.project(sample(20, 5))
