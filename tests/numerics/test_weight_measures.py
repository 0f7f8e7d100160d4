"""Condition, volume, ranks, norms and exponent of weights, where the answer is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infoplane import weight_measures
from infoplane.errors import EstimationError, InputError
from infoplane.numerics.tails import fit_tail
from infoplane.numerics.weight_measures import (
    gaussian_null,
    measures_of,
    singular_values,
    square_condition,
)
from infoplane.weights import frobenius, resolution


def turned(values, rows, columns, seed=0):
    """Return a matrix of these singular values, in random directions."""
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.standard_normal((rows, len(values))))[0]
    right = np.linalg.qr(rng.standard_normal((columns, len(values))))[0]
    return left * values @ right.T


def heavy(kind, seed, rows, columns):
    rng = np.random.default_rng(seed)
    if kind == "normal":
        return rng.standard_normal((rows, columns)) / np.sqrt(columns)
    if kind == "student":
        return rng.standard_t(3, (rows, columns)) / np.sqrt(columns)
    left, values, right = np.linalg.svd(rng.standard_normal((rows, columns)), full_matrices=False)
    return left * np.arange(1, len(values) + 1.0) ** -0.7 @ right


@pytest.mark.parametrize(
    ("kind", "seed", "rows", "columns", "alpha", "distance", "smallest", "n", "rank"),
    [
        ("normal", 0, 64, 64, 3.911571445309917, 0.1594540803540761, 1.7592642188851364, 15,
         15.846333036809373),
        ("normal", 1, 100, 40, 2.9067689849627785, 0.15391091693104703, 1.9931593590921182, 23,
         16.130343632853847),
        ("student", 2, 128, 300, 5.195833633741622, 0.08859890370748291, 5.616562989002801, 18,
         34.805902835712146),
        ("student", 3, 200, 200, 4.0551508898288136, 0.0570550183789863, 7.129705441625656, 24,
         25.041789441351124),
        ("power", 4, 150, 80, 1.743186311707828, 0.014590511154811692, 0.0021660776348598316, 80,
         2.673411631026949),
        ("power", 5, 30, 256, 1.7827020929450934, 0.03360956175578622, 0.008551262600806742, 30,
         2.4684449643293953),
        ("normal", 6, 20, 20, 4.282452277679019, 0.17173419950701319, 1.7382941112188575, 6,
         5.651206330135032),
    ],
)  # fmt: skip
def test_alpha_and_stable_rank_of_weightwatcher(
    kind, seed, rows, columns, alpha, distance, smallest, n, rank
):
    """Values of WeightWatcher 0.7.7, whose fit is made with its own class WWFit."""
    found = weight_measures(heavy(kind, seed, rows, columns))
    assert found.alpha == pytest.approx(alpha, rel=1e-6)
    assert found.tail.distance == pytest.approx(distance, rel=1e-6)
    assert found.tail.smallest * found.spectral_norm**2 == pytest.approx(smallest, rel=1e-6)
    assert found.tail.n == n
    assert found.stable_rank == pytest.approx(rank, rel=1e-6)


@pytest.mark.parametrize("shape", [(3, 3), (3, 7), (70, 90), (90, 70), (200, 64)])
def test_measures_of_known_singular_values(shape):
    values = np.geomspace(5.0, 0.05, min(shape))
    found = weight_measures(turned(values, *shape))
    assert found.condition_number == pytest.approx(100.0, rel=1e-7)
    assert found.spectral_norm == pytest.approx(5.0, rel=1e-9)
    assert found.frobenius_norm == pytest.approx(np.linalg.norm(values), rel=1e-9)
    assert found.stable_rank == pytest.approx(np.sum(values**2) / 25, rel=1e-9)
    expected = np.log(values).mean() - 0.5 * np.log(np.mean(values**2))
    assert found.log_volume == pytest.approx(expected, rel=1e-7)
    assert found.rank == min(shape)


def test_isotropic_weights_have_no_log_volume():
    found = weight_measures(turned(np.full(8, 3.0), 8, 20))
    assert found.log_volume == pytest.approx(0.0, abs=1e-12)
    assert found.condition_number == pytest.approx(1.0)
    assert found.stable_rank == pytest.approx(8.0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(40, 60), (100, 100), (128, 300)])
def test_what_is_below_rounding_makes_the_condition_infinite(dtype, shape):
    values = np.geomspace(1.0, 0.5, min(shape))
    values[-3:] = 0.0
    found = weight_measures(turned(values, *shape).astype(dtype))
    assert found.condition_number == math.inf
    assert found.log_volume == -math.inf
    assert found.rank == min(shape) - 3


def test_a_convolution_is_the_matrix_of_its_first_axis():
    w = np.random.default_rng(0).standard_normal((16, 3, 5, 5))
    assert weight_measures(w) == weight_measures(w.reshape(16, -1))


@given(scale=st.sampled_from([1e-150, 1e-30, 1e30, 1e150]), seed=st.integers(0, 20))
def test_scale_changes_norms_alone(scale, seed):
    w = np.random.default_rng(seed).standard_normal((70, 80))
    one, other = weight_measures(w), weight_measures(w * scale)
    for name in ("condition_number", "log_volume", "stable_rank", "alpha"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-6)
    assert other.spectral_norm == pytest.approx(scale * one.spectral_norm, rel=1e-9)
    assert other.frobenius_norm == pytest.approx(scale * one.frobenius_norm, rel=1e-9)


@pytest.mark.parametrize("shape", [(64, 64), (300, 300), (64, 500), (700, 100)])
@pytest.mark.parametrize("condition", [1.5, 1e3, 1e4, 1e6])
def test_products_give_the_singular_values_of_a_decomposition(shape, condition):
    values = np.geomspace(1.0, 1.0 / condition, min(shape))
    w = turned(values, *shape).astype(np.float32)
    exact = np.linalg.svd(w.astype(np.float64), compute_uv=False)
    found = singular_values(w, resolution("float32"))
    above = exact > 1e-5 * exact[0]
    np.testing.assert_allclose(found[above], exact[above], rtol=2e-7)
    one, other = (measures_of(s, shape, resolution("float32")) for s in (found, exact))
    assert one.rank == other.rank


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.ones(4), "two axes or more, got shape"),
        (np.ones((0, 4)), "got shape"),
        (np.full((2, 3), np.nan), "NaN or infinity"),
        (np.full((2, 3), np.inf), "NaN or infinity"),
        (np.ones((2, 3), dtype=complex), "real numbers"),
        (np.array([["a", "b"]]), "real numbers"),
        (np.ma.array(np.eye(3), mask=np.eye(3)), "masked"),
        (None, "real numbers"),
    ],
)
def test_unfit_weights_are_refused(given, words):
    with pytest.raises(InputError, match=words):
        weight_measures(given)


def test_zeros_have_no_direction():
    with pytest.raises(EstimationError, match="got zeros"):
        weight_measures(np.zeros((3, 4)))


@pytest.mark.parametrize("dtype", [np.int8, np.int64, bool])
def test_whole_numbers_are_weights_too(dtype):
    w = np.array([[1, 0], [0, 1], [1, 0]], dtype=dtype)
    assert weight_measures(w).spectral_norm == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("alpha", [1.8, 2.5, 4.0])
def test_exponent_of_a_pareto_sample(alpha):
    rng = np.random.default_rng(0)
    found = fit_tail((1.0 - rng.uniform(size=4000)) ** (-1.0 / (alpha - 1.0)))
    assert abs(found.alpha - alpha) < 4 * found.deviation
    assert found.fits


def test_tail_of_too_few_or_equal_values():
    assert math.isnan(fit_tail(np.arange(1.0, 20.0)).alpha)
    assert math.isnan(fit_tail(np.full(50, 3.0)).alpha)


def test_a_tail_of_two_clusters_is_no_power_law():
    values = np.concatenate([np.linspace(1.0, 1.01, 2000), np.linspace(50.0, 50.1, 2000)])
    assert not fit_tail(values).fits


@pytest.mark.parametrize("shape", [(60, 60), (60, 100), (40, 400)])
def test_null_is_what_normal_weights_read(shape):
    draws = [
        weight_measures(np.random.default_rng(seed).standard_normal(shape)) for seed in range(60)
    ]
    null = gaussian_null(shape)
    volumes = [one.log_volume for one in draws]
    error = np.std(volumes) / math.sqrt(len(draws))
    assert abs(np.mean(volumes) - null["log_volume"]) < 4 * error + 0.01  # mean of a ratio
    assert np.mean([one.stable_rank for one in draws]) == pytest.approx(
        null["stable_rank"], rel=0.1
    )
    conditions = [one.condition_number for one in draws]
    assert np.median(conditions) == pytest.approx(
        null["condition_number"], rel=0.35 if shape[0] == shape[1] else 0.1
    )


def test_condition_of_square_normal_weights_spans_a_decade():
    """64 x 64: 5, 50 and 95 % of 200 draws are 91, 245 and 2888."""
    found = [square_condition(64, share) for share in (0.05, 0.5, 0.95)]
    np.testing.assert_allclose(found, [91, 245, 2888], rtol=0.16)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_frobenius_norm_and_distance(scale):
    w = np.random.default_rng(0).standard_normal((30, 40))
    assert frobenius(w * scale) == pytest.approx(scale * np.linalg.norm(w), rel=1e-12)
    assert frobenius(w * scale, w * scale) == 0.0
    assert math.isnan(frobenius(np.array([1.0, np.nan])))
    assert frobenius(np.zeros(3)) == 0.0


@pytest.mark.parametrize(("dtype", "rows"), [("float16", 2048), ("bfloat16", 512)])
def test_wide_weights_of_half_precision_are_resolved(dtype, rows):
    rng = np.random.default_rng(0)
    exact = rng.standard_normal((rows, 128))
    kept = torch.tensor(exact).to(getattr(torch, dtype))
    step = resolution(dtype)
    values = singular_values(kept.double().numpy(), step)
    found = measures_of(values, kept.shape, step)
    assert found.rank == 128
    assert found.condition_number == pytest.approx(
        weight_measures(exact).condition_number, rel=4 * step
    )
    lower = torch.tensor(exact[:, :100] @ rng.standard_normal((100, 128))).to(kept.dtype)
    values = singular_values(lower.double().numpy(), step)
    assert measures_of(values, lower.shape, step).condition_number == np.inf
