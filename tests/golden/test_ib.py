"""The bottleneck curve of the 12-bit task with stochastic labels, against a separate solver.

``ib_curve.json``: p(y=1|x) = sigmoid(gamma (f(x) - theta)) with gamma 54.49 (I(X;Y) = 0.99 bits)
and gamma 5, the inputs grouped by p; values rounded to 6 decimals.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from infoplane.numerics.discrete.bottleneck import information_bottleneck_curve

CASES = json.loads((Path(__file__).parent / "ib_curve.json").read_text())


def joint(case):
    p, n = np.array(case["p_y1"]), np.array(case["n_inputs"])
    return np.stack([1 - p, p], axis=1) * n[:, None] / n.sum()


@pytest.mark.parametrize("name", list(CASES))
def test_constants_of_the_distribution(name):
    case = CASES[name]
    curve = information_bottleneck_curve(joint(case), betas=[1000.0])
    assert curve.mutual_information == pytest.approx(case["I_XY"], abs=1e-9)
    assert curve.h_y == pytest.approx(case["H_Y"], abs=1e-9)
    assert curve.h_sufficient == pytest.approx(case["H_suffstat"], abs=1e-9)


def test_curve_away_from_the_critical_point():
    """Near beta = 1 the iteration is critically slow, and the last digits depend on its end."""
    case = CASES["gamma99"]
    expected = np.array([point for point in case["curve"] if point[0] > 1.05])
    curve = information_bottleneck_curve(joint(case), betas=expected[:, 0])
    np.testing.assert_allclose(curve.ixt, expected[:, 1], atol=2e-6)
    np.testing.assert_allclose(curve.ity, expected[:, 2], atol=2e-6)


@pytest.mark.slow
def test_smooth_curve():
    case = CASES["gamma5"]
    expected = np.array(case["curve"])
    curve = information_bottleneck_curve(joint(case), betas=expected[:, 0])
    np.testing.assert_allclose(curve.ity, expected[:, 2], atol=3e-4)
    np.testing.assert_allclose(curve.ixt, expected[:, 1], atol=2e-3)
