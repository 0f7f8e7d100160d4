"""Similarity of two arrays against values of independent packages."""

import json
from pathlib import Path

import numpy as np
import pytest

import infoplane

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "similarity.json").read_text())

OF_PAIR = {
    "cka_linear_biased": lambda x, y: infoplane.cka(x, y, debiased=False),
    "cka_linear_debiased": infoplane.cka,
    "procrustes_angular": infoplane.procrustes_distance,
    "pwcca": infoplane.pwcca,
    "rsa_spearman_squared_euclidean": infoplane.rsa,
    "rsa_pearson_squared_euclidean": lambda x, y: infoplane.rsa(x, y, correlation="pearson"),
    "mutual_knn_k10": infoplane.mutual_neighbors,
}
OF_CASE = {
    "cka.linear": lambda x, y: infoplane.cka(x, y, debiased=False),
    "cka.linear_debiased": infoplane.cka,
    "cka.rbf_0.5": lambda x, y: infoplane.cka(x, y, kernel="rbf", width=0.5, debiased=False),
    "cca.mean_all": lambda x, y: infoplane.svcca(x, y, variance=1.0),
    "procrustes.ding_squared": lambda x, y: 2 - 2 * np.cos(infoplane.procrustes_distance(x, y)),
    "shesha.rdm_similarity": lambda x, y: infoplane.rsa(x, y, metric="cosine"),
}


@pytest.mark.parametrize("name", OF_PAIR)
def test_value_of_another_package(name):
    with np.load(HERE / "similarity_inputs.npz") as arrays:
        x, y = arrays["X"], arrays["Y"]
    expected = GOLDEN["pair"][name]["value"]  # written with 6 decimals
    assert OF_PAIR[name](x, y) == pytest.approx(expected, abs=5.1e-7)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["id"])
def test_value_of_the_reference_code(case):
    x, y = _arrays(*case["inputs"])
    found = OF_CASE[case["id"].partition("#")[0]](x, y)
    assert found == pytest.approx(case["value"], rel=case["rtol"])


def _arrays(first, second):
    """Return the two arrays that a case is about, by their recipes."""
    rng = np.random.default_rng(first["seed"])
    n, d = first["n"], first["d"]
    if first["family"] == "iso":
        x = rng.standard_normal((n, d))
    elif first["family"] == "powerlaw":
        scores = rng.standard_normal((n, d)) * np.arange(1, d + 1.0) ** (-first["alpha"] / 2)
        q, r = np.linalg.qr(rng.standard_normal((d, d)))
        x = scores @ (q * np.sign(np.diag(r))).T + first["offset"]
    else:
        scores = rng.standard_normal((n, first["k"]))
        onto = rng.standard_normal((first["k"], d)) / np.sqrt(first["k"])
        x = np.maximum(scores @ onto + first["noise"] * rng.standard_normal((n, d)), 0.0)
    other = np.random.default_rng(second["seed"])
    if second["family"].startswith("tanh"):
        return x, np.tanh(x @ other.standard_normal((d, 24)) / np.sqrt(d))
    return x, x + 0.3 * other.standard_normal((n, d))
