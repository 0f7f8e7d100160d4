"""The estimator of diffusion spectral entropy and information."""

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from sklearn.datasets import load_digits

from infoplane import (
    diffusion_spectral_entropy,
    diffusion_spectral_mutual_information,
    toy12,
)
from infoplane.data import ProbeSet
from infoplane.errors import InputError
from infoplane.estimators.flags import FLAGS
from infoplane.estimators.layers.diffusion import DiffusionSpectral
from infoplane.estimators.registry import estimator_id, parse_estimator

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = {
    case["id"]: case["calls"] for case in json.loads((GOLDEN / "dse.json").read_text())["cases"]
}
INPUTS = np.load(GOLDEN / "dse_inputs.npz")
RNG = np.random.default_rng(0)


def run_of(inputs, labels=None):
    return SimpleNamespace(probe=ProbeSet(inputs, labels))


def estimated(estimator, inputs, labels, activations):
    prepared = estimator.prepare_run(run_of(inputs, labels), RNG)
    return estimator.estimate(pickle.loads(pickle.dumps(prepared)), activations, RNG)


@pytest.fixture(scope="module")
def cell():
    inputs, labels = toy12()
    weights = np.random.default_rng(0).normal(size=(12, 5))
    return inputs, labels, np.tanh(inputs @ weights).astype(np.float32)


@pytest.mark.parametrize("name", ["blobs_small", "tree10"])
def test_preset_paper_gives_the_published_numbers(name):
    x, labels = INPUTS[f"{name}__X"], INPUTS[f"{name}__y"]
    found = estimated(parse_estimator("dse:preset=paper"), x, labels, x)
    plain = [call for call in CASES[name] if not call["kw"] or call["kw"].get("reference_discrete")]
    expected = {call["fn"]: call for call in reversed(plain) if len(call["kw"]) < 2}
    assert found["dse"].bits == pytest.approx(expected["dse"]["value"], abs=2e-9)
    assert found["dsmi_y"].bits == pytest.approx(expected["dsmi"]["value"], abs=1e-8)


def test_preset_paper_clusters_inputs_as_published():
    x, inputs = INPUTS["images_vector_ref__X"], INPUTS["images_vector_ref__R"]
    labels = INPUTS["images_vector_ref__y"]
    call = next(
        one
        for one in CASES["images_vector_ref"]
        if one["kw"] == {"n_clusters": 10, "gaussian_kernel_sigma": 3.0}
    )
    found = estimated(DiffusionSpectral(preset="paper", sigma=3.0), inputs, labels, x)
    assert found["dsmi_x"].bits == pytest.approx(call["value"], abs=1e-8)


def test_preset_changes_only_what_is_at_its_default():
    paper = parse_estimator("dse:preset=paper,sigma=3,min-class-size=2")
    assert (paper.sigma, paper.min_class_size, paper.method) == (3.0, 2, "exact")
    assert DiffusionSpectral(preset="paper").sigma == 10.0
    assert DiffusionSpectral().sigma == "median"


@pytest.mark.parametrize(("subsets", "repetitions"), [("official", 5), ("disjoint", 2)])
def test_equals_the_functions_on_the_samples_it_chose(cell, subsets, repetitions):
    inputs, labels, activations = cell
    draws = {"subsets": subsets, "repetitions": repetitions, "seed": 2}
    estimator = DiffusionSpectral(max_samples=300, **draws)
    prepared = estimator.prepare_run(run_of(inputs, labels), RNG)
    found = estimator.estimate(prepared, activations, RNG)
    rows = prepared.rows
    assert len(rows) == 300
    x = activations[rows]
    entropy = diffusion_spectral_entropy(x)
    assert found["dse"].bits == pytest.approx(entropy.bits, abs=1e-11)
    for quantity, reference in (("dsmi_y", labels[rows]), ("dsmi_x", inputs[rows])):
        one = diffusion_spectral_mutual_information(x, reference, **draws)
        assert found[quantity].bits == pytest.approx(one.bits, abs=1e-11)
        assert found[quantity].bound_high == one.bound
        assert found[quantity].flags == (*one.flags, "subsampled")
        half = (found[quantity].high - found[quantity].low) / 2
        # Student's t, 97.5 %; of disjoint subsets each class tells a spread.
        freedom = {"official": 4, "disjoint": one.diagnostics["n_classes_used"]}[subsets]
        reach = scipy.stats.t.ppf(0.975, freedom) * one.standard_error
        assert half == pytest.approx(reach, rel=1e-9)
    assert found["dse"].flags == (*entropy.flags, "subsampled")
    assert found["dse"].bound_high == np.log2(300)
    half = diffusion_spectral_entropy(x, sigma=entropy.sigma, max_samples=150, seed=2)
    assert found["dse"].diagnostics["bits_of_half_the_samples"] == pytest.approx(half.bits)
    assert found["dse"].n == 300


def layers_of_digits():
    """Return activations (1500, n_units) of random networks on images of digits, and labels."""
    images, labels = load_digits(return_X_y=True)
    images, draw = images[:1500] / 16, np.random.default_rng(3)
    wide = np.maximum(images @ draw.normal(size=(64, 300)) / 8, 0)
    logits = np.tanh(wide @ draw.normal(size=(300, 10)) / 10)
    far = np.concatenate([wide[:1498], 1e4 * wide[1498:]])
    return {"images": images, "wide": wide, "logits": logits, "far": far}, images, labels[:1500]


def test_quick_is_the_whole_computation_within_what_it_states():
    layers, images, labels = layers_of_digits()
    quick, whole = DiffusionSpectral(), DiffusionSpectral(method="exact")
    for rows in (slice(900), slice(None)):
        prepared = quick.prepare_run(run_of(images[rows], labels[rows]), RNG)
        for activations in layers.values():
            found = quick.estimate(prepared, activations[rows].astype(np.float32), RNG)
            exact = whole.estimate(prepared, activations[rows].astype(np.float32), RNG)
            assert found["dse"].flags == exact["dse"].flags
            for name in ("dsmi_y", "dsmi_x"):
                assert found[name].bits == pytest.approx(exact[name].bits, abs=1e-4)
                assert found[name].flags == exact[name].flags
            for name in ("sigma", "mean_degree", "trace"):
                known = exact["dse"].diagnostics[name]
                assert found["dse"].diagnostics[name] == pytest.approx(known, rel=1e-5)
            if rows.stop:  # all eigenvalues
                assert found["dse"].bits == pytest.approx(exact["dse"].bits, abs=1e-4)
            else:
                assert found["dse"].diagnostics["method"] == "slq"
                assert found["dse"].low <= exact["dse"].bits <= found["dse"].high
                assert found["dse"].bits == pytest.approx(exact["dse"].bits, abs=0.01)
            half = found["dse"].diagnostics["bits_of_half_the_samples"]
            known = exact["dse"].diagnostics["bits_of_half_the_samples"]
            assert half == pytest.approx(known, abs=0.01)


def test_quick_bandwidths_in_one_pass_are_those_alone():
    layers, images, labels = layers_of_digits()
    several = DiffusionSpectral(sigma=("median", 0.5, "rms"))
    prepared = several.prepare_run(run_of(images, labels), RNG)
    found = several.estimate(prepared, layers["wide"], RNG)
    for sigma in several.bandwidths:
        alone = DiffusionSpectral(sigma=sigma).estimate(prepared, layers["wide"], RNG)
        for key, one in alone.items():
            assert found[f"{key}@sigma={sigma}"].bits == pytest.approx(one.bits, abs=1e-4)


def test_several_times_give_one_estimate_each(cell):
    inputs, labels, activations = cell
    found = estimated(parse_estimator("dse:t=1+2+0.5,max_samples=200"), inputs, labels, activations)
    names = [f"{q}@t={t}" for q in ("dse", "dsmi_y", "dsmi_x") for t in ("1", "2", "0.5")]
    assert list(found) == names
    single = estimated(parse_estimator("dse:t=2,max_samples=200"), inputs, labels, activations)
    for quantity, estimate in single.items():
        assert found[f"{quantity}@t=2"].bits == pytest.approx(estimate.bits, abs=1e-12)
        assert found[f"{quantity}@t=2"].flags == estimate.flags


@pytest.mark.parametrize(
    ("options", "near"),
    # quadrature of float32 kernels magnifies rounding
    [("max_samples=200", 1e-9), ("max_samples=200,method=slq,t=1+2", 1e-5)],
)
@pytest.mark.parametrize("repeated", [False, True])
def test_several_bandwidths_give_what_each_gives_alone(cell, options, near, repeated):
    inputs, labels, activations = cell
    if repeated:
        activations = activations[np.arange(len(activations)) // 4]
    sigmas = ("0.001", "0.5", "median", "l2", "sqrtd")
    several = parse_estimator(f"dse:sigma={'+'.join(sigmas)},{options}")
    found = estimated(several, inputs, labels, activations)
    assert len({key.partition("sigma=")[2] for key in found}) == len(sigmas)
    for sigma in sigmas:
        one = estimated(
            parse_estimator(f"dse:sigma={sigma},{options}"), inputs, labels, activations
        )
        for key, alone in one.items():
            estimate = found[f"{key}{',' if '@' in key else '@'}sigma={sigma}"]
            assert estimate.bits == pytest.approx(alone.bits, abs=near)
            assert estimate.flags == alone.flags
            assert estimate.diagnostics["sigma"] == pytest.approx(alone.diagnostics["sigma"])


def test_one_bandwidth_is_no_sweep():
    for spec in ("dse:sigma=5", "dse:sigma=5+5"):
        assert estimator_id(parse_estimator(spec)) == "dse:sigma=5"
    assert parse_estimator("dse:sigma=5").sigma == 5.0
    with pytest.raises(InputError, match="expected sigma above 0"):
        parse_estimator("dse:sigma=5+0")


def test_diagnostics_are_json_and_flags_are_known(cell):
    inputs, labels, activations = cell
    settings = ("permutations=3", "sigma=100", "sigma=0.0001", "method=slq", "min_class_size=400")
    for setting in settings:
        estimator = parse_estimator(f"dse:max_samples=300,{setting}")
        for estimate in estimated(estimator, inputs, labels, activations).values():
            json.dumps(estimate.__dict__, allow_nan=False)
            assert set(estimate.flags) <= FLAGS.keys()


def test_without_labels_only_the_inputs_are_asked_for(cell):
    inputs, _, activations = cell
    found = estimated(DiffusionSpectral(max_samples=100), inputs, None, activations)
    assert list(found) == ["dse", "dsmi_x"]


def test_no_class_large_enough_gives_no_number_but_a_flag(cell):
    inputs, labels, activations = cell
    found = estimated(
        DiffusionSpectral(max_samples=100, min_class_size=95), inputs, labels, activations
    )
    assert found["dsmi_y"].bits is None
    assert "small_n" in found["dsmi_y"].flags
    few = estimated(DiffusionSpectral(), inputs[:8], labels[:8], activations[:8])
    assert few["dsmi_x"].bits is None


def test_constant_layer_has_no_entropy_and_no_information(cell):
    inputs, labels, _ = cell
    estimator = DiffusionSpectral(max_samples=200)
    for estimate in estimated(estimator, inputs, labels, np.full((4096, 3), 0.1)).values():
        assert estimate.bits == 0.0
        assert "constant" in estimate.flags


def test_quadrature_reports_its_uncertainty(cell):
    inputs, labels, activations = cell
    estimator = DiffusionSpectral(max_samples=600, method="slq")
    found = estimated(estimator, inputs, labels, activations)["dse"]
    exact = estimated(DiffusionSpectral(max_samples=600), inputs, labels, activations)["dse"]
    assert found.method == "analytic"
    assert found.low <= exact.bits <= found.high
    assert exact.method == "none"


def test_clusters_of_the_inputs_are_made_once_and_named_by_content(cell):
    inputs, labels, activations = cell
    estimator = DiffusionSpectral(max_samples=200)
    first = estimator.prepare_run(run_of(inputs, labels), RNG)
    again = estimator.prepare_run(run_of(inputs, labels), RNG)
    (made,), (made_again,) = first.inputs, again.inputs
    assert made.id == made_again.id
    other = DiffusionSpectral(max_samples=200, seed=1).prepare_run(run_of(inputs, labels), RNG)
    assert made.id != other.inputs[0].id
    found = estimator.estimate(first, activations, RNG)["dsmi_x"]
    assert found.diagnostics["clusters_sha256"] == made.id
    assert found.diagnostics["inputs_projected_from"] is None


def test_several_numbers_of_clusters_give_one_information_each(cell):
    inputs, labels, activations = cell
    several = DiffusionSpectral(max_samples=200, n_clusters=(3, 10), t=(1.0, 2.0))
    prepared = several.prepare_run(run_of(inputs, labels), RNG)
    found = several.estimate(prepared, activations, RNG)
    names = [f"dsmi_x@n_clusters={k},t={t}" for k in (3, 10) for t in (1, 2)]
    assert [key for key in found if key.startswith("dsmi_x")] == names
    assert len(several.artifacts(prepared)) == 2
    for k in (3, 10):
        alone = DiffusionSpectral(max_samples=200, n_clusters=k)
        one = estimated(alone, inputs, labels, activations)["dsmi_x"]
        assert found[f"dsmi_x@n_clusters={k},t=1"].bits == pytest.approx(one.bits, abs=1e-12)
        assert found[f"dsmi_x@n_clusters={k},t=1"].diagnostics["n_clusters"] == k


def test_very_wide_inputs_are_projected_and_say_so(monkeypatch):
    monkeypatch.setattr("infoplane.estimators.layers.diffusion._LARGEST_GRAPH", 1e6)
    rng = np.random.default_rng(0)
    groups = np.arange(60) % 3
    inputs = (5 * rng.normal(size=(3, 2000)))[groups] + rng.normal(size=(60, 2000))
    estimator = DiffusionSpectral(n_clusters=3)
    prepared = estimator.prepare_run(run_of(inputs, groups), RNG)
    assert prepared.projected_from == 2000
    assert len(set(zip(groups, prepared.inputs[0].clusters.labels, strict=True))) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": -1.0},
        {"sigma": "broad"},
        {"t": (0.0,)},
        {"preset": "thesis"},
        {"max_samples": 0},
        {"n_clusters": (5, 0)},
        {"n_clusters": ()},
        {"repetitions": 0},
        {"permutations": -1},
        {"method": "nystrom"},
        {"normalization": "none"},
    ],
)
def test_unfit_parameters_are_refused(options):
    with pytest.raises(InputError):
        DiffusionSpectral(**options)


def embedded(ids, **about):
    """Return a run that reads ids (n, length), and a layer of them."""
    slot = {"type": "Linear", "reduction": "none", "axes": ("unit",), "shape": (4,), **about}
    arguments = {} if isinstance(ids, np.ndarray) else ids
    x = ids if not arguments else np.hstack([one.reshape(len(one), -1) for one in ids.values()])
    probe = ProbeSet(x, np.arange(len(x)) % 2, arguments=arguments)
    return SimpleNamespace(probe=probe, layers=[SimpleNamespace(**slot)])


IDS = np.random.default_rng(0).integers(0, 50, (60, 8))


@pytest.mark.parametrize(
    "run",
    [
        embedded(IDS, type="Embedding"),
        embedded(IDS, reduction="last"),
        embedded(IDS, reduction="tokens:4"),
        embedded(IDS.astype(np.int32), axes=("position", "unit"), shape=(8, 4)),
        embedded({"input_ids": IDS, "attention_mask": np.ones((60, 8))}, reduction="mean"),
    ],
)
def test_ids_of_tokens_are_not_clustered_as_numbers(run):
    estimator = DiffusionSpectral()
    found = estimator.estimate(estimator.prepare_run(run, RNG), RNG.normal(size=(60, 4)), RNG)
    assert found["dsmi_x"].bits is None
    assert "ids of tokens" in found["dsmi_x"].diagnostics["reason"]
    assert found["dsmi_y"].bits is not None


@pytest.mark.parametrize(
    "run",
    [
        embedded(IDS),  # numbers, as far as anyone knows
        embedded(IDS.astype(np.uint8), type="Embedding"),  # pixels
        embedded(IDS / 2, reduction="mean"),
        embedded(IDS % 2, axes=("position", "unit"), shape=(8, 4)),  # bits
    ],
)
def test_other_inputs_are_clustered(run):
    estimator = DiffusionSpectral()
    found = estimator.estimate(estimator.prepare_run(run, RNG), RNG.normal(size=(60, 4)), RNG)
    assert "clusters_sha256" in found["dsmi_x"].diagnostics
