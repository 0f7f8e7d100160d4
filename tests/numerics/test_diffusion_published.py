"""Published results on toy data, arXiv 2312.04823, within the reading of its figures."""

import numpy as np
import pytest

from infoplane import diffusion_spectral_entropy, diffusion_spectral_mutual_information


def intrinsic_dimension_toy(n_dimensions, noise, seed=0):
    """500 points in 2048 units, of which ``n_dimensions`` vary; the rest share a constant."""
    rng = np.random.default_rng(seed)
    x = np.full((500, 2048), rng.uniform(-1, 1))
    x[:, :n_dimensions] = rng.uniform(-1, 1, (500, n_dimensions))
    return x + noise * rng.uniform(-1, 1, x.shape)


@pytest.mark.parametrize(
    ("n_dimensions", "published"), [(102, 3.0), (204, 5.1), (2048, np.log2(500))]
)
def test_entropy_grows_with_the_intrinsic_dimension(n_dimensions, published):
    x = intrinsic_dimension_toy(n_dimensions, 0.01)
    assert diffusion_spectral_entropy(x, sigma=10).bits == pytest.approx(published, abs=0.15)


def test_strong_noise_is_resisted_at_long_diffusion_times_only():
    quiet, loud = (
        diffusion_spectral_entropy(intrinsic_dimension_toy(102, noise), sigma=10, t=[1, 2, 5]).bits
        for noise in (0.01, 0.5)
    )
    moved = loud - quiet
    assert moved[0] > 5  # not resilient at t = 1: the noise has 2048 dimensions
    assert moved[1] < 1.5
    assert abs(moved[2]) < 1e-3


def tree(n_branches, seed):
    """Random walks of 100 steps in 20 units, each starting at a point of the first."""
    rng = np.random.default_rng(seed)
    walks = [np.cumsum(rng.uniform(-1, 1, (100, 20)), axis=0)]
    for _ in range(n_branches - 1):
        start = walks[0][rng.integers(100)]
        walks.append(start + np.cumsum(rng.uniform(-1, 1, (100, 20)), axis=0))
    return np.concatenate(walks), np.repeat(np.arange(n_branches), 100)


def corrupted(labels, share, rng):
    changed = labels.copy()
    rows = rng.random(len(labels)) < share
    changed[rows] = rng.integers(labels.max() + 1, size=rows.sum())
    return changed


@pytest.mark.parametrize(("n_branches", "published"), [(2, 0.75), (5, 1.7), (10, 2.4)])
def test_information_on_the_branches_of_a_tree_falls_as_labels_are_corrupted(n_branches, published):
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    curves = []
    for seed in range(4):
        x, labels = tree(n_branches, seed)
        rng = np.random.default_rng(seed)
        curves.append(
            [
                diffusion_spectral_mutual_information(
                    x, corrupted(labels, share, rng), sigma=10, min_class_size=1
                ).bits
                for share in shares
            ]
        )
    mean = np.mean(curves, axis=0)
    assert mean[0] == pytest.approx(published, abs=0.15)
    assert (np.diff(mean) < 0).all()
    assert abs(mean[-1]) < 0.05


def blobs(n_units, corruption, seed=0):
    """5000 points of unit variance around 3 centres uniform in (-10, 10)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(5000) % 3
    x = rng.uniform(-10, 10, (3, n_units))[labels] + rng.normal(size=(5000, n_units))
    return x, corrupted(labels, corruption, rng)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_units", "corruption", "published", "band"),
    [(20, 0.0, 1.32, 0.05), (100, 0.0, 1.04, 0.06), (1000, 0.0, 0.71, 0.04), (20, 0.2, 0.37, 0.08)],
)
def test_information_on_blobs_of_figure_3(n_units, corruption, published, band):
    x, labels = blobs(n_units, corruption)
    found = diffusion_spectral_mutual_information(x, labels, sigma="sqrtd", repetitions=2)
    assert found.bits == pytest.approx(published, abs=band)


def test_one_blob_that_splits_into_five_gains_entropy():
    rng = np.random.default_rng(0)
    noise, directions = rng.normal(size=(1000, 64)), np.linalg.qr(rng.normal(size=(64, 5)))[0].T
    found = [
        diffusion_spectral_entropy(
            noise + separation * directions[np.arange(1000) % 5], sigma=8.0, t=[1, 20]
        ).bits
        for separation in (0, 8, 16, 24, 32)
    ]
    assert (np.diff([entropies[0] for entropies in found]) > 0).all()
    assert found[0][1] < 1e-3
    assert found[-1][1] == pytest.approx(np.log2(5), abs=0.01)
