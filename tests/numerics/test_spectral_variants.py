"""The entropies that diffusion spectral entropy is compared with."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from infoplane import diffusion_spectral_entropy
from infoplane.errors import InputError
from infoplane.numerics.diffusion.variants import (
    adjacency_spectral_entropy,
    coordinate_binned_entropy,
    matrix_entry_entropy,
    subset_mutual_information,
)

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = json.loads((GOLDEN / "dse.json").read_text())["cases"]
INPUTS = np.load(GOLDEN / "dse_inputs.npz")


def entropy_of(call):
    options = call["kw"]
    sigma = options.get("gaussian_kernel_sigma", 10.0)
    if call["fn"] in ("ase", "asmi"):
        return partial(
            adjacency_spectral_entropy,
            sigma=sigma,
            anisotropic=options.get("anisotropic", False),
            n_neighbors=options.get("knn", 10) if options.get("use_knn") else None,
        )
    if options.get("matrix_entry_entropy"):
        return partial(matrix_entry_entropy, sigma=sigma)
    if options.get("classic_shannon_entropy"):
        return partial(coordinate_binned_entropy, n_bins=options.get("num_bins_per_dim", 2))
    return None


@pytest.mark.parametrize(
    ("name", "call"),
    [(case["id"], call) for case in CASES for call in case["calls"] if entropy_of(call)],
)
def test_equals_the_reference_implementation(name, call):
    x, entropy = INPUTS[f"{name}__X"], entropy_of(call)
    if "ref" in call:
        reference = np.array(call.get("cluster_labels", INPUTS[f"{name}__{call['ref']}"]))
        found = subset_mutual_information(
            x, reference, entropy, n_clusters=call["kw"].get("n_clusters", 10)
        )
    else:
        found = entropy(x)
    tolerance = call["tol"]
    if "ref" in call and call["kw"].get("use_knn"):
        # Made of entropies of such graphs, whose defective eigenvalues each BLAS rounds otherwise:
        # the file tells how far a permutation of the rows moved one of them.
        calls = next(case["calls"] for case in CASES if case["id"] == name)
        tolerance = max(other["tol"] for other in calls if other["kw"].get("use_knn"))
    assert found == pytest.approx(call["value"], abs=tolerance, rel=0)


def test_anisotropic_adjacency_is_the_diffusion_spectrum():
    x = np.random.default_rng(0).normal(size=(50, 4))
    found = adjacency_spectral_entropy(x, anisotropic=True)
    assert found == pytest.approx(diffusion_spectral_entropy(x).bits, abs=1e-12)


def test_entropies_count_what_is_far_apart():
    far = 1e3 * np.eye(8)
    assert adjacency_spectral_entropy(far, sigma=1.0) == pytest.approx(3.0)
    assert adjacency_spectral_entropy(far, n_neighbors=1) == pytest.approx(3.0)
    assert matrix_entry_entropy(far, sigma=1.0) == pytest.approx(3.0)
    assert matrix_entry_entropy(np.zeros((8, 2)), sigma=1.0) == pytest.approx(6.0)
    assert coordinate_binned_entropy(far) == pytest.approx(3.0)
    assert coordinate_binned_entropy(np.ones((5, 2))) == 0.0


def test_unfit_arguments_are_refused():
    x = np.random.default_rng(0).normal(size=(7, 4))
    with pytest.raises(InputError, match="n_neighbors from 1 to 7"):
        adjacency_spectral_entropy(x, n_neighbors=10)
    with pytest.raises(InputError, match="n_bins"):
        coordinate_binned_entropy(x, n_bins=0)
    with pytest.raises(InputError, match="NaN"):
        coordinate_binned_entropy(np.array([[np.nan], [1.0]]))
    with pytest.raises(InputError, match="one reference per sample"):
        subset_mutual_information(x, np.zeros(3), coordinate_binned_entropy)
    with pytest.raises(InputError, match="repetitions"):
        subset_mutual_information(x, np.zeros(7), coordinate_binned_entropy, repetitions=0)
