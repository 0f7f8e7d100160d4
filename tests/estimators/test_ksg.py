"""I(T;Y) of real targets by neighbour counts, where the truth is known."""

import math

import numpy as np
import pytest
import scipy.stats
from scipy import integrate

from infoplane.data import ProbeSet
from infoplane.estimators.registry import parse_estimator
from infoplane.estimators.target_information import target_information

N = 800
RNG = np.random.default_rng(0)
X, E, OTHER = RNG.normal(size=(3, N))
Y = 0.8 * X + 0.6 * E
NORMAL = -0.5 * math.log2(1 - 0.8**2)


def cut_off(rho, shift):
    """Bits of X about max(0, rho X + s E - shift), and samples of that."""
    s = math.sqrt(1 - rho**2)
    normal = scipy.stats.norm
    zeros = normal.cdf(shift)

    def given(x):
        q = normal.cdf((shift - rho * x) / s)
        at_zero = q * math.log2(q / zeros) if q else 0.0
        z = np.linspace(shift, shift + 8, 400)
        ratio = (normal.logpdf(z, rho * x, s) - normal.logpdf(z)) / math.log(2)
        return float((at_zero + np.trapezoid(normal.pdf(z, rho * x, s) * ratio, z)) * normal.pdf(x))

    return integrate.quad(given, -6, 6)[0], np.maximum(0.0, rho * X + s * E - shift)


@pytest.mark.parametrize(
    ("y", "bits"),
    [
        (Y, NORMAL),
        (1e30 * Y, NORMAL),
        (1e-30 * Y, NORMAL),
        (np.sinh(4 * Y), NORMAL),  # heavy tails
        (Y.astype(np.float16), NORMAL),
        (np.c_[Y, np.ones(N)], NORMAL),
        (np.c_[Y, 1e30 * OTHER], NORMAL),
        (OTHER, 0.0),
        ((X > 0) * 1.5, 1.0),  # of two values
    ],
)
def test_scales_tails_and_columns_that_say_nothing_do_not_matter(y, bits):
    found = target_information(X[:, None], y, 3, 0)
    assert found.bits == pytest.approx(bits, abs=0.1)


@pytest.mark.parametrize(("rho", "shift"), [(0.9, 0.25), (0.9, -1.0), (0.6, 0.25), (0.0, 0.25)])
def test_zeros_of_a_target_are_a_class_of_their_own(rho, shift):
    bits, y = cut_off(rho, shift)
    found = target_information(X[:, None], y, 3, 0)
    assert found.bits == pytest.approx(bits, abs=0.1)
    assert found.low < bits < found.high
    assert "atoms" not in found.flags
    told = found.diagnostics
    assert told["share_at_atoms"] == pytest.approx((y == 0).mean())
    assert found.bits == pytest.approx(told["at_atoms"] + (y > 0).mean() * told["between"])


@pytest.mark.parametrize(
    ("y", "flag"),
    [
        (np.ones(N), "constant"),
        (np.ones((N, 2)), "constant"),
        (Y.round(1), "atoms"),
        (np.c_[Y, np.maximum(0, OTHER)], "atoms"),  # zeros in one of two columns
        (np.where(np.arange(N) < N - 20, 0.0, Y), "small_n"),
    ],
)
def test_targets_that_cannot_be_measured_well_are_flagged(y, flag):
    assert flag in target_information(X[:, None], y, 3, 0).flags


class Recorded:
    def __init__(self, **known):
        self.probe = ProbeSet(np.zeros((N, 1)), **known)
        self.steps, self.layers, self.device = (0,), (), None


@pytest.mark.parametrize(
    ("layer", "known", "bits", "flag"),
    [
        (X, {"targets": Y}, NORMAL, None),
        (X * 1e30, {"targets": Y}, NORMAL, None),
        (X, {"labels": (X > 0).astype(int)}, 1.0, None),
        (np.ones(N), {"targets": Y}, 0.0, "constant"),
        (np.outer(X, np.ones(50)), {"targets": Y}, NORMAL, None),
        (RNG.normal(size=(N, 60)), {"targets": Y}, 0.0, "large_compression_loss"),
    ],
)
def test_layers(layer, known, bits, flag):
    estimator, rng = parse_estimator("ksg"), np.random.default_rng(0)
    prepared = estimator.prepare_run(Recorded(**known), rng)
    found = estimator.estimate(prepared, layer.reshape(N, -1), rng)["ity"]
    assert found.bits == pytest.approx(bits, abs=0.1)
    assert flag is None or flag in found.flags


def test_nothing_is_measured_without_labels_and_targets():
    estimator, rng = parse_estimator("ksg"), np.random.default_rng(0)
    assert estimator.estimate(estimator.prepare_run(Recorded(), rng), X[:, None], rng) == {}
