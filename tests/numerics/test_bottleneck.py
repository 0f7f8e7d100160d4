"""The information bottleneck curve: limits and the bound it sets."""

import numpy as np
import pytest

from infoplane.errors import InputError
from infoplane.numerics.discrete.bottleneck import (
    information_bottleneck_curve,
    recorded_distribution,
)
from infoplane.sample_runs.twelve_bit.task import toy12


def entropy(p):
    p = np.asarray(p)[np.asarray(p) > 0]
    return float(-(p * np.log2(p)).sum())


def random_joint(seed, n_x=12, n_y=3):
    return np.random.default_rng(seed).dirichlet(np.full(n_x * n_y, 0.5)).reshape(n_x, n_y)


def test_deterministic_labels_have_the_analytic_curve():
    _, labels = toy12()
    joint = np.eye(2)[labels] / 4096
    curve = information_bottleneck_curve(joint)
    assert curve.deterministic
    h_y = entropy(joint.sum(axis=0))
    np.testing.assert_allclose(curve.ixt, [h_y, 0])
    np.testing.assert_allclose(curve.ity, [h_y, 0])
    assert curve.h_sufficient == pytest.approx(h_y)


@pytest.mark.parametrize("seed", [0, 1])
def test_ends_of_the_curve(seed):
    p = random_joint(seed)
    curve = information_bottleneck_curve(p, betas=[1e5, 0.5])
    mutual = entropy(p.sum(0)) + entropy(p.sum(1)) - entropy(p)
    assert curve.mutual_information == pytest.approx(mutual, abs=1e-12)
    assert curve.ity[0] == pytest.approx(mutual, abs=1e-6)
    assert curve.ixt[0] <= curve.h_sufficient + 1e-9
    # beta < 1: remembering anything costs more than it tells
    np.testing.assert_allclose([curve.ixt[1], curve.ity[1]], 0, atol=1e-6)


def test_curve_rises_concavely_with_slope_one_over_beta():
    betas = np.geomspace(40, 1.5, 25)
    curve = information_bottleneck_curve(random_joint(2), betas=betas)
    assert curve.converged.all()
    assert (curve.ity <= curve.ixt + 1e-9).all()
    assert (np.diff(curve.ixt) <= 1e-6).all()
    used = curve.ixt[:-1] - curve.ixt[1:] > 1e-3
    slope = (np.diff(curve.ity) / np.diff(curve.ixt))[used]
    between = np.column_stack([1 / betas[:-1], 1 / betas[1:]])[used]
    assert (slope >= between[:, 0] - 5e-3).all()
    assert (slope <= between[:, 1] + 5e-3).all()


@pytest.mark.parametrize("seed", range(5))
def test_no_encoder_is_above_the_curve(seed):
    p = random_joint(3, 8, 2)
    betas = np.geomspace(200, 1.01, 60)
    curve = information_bottleneck_curve(p, betas=betas)
    encoder = np.random.default_rng(seed).dirichlet(np.full(4, 0.3), size=8)
    p_x = p.sum(axis=1)
    xt, ty = p_x[:, None] * encoder, encoder.T @ p
    ixt = entropy(p_x) + entropy(xt.sum(axis=0)) - entropy(xt)
    ity = entropy(ty.sum(axis=1)) + entropy(ty.sum(axis=0)) - entropy(ty)
    # each point is optimal for its beta: no encoder has a smaller I(X;T) - beta I(T;Y)
    assert (ixt - betas * ity >= curve.ixt - betas * curve.ity - 1e-6).all()


def test_inputs_of_one_conditional_are_merged():
    p = random_joint(4)
    doubled = np.repeat(p, 2, axis=0) / 2
    one, two = (information_bottleneck_curve(q, betas=[50.0, 5.0]) for q in (p, doubled))
    np.testing.assert_allclose(two.ixt, one.ixt, atol=1e-9)
    assert two.h_sufficient == pytest.approx(one.h_sufficient, abs=1e-12)


@pytest.mark.parametrize(
    ("p", "betas"),
    [([[0.5, 0.6]], None), ([[1.5], [-0.5]], None), ([1.0], None), ([[1.0]], [0.0]), ([[1.0]], [])],
)
def test_errors(p, betas):
    with pytest.raises(InputError):
        information_bottleneck_curve(np.array(p), betas=betas)


def test_all_patterns_of_the_twelve_bit_task_are_a_known_distribution():
    inputs, labels = toy12()
    joint = recorded_distribution(inputs, labels)
    assert joint.shape == (4096, 2)
    assert joint.sum() == pytest.approx(1.0)
    curve = information_bottleneck_curve(joint)
    assert curve.deterministic
    assert curve.h_y == pytest.approx(0.99916, abs=1e-5)


def test_repeated_inputs_with_different_labels_give_their_shares():
    inputs = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 4, axis=0)
    labels = np.array([0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1])
    joint = recorded_distribution(inputs, labels)
    assert sorted(joint[:, 1] / joint.sum(axis=1)) == [0, 0.25, 0.75, 1]


@pytest.mark.parametrize(
    "inputs",
    [
        np.random.default_rng(0).normal(size=(64, 2)),  # values that never come again
        np.arange(64.0)[:, None],  # one component: any list of numbers would do
        toy12()[0][:-1],  # a pattern is missing
        np.vstack([toy12()[0], toy12()[0][:1]]),  # a pattern is there twice
        np.zeros((64, 3)),
    ],
)
def test_samples_that_are_not_all_of_a_discrete_input_are_no_distribution(inputs):
    assert recorded_distribution(inputs, np.arange(len(inputs)) % 2) is None
