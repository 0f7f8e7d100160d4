"""Spectra of operators by one tridiagonal matrix, against dense decompositions."""

import numpy as np
import pytest

from infoplane.estimators.registry import parse_estimator
from infoplane.numerics.spectra import OPERATORS, moments


def dense(x, operator):
    x = x.astype(np.float64)
    if operator == "covariance":
        x = x - x.mean(axis=0)
    if operator == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    values = np.linalg.svd(x, compute_uv=False) ** 2
    return values / (len(x) - 1 if operator == "covariance" else len(x))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("offset", [0.0, 1.0, -1e5])
@pytest.mark.parametrize(("n", "d"), [(60, 17), (17, 60), (3, 1), (2, 5), (30, 30), (600, 270)])
def test_eigenvalues_are_squared_singular_values(operator, offset, n, d):
    rng = np.random.default_rng(n + d)
    x = rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5
    x += offset * rng.standard_normal(d)
    halves = np.sort(rng.permutation(n)[: max(2, n // 2)])
    whole = moments(x)
    for found, some in ((whole, x), (whole.part(halves), x[halves])):
        expected = dense(some, operator)
        values = found.spectrum(operator).values
        # Offsets are squared: of the covariance as well, whose samples are rounded beside them.
        slack = 1e-12 * max(expected[0], 1e-4 * abs(offset))
        np.testing.assert_allclose(values, expected, atol=slack, rtol=0)


def test_a_mean_of_zero_leaves_second_moments_and_covariance_alike():
    x = np.random.default_rng(0).standard_normal((20, 6))
    both = moments(np.vstack([x, -x]))
    second, covariance = (both.spectrum(one).values for one in ("second", "covariance"))
    np.testing.assert_allclose(40 * second, 39 * covariance, rtol=1e-12)


def test_without_directions_all_but_vne_are_the_same():
    from infoplane.validation.problems import Problem, ProblemRun

    x = np.random.default_rng(0).standard_normal((200, 40))
    run = ProblemRun(Problem(np.zeros((200, 1)), x, np.arange(200) % 2))
    found = {}
    for spec in ("spectrum", "spectrum:directions=false"):
        estimator, rng = parse_estimator(spec).seeded(0), np.random.default_rng(0)
        shared = estimator.prepare_run(run, rng)
        prepared = estimator.prepare_layer(shared, run, run.layers[0], rng)
        found[spec] = estimator.estimate(prepared, x, np.random.default_rng(1))
    every, some = found.values()
    assert set(every) - set(some) == {"vne"}
    assert all(some[key].bits == every[key].bits for key in some)
    assert all(some[key].low == every[key].low for key in some)
