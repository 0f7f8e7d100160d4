"""What class means of few samples deviate from a simplex, though they lie on one."""

import numpy as np
import pytest

from infoplane.numerics.collapse import scatters, simplex_deviation


@pytest.mark.parametrize(
    ("k", "d", "n", "spread"), [(5, 20, 1000, 0.3), (10, 64, 2000, 0.5), (3, 5, 900, 0.2)]
)
def test_it_is_what_an_exact_simplex_reads(k, d, n, spread):
    rng = np.random.default_rng(0)
    corners = (np.eye(k) - 1 / k) @ np.linalg.qr(rng.standard_normal((d, k)))[0].T
    labels = np.arange(n) % k
    found, expected = [], []
    for _ in range(60):
        (one,) = scatters(corners[labels] + spread * rng.standard_normal((n, d)), [labels])
        found.append(simplex_deviation(one.means))
        expected.append(one.simplex_noise())
    # Means about their mean, and of length 1 together: the fewer, the less they deviate.
    ratio = np.mean(found, 0) / np.mean(expected, 0)
    np.testing.assert_array_less(ratio, 1.05)
    np.testing.assert_array_less(0.55 if k == 3 else 0.7, ratio)


def test_it_falls_with_the_root_of_the_number_of_samples():
    rng = np.random.default_rng(1)
    noise = []
    for n in (500, 8000):
        labels = np.arange(n) % 5
        x = 3.0 * np.eye(5)[labels] + rng.standard_normal((n, 5))
        noise.append(scatters(x, [labels])[0].simplex_noise())
    np.testing.assert_allclose(np.divide(*noise), 4.0, rtol=0.15)
