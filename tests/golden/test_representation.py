"""Measures of layers and weights against published implementations: 168 values of 42 variants.

``representation.json`` has for each value its reference, tolerance, and the recipe of its arrays.
Where a reference differs from what the package calls by the name, the difference is made here, in
the open: nats for bits, another epsilon, a singular value that is left out.

Of the 262 values that these were taken from, 94 are left out: those of pairs of layers (CKA, CCA,
SVCCA, Procrustes, similarity of distances: 26), of losses and attention (12), of measures that the
package does not have (52), and of code that is not the formula of its paper (4).
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from infoplane import (
    alpha_req,
    cauchy_schwarz_information,
    centroid_nuclear_norm,
    conditional_cauchy_schwarz_divergence,
    diffusion_spectral_entropy,
    effective_rank,
    intrinsic_dimension,
    label_alignment,
    neural_collapse,
    participation_ratio,
    rankme,
    rdm_stability,
    renyi_information,
    von_neumann_entropy,
    weight_measures,
)
from infoplane.estimators.layers.cauchy_schwarz_information import information_of
from infoplane.numerics.collapse import scatters, simplex_deviation, simplex_distance
from infoplane.numerics.kernels.cauchy_schwarz import Side
from infoplane.numerics.representational_distances import label_distance_alignment
from infoplane.numerics.spectra import moments
from infoplane.numerics.spectral_measures import renyi_entropy

CASES = json.loads((Path(__file__).parent / "representation.json").read_text())["cases"]


def iso(seed, n, d):
    return (np.random.default_rng(seed).standard_normal((n, d)),)


def powerlaw(seed, n, d, alpha, offset):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((n, d)) * np.arange(1.0, d + 1) ** (-alpha / 2)
    basis, triangle = np.linalg.qr(rng.standard_normal((d, d)))
    return (scores @ (basis * np.sign(np.diag(triangle))).T + offset,)


def relu(seed, n, d, k, noise):
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, k))
    weights = rng.standard_normal((k, d)) / np.sqrt(k)
    return (np.maximum(latent @ weights + noise * rng.standard_normal((n, d)), 0.0),)


def clusters(seed, n, d, K, spread, weights=None):
    rng = np.random.default_rng(seed)
    means = 2.0 * rng.standard_normal((K, d))
    labels = np.arange(n) % K
    if weights is not None:
        counts = np.floor(np.array(weights, dtype=float) / np.sum(weights) * n).astype(int)
        counts[0] += n - counts.sum()
        labels = np.repeat(np.arange(K), counts)
    return means[labels] + spread * rng.standard_normal((n, d)), labels


def initial(seed, n, d):
    return (np.random.default_rng(seed).standard_normal((n, d)) / np.sqrt(d),)


def head(seed, K, d):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((K, d)) / np.sqrt(d), 0.1 * rng.standard_normal(K)


def pair(seed, n, dx, dz):
    rng = np.random.default_rng(seed)
    x, a = rng.standard_normal((n, dx)), rng.standard_normal((dx, dz)) / np.sqrt(dx)
    return x, 0.7 * np.tanh(x @ a) + 0.3 * rng.standard_normal((n, dz))


FAMILIES = {made.__name__: made for made in (iso, powerlaw, relu, clusters, head, initial, pair)}


def arrays_of(case):
    """Return the arrays of a case: the layer, its labels, and a weight and bias, as it has them."""
    found = []
    for recipe in case["inputs"]:
        given = {key: value for key, value in recipe.items() if key != "family"}
        found += FAMILIES[recipe["family"]](**given)
    sums = [float(np.sum(array)) for array in found]
    np.testing.assert_allclose(sums, case["sums"], rtol=1e-9)
    return found


def collapsed(name):
    return lambda case, *arrays: getattr(neural_collapse(*arrays), name)


def of_weight(which):
    return lambda case, x, labels, weight, bias: simplex_deviation(weight @ weight.T)[which]


def class_means(x, labels):
    means = np.array([x[labels == k].mean(axis=0) for k in np.unique(labels)])
    return means - means.mean(axis=0)


def about_the_mean_of_samples(case, x, labels, *_):
    """NC1 with the scatter of the class means about the mean of all samples."""
    means = np.array([x[labels == k].mean(axis=0) for k in np.unique(labels)])
    rest, means = x - means[labels], means - x.mean(axis=0)
    between = means.T @ means / len(means)
    return float(np.trace(rest.T @ rest / len(x) @ np.linalg.pinv(between)) / len(means))


def without_the_last(case, x):
    values = moments(x).spectrum("covariance").values[:-1]
    return values.sum() ** 2 / (values @ values)


def of_normal_kernel(case, x):
    squares = np.square(x).sum(axis=1)
    apart = squares[:, None] + squares - 2 * x @ x.T
    kernel = np.exp(-apart / x.shape[1]) / len(x)
    shares = np.maximum(np.linalg.eigvalsh(kernel), 0.0)
    return renyi_entropy(shares, case["params"]["alpha"]) * math.log(2)


def by_ten_medians_of_squares(case, *sides):
    """Cauchy-Schwarz information at the default width of a published code: 0 but for 1e-7 bits."""

    def side(x):
        twice = np.concatenate([x, x])
        apart = np.square(twice[:, None] - twice).sum(axis=2)
        return Side.of(x, 10 * np.median(apart[np.triu_indices(len(twice), 1)]), "x")

    return information_of(*map(side, sides), ()).bits


def of_a_linear_prediction(case, x, z):
    """Targets are a unit, and predictions a line of it; they are not told from columns."""
    y = z[:, :1]
    return conditional_cauchy_schwarz_divergence(x, y, 0.8 * y + 0.1, width=1.0)


def without_the_two(alpha):
    """The kernel exp(-d^2 / units)."""
    return lambda case, x, z: (
        renyi_information(
            x, z, alpha, width=x.shape[1] ** 0.5, width_b=z.shape[1] ** 0.5, half=False, shuffles=0
        ).information
    )


OURS = {
    "rankme.sv_raw_eps1e-7": lambda case, x: rankme(x),
    "rankme.sv_raw_eps1e-5": lambda case, x: rankme(x, epsilon=1e-5),
    "rankme.eig_centred_eps1e-7": lambda case, x: effective_rank(x),
    "alpha_req.stringer_11_100": lambda case, x: alpha_req(x).alpha,
    "alpha_req.stringer_5_50": lambda case, x: alpha_req(x, (6, 50)).alpha,
    "vne.kim_cosine_nats": lambda case, x: von_neumann_entropy(x) * math.log(2),
    "vne.koopman_centred_nats": lambda case, x: von_neumann_entropy(x, centred=True) * math.log(2),
    "participation_ratio.mftma": without_the_last,
    **{f"renyi_entropy.repitl_gauss_a{order}": of_normal_kernel for order in ("1", "1.01", 2, 5)},
    "dse.dse_sigma10_t1": lambda case, x: diffusion_spectral_entropy(x, sigma=10).bits,
    "twonn.skdim_linear": lambda case, x: intrinsic_dimension(x, method="twonn-linear"),
    "twonn.skdim_mle": lambda case, x: intrinsic_dimension(x, method="twonn"),
    "shesha.feature_split": lambda case, x: rdm_stability(x, 10, case["params"]["seed"]),
    "shesha.variance_ratio": lambda case, x, labels: scatters(x, [labels])[0].separation(),
    "shesha.supervised_alignment": lambda case, x, labels: label_distance_alignment(
        x, labels, np.random.default_rng(0)
    ),
    "nc1.pinv": collapsed("nc1"),
    "nc1.quotient": collapsed("nc1_quotient"),
    "nc1.cdnv": collapsed("cdnv"),
    "nc1.pinv_not_divided": lambda case, x, labels, *_: (
        neural_collapse(x, labels).nc1 * len(np.unique(labels))
    ),
    "nc1.pinv_sample_mean": about_the_mean_of_samples,
    "nc2.etf_error_M": collapsed("nc2_etf"),
    "nc2.equinorm_M": collapsed("nc2_equinorm"),
    "nc2.equiangle_M": collapsed("nc2_equiangle"),
    "nc2.equinorm_W": of_weight(0),
    "nc2.equiangle_W": of_weight(1),
    "nc2.etf_error_W": of_weight(2),
    "nc3.dual_distance": collapsed("nc3"),
    "nc3.self_duality_etf": lambda case, x, labels, weight, bias: simplex_distance(
        weight @ class_means(x, labels).T
    ),
    "nc4.ncc_agreement_nobias": lambda case, x, labels, weight, bias: (
        1.0 - neural_collapse(x, labels, weight).nc4
    ),
    "mmcr.global_nuc": lambda case, x, labels: centroid_nuclear_norm(x, np.arange(len(x)) // 2),
    "cs_qmi.sigma1_bits": lambda case, x, z: cauchy_schwarz_information(x, z, width=1.0).bits,
    "cs_qmi.normalised_sigma1": lambda case, x, z: (
        cauchy_schwarz_information(x, z, width=1.0).normalised
    ),
    "cs_qmi.auto_bits": by_ten_medians_of_squares,
    "cs_cond.paper_square_of_sum": of_a_linear_prediction,
    "renyi_mi.sjyu_a1.01": without_the_two(1.01),
    "renyi_mi.sjyu_a2.0": without_the_two(2.0),
    "renyi_mi.repitl_a1.01_sigma1": lambda case, x, z: (
        renyi_information(x, z, width=1.0, shuffles=0).information * math.log(2)
    ),
    "kappa.weight_2d": lambda case, w: weight_measures(w).condition_number,
    "alignment.feature_kernel_label_cka": lambda case, x, labels: label_alignment(x, labels),
}


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_value_of_a_published_implementation(case):
    found = OURS[f"{case['measure']}.{case['variant']}"](case, *arrays_of(case))
    assert found == pytest.approx(case["value"], rel=case["rtol"])


def test_participation_ratio_of_another_package():
    x = np.random.default_rng(0).standard_normal((50, 5))
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    assert participation_ratio(x) == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-12)
