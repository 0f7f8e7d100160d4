"""The dimension of surfaces in wide arrays."""

import math

import numpy as np
import pytest

from infoplane.numerics.networks import dimension as code_dimension
from infoplane.numerics.networks.dimension import surface_of


@pytest.fixture(autouse=True)
def quick_training(monkeypatch):
    monkeypatch.setattr(code_dimension, "_STEPS", 200)
    monkeypatch.setattr(code_dimension, "_STARTS", 1)


def principal_scores(points):
    centred = points - points.mean(axis=0)
    scores = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    return scores / math.sqrt(scores.var(axis=0).mean())


@pytest.mark.parametrize("dim", [1, 3])
def test_sheets_have_the_dimension_of_what_they_are_drawn_from(dim):
    rng = np.random.default_rng(dim)
    points = np.tanh(rng.normal(size=(1500, dim)) @ rng.normal(size=(dim, 20)) / 2)
    found = surface_of(principal_scores(points), 0)
    assert found.dim == dim
    assert found.error < 0.02


def test_samples_that_fill_their_dimensions_lie_on_no_surface():
    points = np.random.default_rng(0).normal(size=(500, 15))
    assert surface_of(principal_scores(points), 0) is None


def test_duplicates_alone_lie_on_no_surface():
    points = np.repeat(np.random.default_rng(0).normal(size=(5, 8)), 20, axis=0)
    assert surface_of(principal_scores(points), 0) is None


def test_same_seed_same_surface():
    points = principal_scores(np.random.default_rng(0).normal(size=(300, 2)) ** 3)
    assert surface_of(points, 1) == surface_of(points, 1)
