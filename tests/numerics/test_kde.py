"""Kernel-density bounds against exact integrals."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoplane.errors import EstimationError, InputError
from infoplane.estimators.layers.kde_information import kde_information
from infoplane.numerics.kernels.mixtures import BETWEEN, noise_variance, stratified
from infoplane.numerics.kernels.noisy import noisy_network_information

QUADRATURE = json.loads((Path(__file__).parents[1] / "golden/kde_quadrature.json").read_text())


def exact_1d(points, labels, variance):
    """Return I(X;T) and I(T;Y) of a one-dimensional mixture by quadrature, in bits."""
    std = np.sqrt(variance)
    grid = np.arange(points.min() - 9 * std, points.max() + 9 * std, std / 30)

    def entropy(centres):
        density = np.zeros(len(grid))
        for centre in centres:
            density += np.exp(-((grid - centre) ** 2) / (2 * variance))
        density /= len(centres) * np.sqrt(2 * np.pi * variance)
        terms = np.where(density > 0, density * np.log2(np.maximum(density, 1e-300)), 0)
        return -terms.sum() * std / 30

    h_t = entropy(points)
    within = sum((labels == c).mean() * entropy(points[labels == c]) for c in np.unique(labels))
    return h_t - 0.5 * np.log2(2 * np.pi * np.e * variance), h_t - within


def clouds(seed=0, n=300):
    rng = np.random.default_rng(seed)
    uniform = rng.random(n)
    return {
        "uniform": uniform,
        "clusters": rng.choice([-1.0, 1.0], n) + 0.05 * rng.normal(size=n),
        "relu": np.maximum(rng.normal(size=n), 0),
        "tanh": np.tanh(3 * rng.normal(size=n)),
    }


@pytest.mark.parametrize("name", ["uniform", "clusters", "relu", "tanh"])
@pytest.mark.parametrize("variance", [1e-4, 1e-3, 1e-2, 1e-1])
def test_bracket_holds_the_exact_information_in_one_dimension(name, variance):
    points = clouds()[name]
    labels = (points > np.median(points) * 0.9).astype(int)
    labels[::7] = 1 - labels[::7]
    ixt, ity = exact_1d(points, labels, variance)
    info = kde_information(points[:, None], labels, variance=variance)
    assert info.ixt.lower - 1e-9 <= ixt <= info.ixt.upper + 1e-9
    assert info.ity.lower - 1e-9 <= ity <= info.ity.upper + 1e-9
    assert info.ixt.estimate == pytest.approx(ixt, abs=0.06)
    assert info.ity.estimate == pytest.approx(ity, abs=0.03)


@pytest.mark.parametrize("kind", ["tanh", "clusters"])
@pytest.mark.parametrize("variance", [1e-3, 1e-2, 1e-1])
def test_estimate_in_three_dimensions(kind, variance):
    rng = np.random.default_rng(1)
    points = np.tanh(rng.normal(size=(400, 3)))
    if kind == "clusters":
        points = rng.choice([-1.0, 1.0], (400, 3)) + 0.05 * rng.normal(size=(400, 3))
    labels = (points.sum(axis=1) > 0).astype(int)
    exact = noisy_network_information(points, labels, std=np.sqrt(variance), draws=40)
    info = kde_information(points, labels, variance=variance)
    error, short = (0.012, 0.18) if kind == "clusters" else (0.01, 0.15)
    assert exact.ixt_error < error
    assert info.ixt.lower <= exact.ixt <= info.ixt.upper
    assert info.ity.lower <= exact.ity <= info.ity.upper
    # it falls short by up to 0.06 bits per dimension where noise balls begin to overlap
    assert info.ixt.estimate == pytest.approx(exact.ixt, abs=short)


@pytest.mark.parametrize("case", list(QUADRATURE))
def test_share_between_the_bounds_on_published_quadratures(case):
    """Separate quadratures: bounds, exact values, and the convex combination between them."""
    values = QUADRATURE[case]
    one = "exact_ixt" in values
    exact = values["exact_ixt"] if one else values["mc_ixt"]
    low, high = values["ixt_lb"], values["ixt_ub"]
    assert low <= exact <= high
    assert low + BETWEEN * (high - low) == pytest.approx(exact, abs=0.06 if one else 0.12)


def test_share_is_that_of_the_dense_limit():
    """Dense samples: upper - exact = d/2 log2 e, exact - lower = d/2 log2 (4/e)."""
    points = np.linspace(0, 100, 4001)[:, None]
    info = kde_information(points, variance=1.0)
    exact, _ = exact_1d(points[:, 0], np.zeros(4001), 1.0)
    assert info.ixt.upper - exact == pytest.approx(0.5 * np.log2(np.e), abs=0.02)
    assert exact - info.ixt.lower == pytest.approx(0.5 * np.log2(4 / np.e), abs=0.02)


def test_sparse_samples_are_told_apart():
    info = kde_information(np.arange(64.0)[:, None], np.arange(64) % 4)
    for value in (info.ixt.lower, info.ixt.estimate, info.ixt.upper):
        assert value == pytest.approx(6.0, abs=1e-9)
    assert info.ity.lower == pytest.approx(2.0, abs=1e-9)
    assert info.ity.upper == pytest.approx(2.0, abs=1e-9)
    assert "saturated" in info.flags


def direct(points, labels, scale):
    """Return mean_i log2 mean_j exp(-|t_i - t_j|^2 / scale), over all and over the own class."""
    distances = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    kernel = np.exp(-distances / scale)
    same = labels[:, None] == labels[None]
    return -np.log2(kernel.mean(axis=1)).mean(), -np.log2(
        (kernel * same).sum(axis=1) / same.sum(axis=1)
    ).mean()


@pytest.mark.parametrize("n_classes", [1, 2, 7, 150])
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float64", 1e-10), ("mixed", 1e-6), ("float32", 1e-4)]
)
def test_blocks_add_up_to_the_full_matrix(n_classes, precision, tolerance):
    """Class sizes around, below and above the block size, and many tiny classes."""
    rng = np.random.default_rng(n_classes)
    points = np.tanh(rng.normal(size=(700, 4)))
    labels = rng.integers(0, n_classes, 700)
    info = kde_information(points, labels, variance=0.01, precision=precision)
    upper, within_upper = direct(points, labels, 0.02)
    lower, within_lower = direct(points, labels, 0.08)
    assert info.ixt.upper == pytest.approx(upper, abs=tolerance)
    assert info.ixt.lower == pytest.approx(lower, abs=tolerance)
    assert info.ity_kl == pytest.approx(upper - within_upper, abs=tolerance)
    assert info.ity_bd == pytest.approx(lower - within_lower, abs=tolerance)
    assert info.ity.lower == pytest.approx(max(0, lower - within_upper), abs=tolerance)
    assert info.ity.upper == pytest.approx(upper - within_lower, abs=tolerance)


def assert_same_information(found, expected, tolerance):
    assert found.precision == expected.precision
    assert found.flags == expected.flags
    for name in ("ixt", "ity"):
        for end in ("lower", "estimate", "upper"):
            one, other = (getattr(getattr(info, name), end) for info in (found, expected))
            assert one == pytest.approx(other, abs=tolerance)
    assert found.null_ity == pytest.approx(expected.null_ity, abs=tolerance)


@pytest.mark.parametrize("n_classes", [1, 3, 200])
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float64", 1e-10), ("mixed", 1e-6), ("float32", 1e-4)]
)
def test_a_tensor_gives_what_an_array_gives(n_classes, precision, tolerance, monkeypatch):
    """What runs on a GPU, on the CPU, in blocks that cut through classes."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("infoplane.numerics.kernels.sums.DEVICE_BLOCK", 300)
    rng = np.random.default_rng(n_classes)
    points = np.tanh(rng.normal(size=(1300, 4))).astype(np.float32)
    labels = rng.integers(0, n_classes, 1300)
    options = {"variance": 0.01, "precision": precision}
    expected = kde_information(points, labels, **options)
    tensor = torch.from_numpy(points).requires_grad_()
    assert_same_information(kde_information(tensor, labels, **options), expected, tolerance)


def test_half_precision_tensors_are_widened():
    torch = pytest.importorskip("torch")
    points = torch.linspace(0, 1, 40)[:, None].bfloat16()
    expected = kde_information(points.float().numpy())
    assert kde_information(points).ixt.estimate == pytest.approx(expected.ixt.estimate, abs=1e-10)


def test_a_cuda_tensor_gives_the_same():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    rng = np.random.default_rng(0)
    points, labels = np.tanh(rng.normal(size=(9000, 8))), rng.integers(0, 3, 9000)
    for precision, tolerance in (("float64", 1e-9), ("mixed", 1e-6), ("float32", 1e-4)):
        options = {"variance": 0.01, "precision": precision}
        expected = kde_information(points, labels, **options)
        found = kde_information(torch.from_numpy(points).cuda(), labels, **options)
        assert_same_information(found, expected, tolerance)


def test_far_from_the_origin_float32_is_not_used():
    """Rounding of |a|^2 + |b|^2 - 2ab must not turn into information."""
    rng = np.random.default_rng(0)
    points = (100 * rng.normal(size=(1500, 50))).astype(np.float32)
    info = kde_information(points, variance=1e-3, precision="auto")
    assert info.precision == "mixed"
    assert info.ixt.upper == pytest.approx(np.log2(1500), abs=1e-6)
    shifted = kde_information((points[:, :2] / 100 + 1e3).astype(np.float64), variance=1e-2)
    centred = kde_information((points[:, :2] / 100 + 1e3).astype(np.float64) - 1e3, variance=1e-2)
    assert shifted.ixt.upper == pytest.approx(centred.ixt.upper, abs=1e-4)


@given(st.sampled_from([0.01, 0.5, 16.0]), st.integers(0, 100))
def test_noise_relative_to_the_largest_activation(factor, seed):
    points = np.random.default_rng(seed).normal(size=(40, 2))
    one = kde_information(points, noise="akde-std")
    two = kde_information(points * factor, noise="akde-std")
    assert two.ixt.estimate == pytest.approx(one.ixt.estimate, abs=1e-9)
    largest = np.abs(points).max()
    assert noise_variance(largest, "akde-var", 1e-3, 0.05) == pytest.approx(1e-3 * largest)
    assert noise_variance(largest, "akde-std", 1e-3, 0.05) == pytest.approx((0.05 * largest) ** 2)


def test_dead_layer_holds_nothing():
    for noise in ("fixed", "akde-var", "akde-std"):
        info = kde_information(np.zeros((10, 2)), np.arange(10) % 2, noise=noise)
        assert info.ixt.upper == info.ity.upper == 0.0
        assert "constant" in info.flags
        assert info.null_ity == 0.0


@pytest.mark.parametrize("precision", ["float64", "mixed", "float32", "auto"])
def test_numbers_beyond_all_numbers_are_refused(precision):
    points = np.random.default_rng(0).normal(size=(1100, 2))
    with pytest.raises(EstimationError, match="overflow"):
        kde_information(points * 1e200, precision=precision)
    with pytest.raises(EstimationError, match="noise above 0"):
        kde_information(points * 1e-200, noise="akde-std", precision=precision)
    apart = kde_information((points * 1e25).astype(np.float32), precision="auto")
    assert apart.ixt.estimate == pytest.approx(np.log2(1100))


def test_wide_bracket_and_noise_below_resolution_are_flagged():
    rng = np.random.default_rng(0)
    wide = kde_information(rng.normal(size=(500, 8)), variance=1.0)
    assert wide.ixt.upper - wide.ixt.lower > 2
    assert "wide_bracket" in wide.flags
    coarse = kde_information((1e5 + rng.normal(size=(50, 1))).astype(np.float32), variance=1e-6)
    assert "below_resolution" in coarse.flags


def test_subsample_keeps_the_shares_of_the_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    info = kde_information(rng.normal(size=(1000, 2)), labels, max_samples=100)
    assert info.n_samples == 100
    assert "subsampled" in info.flags
    from infoplane.numerics.discrete.symbols import row_symbols

    chosen = stratified(row_symbols(labels[:, None]), 1000, 100, rng)
    assert len(set(chosen.tolist())) == 100
    np.testing.assert_array_equal(np.bincount(labels[chosen]), [50, 30, 20])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": "adaptive"}, "noise"),
        ({"variance": 0.0}, "variance"),
        ({"precision": "half"}, "precision"),
        ({"labels": [0]}, "labels"),
        ({"max_samples": 0}, "max_samples"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(InputError, match=message):
        kde_information(np.array([[0.0], [1.0]]), **arguments)
