"""Diffusion spectral mutual information: golden values, identities, behaviour."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoplane import diffusion_spectral_entropy, diffusion_spectral_mutual_information
from infoplane.errors import EstimationError, InputError

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = json.loads((GOLDEN / "dse.json").read_text())["cases"]
INPUTS = np.load(GOLDEN / "dse_inputs.npz")
OTHER_ENTROPIES = {"matrix_entry_entropy", "classic_shannon_entropy"}


def information(x, reference, **options):
    return diffusion_spectral_mutual_information(x, reference, **options)


def blobs(seed, n_classes=3, size=30, distance=4.0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes), size)
    return distance * rng.normal(size=(n_classes, 4))[labels] + rng.normal(
        size=(len(labels), 4)
    ), labels


@pytest.mark.parametrize(
    ("name", "call"),
    [
        (case["id"], call)
        for case in CASES
        for call in case["calls"]
        if call["fn"] == "dsmi" and not OTHER_ENTROPIES & call["kw"].keys()
    ],
)
def test_equals_the_reference_implementation(name, call):
    options = call["kw"]
    settings_ = {
        "sigma": options.get("gaussian_kernel_sigma", 10.0),
        "t": options.get("t", 1),
        "seed": options.get("random_seed", 0),
        "repetitions": options.get("num_repetitions", 5),
        "min_class_size": 1,
    }
    x, reference = INPUTS[f"{name}__X"], INPUTS[f"{name}__{call['ref']}"]
    if "cluster_labels" in call:
        reference, settings_["kind"] = np.array(call["cluster_labels"]), "clusters"
    found = information(x, reference, n_clusters=options.get("n_clusters", 10), **settings_)
    assert found.bits == pytest.approx(call["value"], abs=call["tol"], rel=0)
    assert found.counts.tolist() == call["cluster_counts"]
    assert np.unique(found.clusters).tolist() == call["cluster_values"]


@given(seed=st.integers(0, 1000), t=st.sampled_from([1, 2]))
@settings(max_examples=10, deadline=None)
def test_names_of_the_labels_do_not_matter(seed, t):
    x, labels = blobs(seed)
    expected = information(x, labels, t=t)
    renamed = information(x, np.array(["b", "c", "a"])[labels], t=t)
    assert renamed.bits == pytest.approx(expected.bits, abs=1e-12)
    one_hot = information(x, np.eye(3, dtype=int)[labels], t=t)
    assert one_hot.bits == expected.bits
    assert information(x, labels.astype(float), t=t).bits == expected.bits


@given(seed=st.integers(0, 1000), sigma=st.floats(0.2, 20), t=st.sampled_from([1, 2, 5]))
@settings(max_examples=15, deadline=None)
def test_never_exceeds_the_mean_log_size_of_the_classes(seed, sigma, t):
    x, labels = blobs(seed, size=12)
    labels = np.where(np.arange(len(labels)) < 25, 0, labels)
    found = information(x, labels, sigma=sigma, t=t, min_class_size=1)
    shares = found.counts / found.counts.sum()
    assert found.bound == pytest.approx((shares * np.log2(found.counts)).sum())
    assert found.bits <= found.bound + 1e-9


def test_one_class_and_classes_of_one_point_tell_nothing():
    x, _ = blobs(0)
    assert information(x, np.zeros(90)).bits == 0.0
    assert information(x, np.arange(90), min_class_size=1).bits == 0.0


def test_is_the_mean_over_classes_of_subsets_less_class():
    x, labels = blobs(1, size=20)
    labels[:15] = 2  # 5, 20 and 35 samples
    found = information(x, labels, sigma=2.0, repetitions=3, seed=4, min_class_size=1)
    terms, weights = [], []
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        draw = random.Random(4)
        subsets = [draw.sample(range(60), int(count)) for _ in range(3)]
        entropies = [diffusion_spectral_entropy(x[rows], sigma=2.0).bits for rows in subsets]
        own = diffusion_spectral_entropy(x[labels == label], sigma=2.0).bits
        terms.append(np.mean(entropies) - own)
        weights.append(count / 60)
    np.testing.assert_allclose(found.per_class, terms, atol=1e-10)
    assert found.bits == pytest.approx(np.dot(terms, weights), abs=1e-10)


def test_the_bandwidth_is_that_of_the_whole_set():
    x, labels = blobs(2)
    found = information(x, labels)
    assert found.sigma == diffusion_spectral_entropy(x).sigma
    assert found.bits == information(x, labels, sigma=found.sigma).bits


def test_distances_per_subset_and_slices_of_one_kernel_agree():
    x, labels = blobs(3, n_classes=10, size=20)
    few = information(x, labels, repetitions=1)  # fewer pairs in subsets than in the set
    many = information(x, labels, repetitions=40)
    assert few.bits != many.bits
    assert information(x, labels, repetitions=1, permutations=20).bits == pytest.approx(
        few.bits, abs=1e-11
    )


def test_small_classes_are_left_out_with_their_points():
    x, labels = blobs(4)
    labels = labels.copy()
    labels[:4] = 7
    found = information(x, labels)
    kept = information(x[4:], labels[4:], sigma=found.sigma)
    assert found.bits == pytest.approx(kept.bits, abs=1e-12)
    assert found.counts.tolist() == [26, 30, 30, 4]
    assert np.isnan(found.per_class).tolist() == [False, False, False, True]
    assert "small_n" in found.flags
    with pytest.raises(EstimationError, match="at least 50"):
        information(x, labels, min_class_size=50)


def test_unrelated_labels_are_within_the_permutation_null():
    x, labels = blobs(5, size=60)
    shuffled = np.random.default_rng(0).permutation(labels)
    null = information(x, shuffled, permutations=20)
    # Five standard deviations of the null.
    assert abs(null.bits - null.null_mean) < 5 * null.null_sd
    assert "null_dominates" in information(x, shuffled, permutations=20, repetitions=20).flags
    told = information(x, labels, permutations=20)
    assert told.bits > told.null_mean + 20 * told.null_sd
    assert "null_dominates" not in told.flags
    assert information(x, labels).null_mean is None


def test_negative_values_are_shown_and_flagged():
    # One class holds the spread of all, the others are single points many times over.
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(40, 3)), np.zeros((120, 3))])
    labels = np.repeat([0, 1], [40, 120])
    labels[40:50] = 0
    values = [
        information(x + 0.01 * rng.normal(size=x.shape), rng.permutation(labels), repetitions=2)
        for _ in range(20)
    ]
    assert min(value.bits for value in values) < 0
    for value in values:
        assert ("negative" in value.flags) == (value.bits < 0)


def test_standard_error_is_the_spread_of_repeated_draws():
    x, labels = blobs(6)
    found = [information(x, labels, repetitions=10, seed=seed) for seed in range(40)]
    spread = np.std([one.bits for one in found], ddof=1)
    reported = np.mean([one.standard_error for one in found])
    # The spread of 40 values is known to about 11 %.
    assert reported == pytest.approx(spread, rel=0.4)
    assert information(x, labels, repetitions=1).standard_error is None


def test_several_times_are_the_single_ones():
    x, labels = blobs(7)
    found = information(x, labels, t=[1, 2, 4], permutations=3)
    assert found.bits.shape == found.null_mean.shape == found.null_sd.shape == (3,)
    assert found.per_class.shape == (3, 3)
    for t, value in zip((1, 2, 4), found.bits, strict=True):
        assert information(x, labels, t=t).bits == pytest.approx(value, rel=1e-12)


def test_scalars_are_binned_and_vectors_clustered():
    x, labels = blobs(8, distance=10.0)
    scalar = information(x, x[:, 0], n_clusters=4)
    assert scalar.diagnostics["kind"] == "scalar"
    assert set(np.unique(scalar.clusters)) <= {1, 2, 3, 4}
    vector = information(x, x, n_clusters=3)
    assert vector.diagnostics["kind"] == "vector"
    assert vector.bits == pytest.approx(information(x, labels).bits, abs=1e-12)


def test_saturation_and_collapse_are_flagged():
    x, labels = blobs(9)
    assert "saturated" in information(x, labels, sigma=1e-3).flags
    assert "degenerate" in information(x, labels, sigma=1e3).flags
    same = information(np.ones((60, 3)), np.arange(60) % 2)
    assert same.bits == 0.0
    assert "constant" in same.flags


def test_quadrature_agrees_with_all_eigenvalues():
    x, labels = blobs(10, n_classes=2, size=400)
    exact = information(x, labels, repetitions=2)
    found = information(x, labels, repetitions=2, method="slq")
    assert found.bits == pytest.approx(exact.bits, abs=0.02)


@pytest.mark.parametrize(
    ("reference", "options", "message"),
    [
        (np.arange(5), {}, "one reference per sample, 90, got 5"),
        (np.arange(90) % 3, {"repetitions": 0}, "repetitions"),
        (np.arange(90) % 3, {"min_class_size": 0}, "min_class_size"),
        (np.arange(90) % 3, {"permutations": -1}, "permutations"),
        (np.full(90, np.nan), {}, "NaN"),
    ],
)
def test_unfit_arguments_are_refused(reference, options, message):
    with pytest.raises(InputError, match=message):
        information(blobs(0)[0], reference, **options)


def test_global_random_state_is_not_touched():
    random.seed(5)
    before = random.getstate()
    information(*blobs(0), permutations=1)
    assert random.getstate() == before


def test_rounding_below_zero_is_not_flagged():
    x = np.random.default_rng(0).normal(size=(60, 5))
    found = diffusion_spectral_mutual_information(x, [1, 2, 3] + 57 * [0])
    assert abs(found.bits) < 1e-9
    assert "negative" not in found.flags


def test_disjoint_subsets_have_the_mean_of_independent_ones_and_less_spread():
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(6), [20, 30, 40, 50, 60, 70])
    x = rng.normal(size=(270, 4)) + labels[:, None] / 3

    def told(subsets, repetitions):
        return diffusion_spectral_mutual_information(
            x, labels, subsets=subsets, repetitions=repetitions
        )

    disjoint, many, official = told("disjoint", 2), told("disjoint", 60), told("official", 400)
    sd = {one.diagnostics["subsets"]: one.diagnostics["sd_over_repetitions"]
          for one in (many, official)}  # fmt: skip
    assert sd["disjoint"] < 0.5 * sd["official"]
    error = sd["official"] / 400**0.5
    assert many.bits == pytest.approx(official.bits, abs=4 * error)
    assert disjoint.bits == pytest.approx(many.bits, abs=3 * disjoint.standard_error)
    assert disjoint.standard_error > sd["disjoint"] / 2**0.5  # on the safe side
    assert told("disjoint", 2).bits == disjoint.bits


def test_disjoint_subsets_of_one_class_are_the_class():
    x = np.random.default_rng(6).normal(size=(50, 3))
    found = diffusion_spectral_mutual_information(x, np.zeros(50, dtype=int), subsets="disjoint")
    assert found.bits == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(InputError, match="expected subsets official or disjoint, got 'nested'"):
        diffusion_spectral_mutual_information(x, np.zeros(50, dtype=int), subsets="nested")
