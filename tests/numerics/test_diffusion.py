"""Diffusion spectral entropy: golden values, identities, behaviour on awkward input."""

import json
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from infoplane import diffusion_spectral_entropy, diffusion_spectral_mutual_information
from infoplane.errors import InputError
from infoplane.numerics.diffusion import space as diffusion_space
from infoplane.numerics.diffusion.bandwidth import bandwidth, median_distance, median_of_squares
from infoplane.numerics.diffusion.kernel import diffusion_kernel, gaussian_kernel, half_squares
from infoplane.numerics.diffusion.points import mean_squared_cosine, point_cloud

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = json.loads((GOLDEN / "dse.json").read_text())["cases"]
INPUTS = np.load(GOLDEN / "dse_inputs.npz")
OTHER_ENTROPIES = {"matrix_entry_entropy", "classic_shannon_entropy"}


def bits(x, **options):
    return diffusion_spectral_entropy(x, **options).bits


def points(seed, n=40, n_units=5):
    return np.random.default_rng(seed).normal(size=(n, n_units))


seeds = st.integers(0, 2**31)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        (case["id"], call)
        for case in CASES
        for call in case["calls"]
        if call["fn"] == "dse" and not OTHER_ENTROPIES & call["kw"].keys()
    ],
)
def test_equals_the_reference_implementation(name, call):
    options = call["kw"]
    found = bits(
        INPUTS[f"{name}__X"],
        sigma=options.get("gaussian_kernel_sigma", 10.0),
        t=options.get("t", 1),
        max_samples=options.get("max_N", 10_000),
        seed=options.get("random_seed", 0),
    )
    assert found == pytest.approx(call["value"], abs=call["tol"], rel=0)


@pytest.mark.parametrize(
    ("name", "known"), [(case["id"], one) for case in CASES for one in case["aux_not_official"]]
)
def test_row_stochastic_operator_has_the_entropy_of_an_independent_computation(name, known):
    times = [float(t) for t in known["rowstochastic_P_dse"]]
    found = diffusion_spectral_entropy(
        INPUTS[f"{name}__X"], sigma=known["sigma"], t=times, normalization="rowstochastic"
    )
    expected = list(known["rowstochastic_P_dse"].values())
    np.testing.assert_allclose(found.bits, expected, atol=2e-9, rtol=0)


def test_row_stochastic_with_alpha_0_is_the_official_one():
    x = points(0)
    plain = bits(x, sigma=1.0, normalization="rowstochastic", alpha=0.0)
    assert plain == pytest.approx(bits(x, sigma=1.0), abs=1e-12)


@given(seed=seeds, t=st.sampled_from([1, 2, 5]))
@settings(max_examples=20, deadline=None)
def test_invariant_under_what_keeps_distances(seed, t):
    x = points(seed)
    rng = np.random.default_rng(seed + 1)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    expected = bits(x, sigma=1.5, t=t)
    for same in (
        x + rng.normal(size=5),
        x @ rotation,
        np.column_stack([x, np.full(len(x), 3.0)]),
        x[rng.permutation(len(x))],
        np.repeat(x, 3, axis=0),  # weights all points alike
    ):
        assert bits(same, sigma=1.5, t=t) == pytest.approx(expected, abs=1e-11)


@given(seed=seeds, factor=st.floats(1e-6, 1e6))
@settings(max_examples=20, deadline=None)
def test_scaling_points_and_bandwidth_together_changes_nothing(seed, factor):
    x = points(seed)
    assert bits(factor * x, sigma=factor) == pytest.approx(bits(x, sigma=1.0), abs=1e-11)
    for rule in ("median", "rms"):
        assert bits(factor * x, sigma=rule) == pytest.approx(bits(x, sigma=rule), abs=1e-11)


@given(seed=seeds, sigma=st.floats(0.05, 20))
@settings(max_examples=20, deadline=None)
def test_falls_with_diffusion_time_and_stays_within_its_bounds(seed, sigma):
    x = points(seed)
    found = bits(x, sigma=sigma, t=[0.5, 1, 2, 4, 8, 16])
    assert (np.diff(found) <= 1e-12).all()
    assert found.min() >= 0
    assert found.max() <= np.log2(len(x)) + 1e-12


def test_limits_count_points_clusters_and_one():
    x = np.repeat(points(0, n=12), 4, axis=0)
    assert bits(x, sigma=1e-3) == pytest.approx(np.log2(12), abs=1e-9)
    assert bits(x, sigma=1e-5) == pytest.approx(np.log2(12), abs=1e-9)
    assert bits(x, sigma=1e5) < 1e-6
    far = np.concatenate([points(i) + 1e3 * i for i in range(4)])
    assert bits(far, sigma=3.0, t=300) == pytest.approx(2.0, abs=1e-6)


def test_several_times_are_the_single_ones():
    x = points(1)
    found = diffusion_spectral_entropy(x, t=[1, 2, 5])
    assert found.bits.shape == found.standard_error.shape == (3,)
    assert list(found.bits) == [bits(x, t=t) for t in (1, 2, 5)]
    assert isinstance(bits(x, t=2), float)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("median", lambda x: np.sqrt(np.median(pdist(x) ** 2) / 2)),
        ("rms", lambda x: np.sqrt(np.mean(pdist(x) ** 2) / 2)),
        ("sqrtd", lambda x: x.shape[1] ** 0.5),
    ],
)
@pytest.mark.parametrize("n", [2, 3, 40, 601])
def test_rules_for_the_bandwidth(rule, expected, n):
    x = points(2, n=n, n_units=7) + 5
    found = diffusion_spectral_entropy(x, sigma=rule)
    assert found.sigma == pytest.approx(expected(x), rel=1e-12)
    assert found.diagnostics["sigma_rule"] == rule
    assert found.diagnostics["rms_distance"] == pytest.approx(
        np.sqrt(np.mean(pdist(x) ** 2)), rel=1e-12
    )


@pytest.mark.parametrize(("n", "accuracy"), [(1500, 1e-12), (2500, 1e-12), (4500, 1e-6)])
def test_median_distance_of_many_points_is_not_sampled(n, accuracy):
    x = points(3, n=n, n_units=3) ** 3
    cloud = point_cloud(x)
    assert median_distance(cloud) == pytest.approx(np.median(pdist(x)), rel=accuracy)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 600, 601])
def test_median_of_a_matrix_of_squares_is_that_of_the_pairs(n):
    cloud = point_cloud(7 * points(3, n=n, n_units=3))
    cloud.rescale(2.0)
    found = median_of_squares(half_squares(cloud.in_single_precision()), cloud)
    assert found == pytest.approx(median_distance(cloud), rel=1e-6)


def test_median_of_a_float32_matrix_is_refused_where_it_blurs():
    x = points(3, n=600)
    x[:500] *= 1e-3  # their distances drown in those of the others
    cloud = point_cloud(x)
    assert median_of_squares(half_squares(cloud.in_single_precision()), cloud) is None


def test_l2_is_bandwidth_1_on_rows_of_length_1():
    x = points(4)
    rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert bits(x, sigma="l2") == pytest.approx(bits(rows, sigma=1.0), abs=1e-12)


def test_offset_does_not_cancel():
    # The reference gives 5.391 for an offset of 1e8, 5.373 without (arXiv 2312.04823, code 1.1).
    x = np.round(points(5), 3)
    assert bits(x + 2.0**27, sigma=1.0) == pytest.approx(bits(x, sigma=1.0), abs=1e-6)


def test_huge_and_tiny_coordinates_neither_overflow_nor_vanish():
    x = points(6)
    for factor in (1e200, 1e-200, 1e300):
        assert bits(factor * x) == pytest.approx(bits(x), abs=1e-11)


def test_bandwidth_below_resolution_is_raised_and_flagged():
    found = diffusion_spectral_entropy(points(6), sigma=1e-200)
    assert found.bits == pytest.approx(np.log2(40))
    assert "out_of_range" in found.flags
    assert found.diagnostics["sigma_requested"] == 1e-200


def test_a_far_outlier_does_not_blur_the_others():
    x = points(6, n=200)
    far = x.copy()
    far[0] = 1e7
    # The other 199 keep their kernel, the outlier adds one eigenvalue 1 to their spectrum.
    alone = diffusion_spectral_entropy(x[1:], sigma=1.0)
    share = 1 / (alone.diagnostics["trace"] + 1)
    expected = (1 - share) * alone.bits - share * np.log2(share)
    expected -= (1 - share) * np.log2(1 - share)
    assert bits(far, sigma=1.0) == pytest.approx(expected, abs=1e-3)


def test_equal_points_have_no_entropy_and_say_so():
    for sigma in ("median", "rms", 1.0):
        found = diffusion_spectral_entropy(np.full((20, 3), 0.1), sigma=sigma)
        assert found.bits == 0.0
        assert {"constant", "degenerate"} <= set(found.flags)
    assert bits(points(0, n=1)) == 0.0


def test_median_of_mostly_equal_points_falls_back_to_rms():
    x = np.zeros((30, 2))
    x[:5] = points(0, n=5, n_units=2)
    found = diffusion_spectral_entropy(x)
    assert found.diagnostics["sigma_rule"].startswith("rms")
    assert "atoms" in found.flags
    assert found.sigma == pytest.approx(np.sqrt(np.mean(pdist(x) ** 2) / 2))


def test_flags_mark_saturation_and_collapse():
    x = points(7, n=100)
    assert "saturated" in diffusion_spectral_entropy(x, sigma=0.01).flags
    assert "degenerate" in diffusion_spectral_entropy(x, sigma=100.0).flags
    assert diffusion_spectral_entropy(x).flags == ()
    assert "small_n" in diffusion_spectral_entropy(x[:20]).flags


def test_subsample_is_that_of_the_reference_and_flagged():
    x = points(8, n=60)
    found = diffusion_spectral_entropy(x, max_samples=25, seed=3, sigma=1.0)
    rows = random.Random(3).sample(range(60), 25)
    assert found.bits == pytest.approx(bits(x[rows], sigma=1.0), abs=1e-12)
    assert "subsampled" in found.flags
    assert found.diagnostics["n"] == 25
    assert found.diagnostics["n_given"] == 60


def test_diagnostics_describe_the_kernel():
    x = points(9, n=50)
    found = diffusion_spectral_entropy(x, sigma=1.3)
    gaussian = np.exp(-((x[:, None] - x) ** 2).sum(-1) / (2 * 1.3**2))
    degree = gaussian.sum(1)
    diagnostics = found.diagnostics
    assert diagnostics["mean_degree"] == pytest.approx(degree.mean())
    assert diagnostics["trace"] == pytest.approx((1 / degree).sum())
    spectrum = np.linalg.eigvals(gaussian / degree[:, None]).real
    np.testing.assert_allclose(diagnostics["leading_eigenvalues"], np.sort(spectrum)[:-11:-1])
    assert diagnostics["n_eigenvalues_above_0.01"] == (spectrum > 0.01).sum()
    assert diagnostics["fraction_of_log2_n"] == pytest.approx(found.bits / np.log2(50))
    json.dumps(diagnostics, allow_nan=False)


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": 1.5},
        {"sigma": "rms", "normalization": "rowstochastic", "alpha": 0.5},
        {"sigma": "l2", "normalization": "rowstochastic", "alpha": 1.0},
        {"sigma": "median", "dtype": "float32", "method": "exact"},
    ],
)
def test_equal_rows_are_solved_once_and_change_nothing(options, monkeypatch):
    draw = np.random.default_rng(15)
    x = points(15, n=700, n_units=12)[draw.integers(0, 700, 900) // draw.integers(1, 5, 900)]
    found = diffusion_spectral_entropy(x, t=[1, 2, 5], **options)
    assert found.diagnostics["matrix_size"] == len(np.unique(x, axis=0)) < 700
    monkeypatch.setattr(diffusion_space, "_repeats", lambda points: None)
    plain = diffusion_spectral_entropy(x, t=[1, 2, 5], **options)
    assert plain.diagnostics["matrix_size"] == plain.diagnostics["n"] == 900
    accuracy = 1e-5 if "dtype" in options else 1e-9
    np.testing.assert_allclose(found.bits, plain.bits, rtol=0, atol=accuracy)
    for name in ("mean_degree", "trace", "median_distance", "rms_distance", "n"):
        assert found.diagnostics[name] == pytest.approx(plain.diagnostics[name], rel=accuracy)
    assert found.flags == plain.flags


def test_information_of_equal_rows(monkeypatch):
    draw = np.random.default_rng(16)
    x, labels = points(16, n=60)[draw.integers(0, 60, 400)], draw.integers(0, 4, 400)
    found = diffusion_spectral_mutual_information(x, labels, permutations=3)
    monkeypatch.setattr(diffusion_space, "_repeats", lambda points: None)
    plain = diffusion_spectral_mutual_information(x, labels, permutations=3)
    assert found.bits == pytest.approx(plain.bits, abs=1e-10)
    assert found.null_mean == pytest.approx(plain.null_mean, abs=1e-10)
    np.testing.assert_allclose(found.per_class, plain.per_class, atol=1e-10)


def test_mean_squared_cosine():
    x = points(10, n=30)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert mean_squared_cosine(x) == pytest.approx(((unit @ unit.T) ** 2).mean(), rel=1e-5)
    assert mean_squared_cosine(x[:4]) == pytest.approx(((unit[:4] @ unit[:4].T) ** 2).mean(), 1e-5)
    assert mean_squared_cosine(np.zeros((3, 2))) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint8, bool])
def test_types_are_computed_in_float64(dtype):
    x = (10 * points(11)).astype(dtype)
    assert bits(x) == bits(x.astype(np.float64))


def test_torch_tensors_are_accepted():
    x = points(12)
    assert bits(torch.from_numpy(x)) == bits(x)
    half = torch.from_numpy(x).bfloat16().requires_grad_()
    assert bits(half) == bits(half.detach().float().numpy())


def test_float32_is_close_to_float64():
    x = points(13, n=300)
    for sigma in (0.5, 2.0, 5.0):
        single = bits(x, sigma=sigma, t=[1, 2], method="exact", dtype="float32")
        np.testing.assert_allclose(single, bits(x, sigma=sigma, t=[1, 2]), atol=1e-4)


def test_tensor_operations_equal_those_on_arrays():
    # What runs on a GPU, on the CPU.
    x = points(14, n=300)
    array = point_cloud(x)
    tensor = point_cloud(torch.from_numpy(x))
    assert bandwidth(tensor, "median").sigma == pytest.approx(
        bandwidth(array, "median").sigma, rel=1e-12
    )
    for normalization in ("official", "rowstochastic"):
        for dtype, accuracy in (("float64", 1e-12), ("float32", 1e-5)):
            expected = diffusion_kernel(gaussian_kernel(array, dtype), normalization, 0.5)
            found = diffusion_kernel(gaussian_kernel(tensor, dtype), normalization, 0.5)
            np.testing.assert_allclose(found[0].numpy(), expected[0], atol=accuracy)
            np.testing.assert_allclose(found[1].numpy(), expected[1], atol=accuracy * 20)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_tensor_gives_the_same():
    x = points(15, n=3000)
    for options in ({"method": "exact"}, {"method": "slq", "dtype": "float64"}):
        found = bits(torch.from_numpy(x).cuda(), **options)
        assert found == pytest.approx(bits(x, **options), abs=1e-6)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (points(0)[0], {}, "n_samples, n_units"),
        (points(0).reshape(4, 10, 5, 1), {}, "n_samples, n_units"),
        (np.zeros((0, 5)), {}, "samples and units"),
        (np.array([[1.0], [np.nan], [np.inf]]), {}, "2 of 3 rows"),
        (points(0).astype(complex), {}, "real numbers"),
        (points(0), {"sigma": 0}, "sigma above 0"),
        (points(0), {"sigma": -10}, "sigma above 0"),
        (points(0), {"sigma": float("nan")}, "sigma above 0"),
        (points(0), {"sigma": "mean"}, "'mean'"),
        (points(0), {"t": 0}, "t above 0"),
        (points(0), {"t": [1, -1]}, "t above 0"),
        (points(0), {"t": []}, "t above 0"),
        (points(0), {"normalization": "none"}, "'none'"),
        (points(0), {"alpha": 2.0}, "alpha"),
        (points(0), {"method": "nystrom"}, "'nystrom'"),
        (points(0), {"dtype": "float16"}, "'float16'"),
        (points(0), {"max_samples": 0}, "max_samples"),
    ],
)
def test_unfit_arguments_are_refused(x, options, message):
    with pytest.raises(InputError, match=message):
        diffusion_spectral_entropy(x, **options)


def test_no_global_state_is_touched():
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()
    filters, threads = list(warnings.filters), torch.get_num_threads()
    x = points(16, n=80)
    copy = x.copy()
    diffusion_spectral_entropy(x, max_samples=50)
    diffusion_spectral_entropy(x, method="slq")
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.random.get_rng_state(), before[2])
    assert warnings.filters == filters
    assert torch.get_num_threads() == threads
    assert (x == copy).all()


@pytest.mark.parametrize(("n", "copies"), [(300, 1), (300, 4), (300, 15)])
def test_a_median_of_copies_is_zero_whatever_rounding_makes_of_it(n, copies):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 7))
    x[: 3 * n // 4] = np.pi * rng.normal(size=7)
    x = np.repeat(x, copies, axis=0)
    found = diffusion_spectral_entropy(x)
    assert found.diagnostics["median_distance"] == 0.0
    assert "atoms" in found.flags
    assert found.sigma == pytest.approx(found.diagnostics["rms_distance"] / 2**0.5)


def test_short_distances_among_long_ones_are_measured_in_double_precision():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4200, 3))
    x[:40] += 1e6 * rng.normal(size=(40, 3))
    found = diffusion_spectral_entropy(x, max_samples=4200, method="slq")
    pairs = rng.integers(0, 4200, size=(2, 200_000))
    sampled = np.median(np.linalg.norm(x[pairs[0]] - x[pairs[1]], axis=1))
    assert found.diagnostics["median_distance"] == pytest.approx(sampled, rel=0.01)


@pytest.mark.parametrize("options", [{"sigma": None}, {"t": "long"}, {"seed": None}, {"seed": 0.5}])
def test_options_that_are_no_numbers_are_refused(options):
    with pytest.raises(InputError, match="expected"):
        diffusion_spectral_entropy(np.eye(5), **options)
