"""The area under a loss curve, and the power law that is fitted to it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from infoplane import prequential_excess_bits
from infoplane.errors import InputError
from infoplane.numerics.loss_curves import binned, excess, fit_power_law, inflation, sharpness

CASES = json.loads((Path(__file__).parents[1] / "golden" / "losses.json").read_text())["cases"]


def curve(seed, m, floor=0.8):
    rng = np.random.default_rng(seed)
    tokens = np.cumsum(rng.integers(500, 1500, m)).astype(float)
    return floor + 2.5 * (tokens / tokens[0]) ** -0.35 + 0.01 * rng.standard_normal(m), tokens


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_published_values(case):
    losses, tokens = curve(case["seed"], case["m"])
    assert losses.sum() == pytest.approx(case["sum"], rel=1e-12)
    nats = prequential_excess_bits(losses, tokens) * math.log(2)
    assert nats == pytest.approx(case["value"], rel=case["rtol"])


def test_area_of_straight_lines_and_invariances():
    tokens = np.arange(0, 1001, 10)
    losses = 3.0 - 2.0 * tokens / 1000
    assert prequential_excess_bits(losses, tokens) == pytest.approx(1000 / math.log(2))
    assert prequential_excess_bits(losses + 5, tokens) == pytest.approx(1000 / math.log(2))
    assert prequential_excess_bits(losses, tokens + 7) == pytest.approx(1000 / math.log(2))
    assert prequential_excess_bits(losses, tokens, final=0.0) == pytest.approx(2000 / math.log(2))
    assert prequential_excess_bits(losses[::-1], tokens) < 0  # shown as it is


@pytest.mark.parametrize(
    ("losses", "tokens", "message"),
    [
        ([2.0, np.nan], [1, 2], "expected finite losses, got nan at index 1"),
        ([2.0, 1.0], [1, np.inf], "expected finite tokens, got inf at index 1"),
        ([2.0, 1.0], [2, 1], "expected ascending tokens, got 1 after 2 at index 1"),
        ([2.0, 1.0], [64, 64], "expected ascending tokens, got 64 after 64"),
        ([2.0], [1], "expected losses of at least 2 steps, got 1"),
        ([], [], "expected losses of shape|at least 2 steps, got 0"),
        ([2.0, 1.0], [1, 2, 3], "as many losses as tokens, got 2 and 3"),
        ([[2.0, 1.0]], [1, 2], r"expected losses of shape \(n,\)"),
        (["a", "b"], [1, 2], "of real numbers"),
        ([2.0, 1.0j], [1, 2], "of real numbers"),
    ],
)
def test_bad_curves_are_refused(losses, tokens, message):
    with pytest.raises(InputError, match=message):
        prequential_excess_bits(losses, tokens)


@pytest.mark.parametrize("final", [math.nan, math.inf, "x", [1.0, 2.0], 1j, 10**400])
def test_final_loss_that_is_no_finite_number_is_refused(final):
    with pytest.raises(InputError, match="final: expected a finite loss, got"):
        prequential_excess_bits([2.0, 1.0], [1, 2], final=final)


def test_curves_that_are_tensors():
    losses = torch.tensor([2.0, 1.0], requires_grad=True).bfloat16()
    found = prequential_excess_bits(losses, torch.tensor([1, 2]))
    assert found == prequential_excess_bits([2.0, 1.0], [1, 2])


def power_law(n, floor, amplitude, exponent):
    t = np.arange(1.0, n + 1)
    return floor + amplitude * (t / n) ** -exponent, t


@pytest.mark.parametrize(
    ("n", "floor", "amplitude", "exponent"),
    [(50, 1.0, 0.5, 0.5), (900, 2.0, 0.1, 1.0), (5000, 0.5, 1.0, 0.3)],
)
def test_power_law_without_noise_is_found(n, floor, amplitude, exponent):
    found = fit_power_law(*power_law(n, floor, amplitude, exponent), 0.95)
    # Of more than 1000 points means are fitted, whose mean time is a little off.
    tolerance = 1e-5 if n <= 1000 else 2e-2
    assert found.exponent == pytest.approx(exponent, rel=tolerance)
    assert found.floor == pytest.approx(floor, rel=tolerance)
    assert found.amplitude == pytest.approx(amplitude, rel=5 * tolerance)
    assert not found.open_ended


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_intervals_cover_what_is_known(correlation):
    """At least 17 of 20 at a level of 95 %: fewer has a probability of 1.6 % (binomial)."""
    rng = np.random.default_rng(3)
    mean, t = power_law(400, 1.0, 0.5, 0.5)
    truth = excess(mean, t, 0.05)
    covered = np.zeros(3)
    for _ in range(20):
        noise = rng.standard_normal(400)
        for i in range(1, 400):
            noise[i] = correlation * noise[i - 1] + math.sqrt(1 - correlation**2) * noise[i]
        losses = mean + 0.05 * noise
        fit, area = fit_power_law(losses, t, 0.95), excess(losses, t, 0.05)
        covered += [
            fit.exponent_low <= 0.5 <= fit.exponent_high,
            fit.floor_low <= 1.0 <= fit.floor_high,
            abs(area.area - truth.area) < 1.96 * area.error,
        ]
    assert (covered >= 16 if correlation else covered >= 17).all(), covered


def test_curves_that_determine_no_power_law_say_so():
    rng = np.random.default_rng(0)
    mean, t = power_law(200, 1.0, 0.5, 0.05)
    found = fit_power_law(mean + 0.05 * rng.standard_normal(200), t, 0.95)
    assert found.open_ended
    assert fit_power_law(np.linspace(1, 2, 100), np.arange(1.0, 101), 0.95) is None


def test_sharpness():
    t = np.arange(1.0, 1002)
    line = 3.0 - 2.0 * t / 1001
    assert sharpness(line, t, 1.0) == pytest.approx(0.1, abs=0.005)
    drop = np.where(t < 400, 3.0, 1.0)
    assert sharpness(drop, t, 1.0) == pytest.approx(1.0)
    assert sharpness(line[::-1], t, 3.0) is None


def test_inflation_of_correlated_noise():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(20_000)
    assert inflation(noise) == pytest.approx(1.0, abs=0.15)
    smooth = noise.copy()
    for i in range(1, len(smooth)):
        smooth[i] += 0.5 * smooth[i - 1]
    assert inflation(smooth) == pytest.approx(3.0, rel=0.15)  # (1 + 0.5) / (1 - 0.5)
    assert inflation(np.zeros(10)) == 1.0


def test_means_over_parts_keep_counts_and_ends():
    losses, times, counts = binned(np.arange(1e4), np.arange(1.0, 1e4 + 1), 100)
    assert counts.sum() == 1e4
    assert len(losses) <= 100
    assert (np.diff(times) > 0).all()
    assert losses @ counts == pytest.approx(np.arange(1e4).sum())


def test_a_curve_that_is_no_power_law_is_explained_less():
    t = np.arange(1.0, 501)
    plateau = np.where(t < 60, 2.3, 0.4) + 0.05 * np.random.default_rng(0).standard_normal(500)
    assert fit_power_law(plateau, t, 0.95).explained < 0.9
    mean, t = power_law(500, 1.0, 0.5, 0.5)
    noisy = mean + 0.05 * np.random.default_rng(0).standard_normal(500)
    assert fit_power_law(noisy, t, 0.95).explained > 0.98
