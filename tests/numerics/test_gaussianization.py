"""A map to nearly normal columns that keeps information."""

import numpy as np
from scipy.special import ndtri
from scipy.stats import kstest

from infoplane.numerics.networks.gaussianization import fit_gaussianization


def test_rotated_uniform_columns_become_those_of_the_normal_distribution():
    rng = np.random.default_rng(0)
    square = rng.random((6000, 2))
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    found = fit_gaussianization(square @ turn, rng)(square @ turn)
    truth = ndtri(square)
    # Up to order and sign of the columns.
    matched = np.abs(np.corrcoef(found.T, truth.T)[:2, 2:])
    np.testing.assert_allclose(np.sort(matched.max(axis=0)), 1.0, atol=0.02)
    for column in found.T:
        assert kstest(column, "norm").pvalue > 0.01


def test_normal_samples_are_only_turned():
    points = np.random.default_rng(0).normal(size=(5000, 3))
    found = fit_gaussianization(points, np.random.default_rng(1))(points)
    gaps = np.linalg.norm(points[:50, None] - points[None, :50], axis=2)
    turned = np.linalg.norm(found[:50, None] - found[None, :50], axis=2)
    # Curves through 33 quantiles of 5000 values are off by a few hundredths.
    assert np.abs(turned - gaps).max() < 0.4


def test_order_along_a_direction_is_kept_inside_and_beyond_the_knots():
    sample = np.random.default_rng(0).exponential(size=(2000, 1))
    curve = fit_gaussianization(sample, np.random.default_rng(0))
    values = curve(np.linspace(-5.0, 50.0, 2000)[:, None])[:, 0]
    assert (np.diff(values) > 0).all() or (np.diff(values) < 0).all()


def test_repeated_values_stay_finite_and_apart():
    sample = np.random.default_rng(0).integers(0, 3, size=(500, 2)).astype(float)
    found = fit_gaussianization(sample, np.random.default_rng(0))(sample)
    assert np.isfinite(found).all()
    assert len(np.unique(found.round(9), axis=0)) == 9
