"""Matrix-based Renyi information: limits that are known."""

import numpy as np
import pytest

from infoplane.errors import InputError
from infoplane.estimators.layers.renyi_information import renyi_information
from infoplane.numerics.kernels.renyi import (
    aligned_width,
    gram_matrix,
    matrix_entropy,
    square_distances,
)


@pytest.mark.parametrize("alpha", [0.5, 1, 1.01, 2, 3])
def test_entropy_of_equal_classes_is_the_log_of_their_number(alpha):
    gram, _ = gram_matrix(np.arange(24) % 4, 1.0)
    assert matrix_entropy(gram, alpha) == pytest.approx(2.0, abs=1e-9)
    assert matrix_entropy(np.eye(8), alpha) == pytest.approx(3.0, abs=1e-9)
    assert matrix_entropy(np.ones((8, 8)), alpha) == pytest.approx(0.0, abs=1e-6)


def test_alpha_two_without_eigenvalues_is_that_with_them():
    gram, _ = gram_matrix(np.random.default_rng(0).normal(size=(50, 3)), 1.0)
    eigenvalues = np.linalg.eigvalsh(gram / 50)
    assert matrix_entropy(gram, 2) == pytest.approx(-np.log2((eigenvalues**2).sum()), abs=1e-12)


def test_order_tends_to_the_von_neumann_entropy():
    gram, _ = gram_matrix(np.random.default_rng(0).normal(size=(50, 3)), 1.0)
    limit = matrix_entropy(gram, 1)
    assert matrix_entropy(gram, 1 + 1e-7) == pytest.approx(limit, abs=1e-5)


def test_information_of_labels_with_themselves_is_their_entropy():
    labels = np.arange(40) % 2
    info = renyi_information(labels, labels, shuffles=0)
    assert info.information == pytest.approx(1.0, abs=1e-9)


def test_information_is_symmetric():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    one, two = renyi_information(a, b), renyi_information(b, a)
    assert one.information == pytest.approx(two.information, abs=1e-9)


def test_null_shows_what_the_raw_number_hides():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(150, 5)), rng.normal(size=(150, 5))
    unrelated = renyi_information(a, b)
    assert unrelated.information > 1  # bits, of independent data
    assert unrelated.null == pytest.approx(unrelated.information, rel=0.05)
    related = renyi_information(a, a + 0.01 * b)
    assert related.excess > 10 * abs(unrelated.excess)


def test_convention_without_the_two_is_a_width_smaller_by_its_root():
    a = np.random.default_rng(0).normal(size=(30, 2))
    one, _ = gram_matrix(a, 1.0, half=False)
    two, _ = gram_matrix(a, np.sqrt(0.5), half=True)
    np.testing.assert_allclose(one, two, atol=1e-12)


def test_silverman_width_ignores_scale_and_dead_units():
    a = np.random.default_rng(0).normal(size=(60, 3))
    one, width = gram_matrix(a, "silverman")
    two, _ = gram_matrix(a * [1.0, 100.0, 0.01], "silverman")
    np.testing.assert_allclose(one, two, atol=1e-9)
    assert width == pytest.approx(np.sqrt(3) * 60 ** (-1 / 7))
    dead, _ = gram_matrix(np.column_stack([a, np.zeros(60)]), "silverman")
    assert np.isfinite(dead).all()


def test_distances():
    a = np.random.default_rng(0).normal(size=(30, 4))
    expected = ((a[:, None] - a[None]) ** 2).sum(axis=2)
    found = square_distances(a)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (np.diag(found) == 0).all()


def test_aligned_width_separates_the_classes():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    far = 10.0 * labels[:, None] + 0.1 * rng.normal(size=(60, 2))
    target, _ = gram_matrix(labels, 1.0)
    width = aligned_width(far, target)
    distances = np.sqrt(square_distances(far))
    assert 0.3 <= width <= 10 * distances.mean()
    info = renyi_information(far, labels, width="alignment", shuffles=0)
    assert info.width_a == pytest.approx(aligned_width(far, gram_matrix(labels, 1.0)[0]))
    assert info.information == pytest.approx(1.0, abs=0.05)
    with pytest.raises(InputError, match="differ"):
        aligned_width(np.ones((60, 2)), target)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0}, "alpha"),
        ({"width": 0.0}, "width"),
        ({"width": "scott"}, "width"),
        ({"b": np.zeros((3, 1))}, "rows"),
        ({"b": np.zeros(4)}, "class ids"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    a = np.arange(4.0)[:, None]
    with pytest.raises(InputError, match=message):
        renyi_information(**({"a": a, "b": a} | arguments))


def test_many_samples_are_refused_unless_they_are_cheap():
    a = np.zeros((2001, 1))
    with pytest.raises(InputError, match="2000"):
        renyi_information(a, a)
    assert renyi_information(a, a, 2, shuffles=0).information == pytest.approx(0, abs=1e-9)
