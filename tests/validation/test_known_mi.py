"""The benchmark's tasks against the public values and samples of them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import trapezoid

from infoplane.validation.known_mi import MI_TASKS, student_pair
from infoplane.validation.truths import (
    channel_information,
    gaussian_information,
    label_information,
    rectified_label_information,
    student_information,
    table_information,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mi_tasks.json").read_text())
RANDOM = {"rep-label-K10-d64", "rep-channel-10-64"}  # their information depends on the draw
EMBEDDED = {"rep-lowrank-k3-d100-mi2"}  # its information does not, its coordinates do


def test_every_task_is_there():
    assert MI_TASKS.keys() == GOLDEN["tasks"].keys()


@pytest.mark.parametrize("name", MI_TASKS)
def test_information_is_the_published_one(name):
    pair = MI_TASKS[name](100, np.random.default_rng(0))
    # Of random means or weights, the information varies by some percent between draws.
    tolerance = 1.0 if name in RANDOM else 0.004
    assert pair.bits == pytest.approx(GOLDEN["tasks"][name]["bits"], abs=tolerance)


@pytest.mark.parametrize("name", sorted(MI_TASKS.keys() - EMBEDDED))
def test_samples_follow_the_distribution_of_the_public_ones(name):
    pair = MI_TASKS[name](5000, np.random.default_rng(2))
    sides = {"y": pair.y} if pair.labels is not None else {"x": pair.x, "y": pair.y}
    for side, values in sides.items():
        golden = GOLDEN["tasks"][name][side]
        assert values.shape[1] == golden["dim"]
        measures = {"norm": (values**2).sum(axis=1)}
        if name not in RANDOM:
            measures["first"] = values[:, 0]
        elif name == "rep-channel-10-64" and side == "y":
            continue  # its length follows the random weights
        for key, mine in measures.items():
            for share, quantile in zip(GOLDEN["quantiles"], golden[key], strict=True):
                if name == "rep-relu-k5-rho0.9" and quantile == 0:
                    below = np.mean(mine == 0)  # an atom: half of the values
                    assert below == pytest.approx(0.5, abs=0.04)
                    continue
                # Five standard errors of the difference of two shares of 5,000 samples.
                error = 5 * math.sqrt(2 * share * (1 - share) / 5000)
                assert np.mean(mine <= quantile) == pytest.approx(share, abs=error), (side, key)


def test_closed_forms_against_values_computed_otherwise():
    covariance = np.array([[1.0, 0.6], [0.6, 1.0]])
    assert gaussian_information(covariance, 1) == pytest.approx(-0.5 * math.log2(1 - 0.36))
    assert channel_information(np.diag([3.0, 0.0]), 1.0) == pytest.approx(1.0)
    assert table_information(np.eye(4) / 4) == pytest.approx(2.0)
    assert table_information(np.full((3, 5), 1 / 15)) == pytest.approx(0.0, abs=1e-12)
    # Without bound on the degrees of freedom a Student distribution is normal: independent parts.
    assert student_information(2, 3, 1e6) == pytest.approx(0.0, abs=1e-5)


def test_label_information_at_both_ends_and_against_quadrature():
    far = 100.0 * np.eye(3)
    assert label_information(far, np.full(3, 1 / 3)) == pytest.approx(math.log2(3))
    assert label_information(np.zeros((3, 2)), np.full(3, 1 / 3)) == pytest.approx(0.0, abs=1e-12)
    means = np.array([[-1.0], [1.0]])
    t = np.linspace(-9, 9, 20_001)
    densities = np.exp(-0.5 * (t - means) ** 2) / math.sqrt(2 * math.pi)
    terms = densities * np.log2(densities / densities.mean(axis=0))
    exact = trapezoid(terms.mean(axis=0), t)
    assert label_information(means, np.full(2, 0.5)) == pytest.approx(exact, abs=0.006)


def test_rectified_labels_with_little_noise_approach_those_without():
    means = np.array([-1.0, 0.0, 1.5])
    without = rectified_label_information(means, 0.0)
    assert rectified_label_information(means, 1e-3) == pytest.approx(without, abs=2e-3)
    assert rectified_label_information(means, 100.0) == pytest.approx(0.0, abs=1e-3)
    assert 0 < without < label_information(means[:, None], np.full(3, 1 / 3))


def test_student_samples_share_their_scale():
    pair = student_pair(20_000, np.random.default_rng(0), 2, 3)
    sizes = np.log((pair.x**2).sum(axis=1)), np.log((pair.y**2).sum(axis=1))
    assert np.corrcoef(*sizes)[0, 1] > 0.3
    assert abs(np.corrcoef(np.sign(pair.x[:, 0]), np.sign(pair.y[:, 0]))[0, 1]) < 0.05
