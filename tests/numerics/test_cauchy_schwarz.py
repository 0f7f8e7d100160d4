"""Cauchy-Schwarz information and divergences on samples whose value is known."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.special import ndtri

from infoplane import (
    InputError,
    cauchy_schwarz_divergence,
    cauchy_schwarz_information,
    conditional_cauchy_schwarz_divergence,
    renyi_information,
)
from infoplane.numerics.kernels.gram import median_distance, resolved_distances, square_distances


def pair(n=400, seed=0, dx=3, dy=2, noise=0.5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dx))
    return x, x[:, :dy] + noise * rng.normal(size=(n, dy))


def of_normals(correlation, width):
    """Return the value of two normal numbers, in bits: all means are Gaussian integrals."""
    joint = np.array([[1.0, correlation], [correlation, 1.0]])
    both = np.linalg.det(np.eye(2) + 2 * joint / width**2) ** -0.5
    single = (1 + 2 / width**2) ** -0.5
    near = width**2 / (width**2 + 1)  # k(x) = sqrt(near) exp(-x^2 / 2 (width^2 + 1))
    product = near * np.linalg.det(np.eye(2) + joint / (width**2 + 1)) ** -0.5
    return math.log2(both * single**2 / product**2)


@pytest.mark.parametrize(("correlation", "width"), [(0.9, 1.0), (0.8, 0.5), (-0.9, 2.0)])
def test_information_of_normal_numbers(correlation, width):
    rng = np.random.default_rng(0)
    x, y = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 1500).T
    found = cauchy_schwarz_information(x, y, width=width)
    assert found.excess == pytest.approx(of_normals(correlation, width), rel=0.1)
    assert found.flags == ()


@pytest.mark.parametrize("labels", [np.arange(60) % 3, np.array(["a", "b", "c"] * 20)])
def test_classes_and_themselves_hold_the_log_of_their_number(labels):
    found = cauchy_schwarz_information(labels, labels)
    assert found.bits == pytest.approx(math.log2(3))
    assert found.normalised == pytest.approx(1.0)
    assert (found.width_x, found.width_y) == (0.0, 0.0)


def test_independent_samples_have_a_value_and_no_excess():
    rng = np.random.default_rng(0)
    found = cauchy_schwarz_information(rng.normal(size=(300, 5)), rng.normal(size=(300, 3)))
    assert found.bits > 20 * abs(found.excess)
    assert found.flags == ("null_dominates", "within_null")


CHANGES = {
    "tiny": lambda x: x * 1e-30,
    "huge": lambda x: x * 1e30,
    "beyond squares": lambda x: x * 1e200,
    "shifted": lambda x: x + 1e5,
    "turned": lambda x: x @ np.linalg.qr(np.random.default_rng(1).normal(size=x.shape[1:] * 2))[0],
    "with a dead unit": lambda x: np.column_stack([x, np.full(len(x), 0.1)]),
    "by units": lambda x: np.asfortranarray(x)[:, ::-1],
}


@pytest.mark.parametrize("change", CHANGES)
def test_units_of_measurement_do_not_count(change):
    x, y = pair()
    plain, changed = (cauchy_schwarz_information(a, y) for a in (x, CHANGES[change](x)))
    assert changed.bits == pytest.approx(plain.bits, rel=1e-8)
    assert changed.excess == pytest.approx(plain.excess, rel=1e-8)
    assert changed.flags == plain.flags == ()
    assert renyi_information(CHANGES[change](x), y, 2, width="median").excess == pytest.approx(
        renyi_information(x, y, 2, width="median").excess, rel=1e-8
    )


def test_order_of_samples_and_of_sides_does_not_count():
    x, y = pair()
    order = np.random.default_rng(2).permutation(len(x))
    bits = cauchy_schwarz_information(x, y).bits
    assert cauchy_schwarz_information(x[order], y[order]).bits == pytest.approx(bits, rel=1e-12)
    assert cauchy_schwarz_information(y, x).bits == pytest.approx(bits, rel=1e-12)
    assert cauchy_schwarz_information(x, y) == cauchy_schwarz_information(x, y)
    assert cauchy_schwarz_information(x, y, seed=1).null_mean != pytest.approx(
        cauchy_schwarz_information(x, y).null_mean, rel=1e-9
    )


def test_half_precision_is_read_as_the_numbers_that_it_has():
    x, y = pair(n=300, dx=200)
    narrow = (1000 * x).astype(np.float16)  # squares and sums of these overflow
    found = cauchy_schwarz_information(narrow, y)
    assert found == cauchy_schwarz_information(narrow.astype(np.float64), y)


@pytest.mark.parametrize("far", [1e6, 1e12])
@pytest.mark.parametrize("share", [1, 100])
def test_samples_far_out_take_no_digits_from_the_others(far, share):
    x, _ = pair()
    x[:share] += far
    squares, width = resolved_distances(x, None)
    exact = pdist(x, "sqeuclidean")
    assert width == pytest.approx(np.median(np.sqrt(exact)))
    near = exact < 25 * width**2
    found = squares[np.triu_indices(len(x), 1)]
    np.testing.assert_allclose(found[near], exact[near], atol=1e-8 * width**2)


def test_equal_rows_leave_the_width_that_of_the_others():
    x, y = pair()
    x[:300] = x[0]
    assert median_distance(square_distances(x)) > 0.5
    found = cauchy_schwarz_information(x, y)
    assert found.width_x > 0.5
    assert found.flags == ()


ALIKE, ALONE = 1e4, 1e-4
LIMITS = {
    "a kernel far too wide": (lambda x, y: (x, y, ALIKE), "degenerate"),
    "a kernel far too narrow": (lambda x, y: (x, y, ALONE), "sparse"),
    "so narrow that squares vanish": (lambda x, y: (x, y, 1e-200), "sparse"),
    "numbers of samples as classes": (lambda x, y: (np.arange(len(x)), y, "median"), "sparse"),
    "five samples": (lambda x, y: (x[:5], y[:5], "median"), "small_n"),
    "a constant side": (lambda x, y: (np.full_like(x, 0.1), y, "median"), "constant"),
    "one class": (lambda x, y: (np.zeros(len(x), int), y, "median"), "constant"),
    "a constant side, at a width": (lambda x, y: (np.full_like(x, 0.1), y, 1.0), "constant"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_value_that_says_nothing_is_flagged(limit):
    made, flag = LIMITS[limit]
    x, y, width = made(*pair(n=100))
    for found in (
        cauchy_schwarz_information(x, y, width=width),
        renyi_information(x, y, width=width),
    ):
        assert flag in found.flags
        assert math.isfinite(found.excess)
    if flag == "constant":
        found = cauchy_schwarz_information(x, y, width=width)
        assert (found.bits, found.excess, found.normalised) == (0.0, 0.0, None)


def test_null_needs_permutations():
    x, y = pair(n=50)
    none, one = (cauchy_schwarz_information(x, y, permutations=k) for k in (0, 1))
    assert (none.null_mean, none.null_sd, none.excess) == (None, None, None)
    assert one.null_mean is not None
    assert one.null_sd is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": np.zeros((7, 1))}, "rows"),
        ({"x": np.full((8, 1), np.nan)}, "NaN"),
        ({"x": np.zeros((8, 1), complex)}, "real numbers"),
        ({"x": np.array([object()] * 8)}, "real numbers"),
        ({"x": np.zeros((1, 2)), "y": np.zeros((1, 2))}, "2 to 10,000 samples"),
        ({"width": 0}, "width"),
        ({"width": math.nan}, "width"),
        ({"width": "mean"}, "width"),
        ({"width": True}, "width"),
        ({"permutations": -1}, "permutations"),
        ({"permutations": 2.5}, "permutations"),
        ({"seed": -1}, "seed"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    x = np.arange(8.0)[:, None]
    with pytest.raises(InputError, match=message):
        cauchy_schwarz_information(**{"x": x, "y": x, **arguments})


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_divergence_of_shifted_normals(width):
    """Of N(0,1) and N(m,1) it is m^2 / (w^2 + 2), in nats, whatever the samples' numbers."""
    p, q = (ndtri((np.arange(n) + 0.5) / n) for n in (1000, 500))  # quantiles: nothing by chance
    expected = 1.5**2 / (width**2 + 2) / math.log(2)
    assert cauchy_schwarz_divergence(p, 1.5 + q, width=width) == pytest.approx(expected, rel=0.02)


def test_divergence_of_classes():
    p, q = np.repeat([0, 1], [30, 10]), np.repeat([0, 1], [10, 30])
    expected = -2 * math.log2(0.375 / 0.625)
    assert cauchy_schwarz_divergence(p, q) == pytest.approx(expected)
    names = np.array(["cat", "dog"])
    assert cauchy_schwarz_divergence(names[p], names[q]) == pytest.approx(expected)
    assert cauchy_schwarz_divergence(names[p], np.array(["eel", "dog"])[q]) != expected
    assert cauchy_schwarz_divergence(p, q + 2) == math.inf


def test_divergence_far_apart_is_a_number():
    x, _ = pair(n=50)
    near, far = (cauchy_schwarz_divergence(x, x + shift, width=1.0) for shift in (1e2, 1e3))
    assert far == pytest.approx(100 * near, rel=0.05)  # exponents do not vanish
    assert cauchy_schwarz_divergence(x, x) == 0.0
    assert cauchy_schwarz_divergence(np.ones((5, 2)), np.ones((9, 2))) == 0.0
    scaled = (cauchy_schwarz_divergence(s * x, s * (x + 1)) for s in (1e-30, 1.0, 1e30))
    assert len({round(value, 9) for value in scaled}) == 1


@pytest.mark.parametrize(
    ("q", "message"),
    [
        (np.zeros((8, 3)), "same units"),
        (np.zeros(8, int), "same units"),
        (np.array(["a"] * 8), "same units"),
    ],
)
def test_divergence_of_unlike_samples_is_refused(q, message):
    with pytest.raises(InputError, match=message):
        cauchy_schwarz_divergence(np.zeros((8, 2)), q)
    with pytest.raises(InputError, match=message):
        cauchy_schwarz_divergence(np.array([0, 1]), np.array(["a", "b"]))


def test_conditional_divergence_is_0_where_predictions_are_right():
    x, y = pair()
    assert conditional_cauchy_schwarz_divergence(x, y, y) == 0.0
    shifted = [conditional_cauchy_schwarz_divergence(x, y, y + by) for by in (0.1, 0.5, 1.0, 2.0)]
    assert shifted[0] > 0.0
    assert shifted == sorted(shifted)
    labels = (y[:, 0] > 0).astype(int)
    assert conditional_cauchy_schwarz_divergence(x, labels, labels) == 0.0
    assert conditional_cauchy_schwarz_divergence(x, labels, labels[::-1]) > 0.01
    with pytest.raises(InputError, match="belong together"):
        conditional_cauchy_schwarz_divergence(x[1:], y, y)
