"""Categories of a reference."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from infoplane.errors import InputError
from infoplane.numerics.diffusion.clusters import cluster_reference

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = json.loads((GOLDEN / "dse.json").read_text())["cases"]
INPUTS = np.load(GOLDEN / "dse_inputs.npz")


def same_partition(first, second):
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    return len(pairs) == len(set(first.tolist())) == len(set(second.tolist()))


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (np.array([3, 3, 1]), [3, 3, 1]),
        (np.array([[3], [3], [1]], dtype=np.uint8), [3, 3, 1]),
        (np.array([True, False, True]), [1, 0, 1]),
        (np.array(["cat", "ape", "cat"]), [1, 0, 1]),
        (np.array(["cat", "ape", "cat"], dtype=object), [1, 0, 1]),
        (np.array([2.0, 0.0, 2.0]), [2, 0, 2]),
        (np.eye(3)[[2, 0, 2]], [2, 0, 2]),
        (np.eye(3, dtype=int)[[2, 0, 2]], [2, 0, 2]),
    ],
)
def test_labels_of_all_types(reference, expected):
    found = cluster_reference(reference)
    assert found.kind == "labels"
    assert found.labels.tolist() == expected
    assert found.sizes == (1, 2)


def test_twenty_whole_floats_are_twenty_classes():
    assert len(cluster_reference(np.arange(60.0) % 20).sizes) == 20


def test_scalars_fall_into_bins_of_equal_width():
    found = cluster_reference(np.array([0.0, 0.99, 1.01, 9.5, 10.0]), kind="scalar", n_clusters=10)
    assert found.labels.tolist() == [1, 1, 2, 10, 10]
    assert cluster_reference(np.array([0.5, 0.25])).kind == "scalar"
    assert cluster_reference(np.full(5, 0.3)).sizes == (5,)


def test_vectors_equal_the_clusters_of_the_reference_implementation():
    case = next(case for case in CASES if case["id"] == "images_vector_ref")
    for call in case["calls"]:
        if "cluster_labels" in call:
            found = cluster_reference(
                INPUTS[f"images_vector_ref__{call['ref']}"],
                n_clusters=call["kw"].get("n_clusters", 10),
            )
            # Numbers of clusters, and borders by one point, are up to the eigensolver.
            assert found.kind == "vector"
            assert sorted(found.sizes) == sorted(call["cluster_counts"])
            assert same_partition(found.labels, np.array(call["cluster_labels"]))


def test_separate_groups_are_found_and_reported_as_parts():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 25)
    x = 100.0 * np.eye(4)[groups] + rng.normal(size=(100, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cluster_reference(x, n_clusters=4)
    assert found.n_components == 4
    assert same_partition(found.labels, groups)


def test_few_vectors_have_fewer_neighbours():
    x = np.random.default_rng(0).normal(size=(8, 3))
    found = cluster_reference(x, n_clusters=2)
    assert sum(found.sizes) == 8


def test_equal_vectors_are_one_cluster():
    assert cluster_reference(np.full((40, 3), 0.2)).sizes == (40,)


@pytest.mark.parametrize(
    ("reference", "options", "message"),
    [
        (np.random.default_rng(0).normal(size=(8, 3)), {"n_clusters": 8}, "n_clusters = 8"),
        (np.array([0.5, np.nan]), {}, "NaN or inf in 1 of 2"),
        (np.array([0.5, 1.0]), {"kind": "labels"}, "whole numbers"),
        (np.ones((4, 2)), {"kind": "labels"}, "one-hot"),
        (np.ones((4, 2)), {"kind": "scalar"}, "one number per sample"),
        (np.array(["a", "b"]), {"kind": "scalar"}, "numbers"),
        (np.ones((2, 2, 2)), {}, r"\(n, n_features\)"),
        (np.ones(3), {"kind": "bins"}, "'bins'"),
        (np.ones(3), {"n_clusters": 0}, "at least 1"),
    ],
)
def test_unfit_references_are_refused(reference, options, message):
    with pytest.raises(InputError, match=message):
        cluster_reference(reference, **options)
