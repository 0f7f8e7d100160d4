"""Twelve layers, binned by re-implementations of the published pipelines.

``binning.json``: ``reference`` are the numbers of the published procedures with their quirks
(adaptive bins with ``low``, 30 edges on [-1, 1], floor bins, equal-mass bins, quantised codes,
pairwise-distance bounds in float64, matrix-based Renyi), ``spec`` the intended numbers where these
differ (no wrap-around below the lowest edge). They were computed apart from this package.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from infoplane.estimators.layers.binned_information import binned_information
from infoplane.estimators.layers.kde_information import kde_information
from infoplane.estimators.layers.renyi_information import renyi_information
from infoplane.numerics.kernels.renyi import (
    aligned_width,
    gram_matrix,
    matrix_entropy,
)

FOLDER = Path(__file__).parent
CASES = json.loads((FOLDER / "binning.json").read_text())["cases"]
NAMES = list(CASES)


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "binning_arrays.npz") as file:
        return {name: tuple(file[f"{name}__{part}"] for part in ("T", "y", "X")) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bins", [10, 20, 30, 50, 100])
def test_adaptive_bins(arrays, name, bins):
    expected = CASES[name]["reference"][f"ebab_B{bins}"]
    if "error" in expected:
        pytest.skip("the published code fails on values below low")
    info = binned_information(*arrays[name], bins=bins)
    assert info.ixt == pytest.approx(expected["ixt"], abs=1e-9)
    assert info.ity == pytest.approx(expected["ity"], abs=1e-9)
    assert info.ht == pytest.approx(expected["ht"], abs=1e-9)
    # with the published low the edges are the same numbers, bit for bit
    low = expected["edges_head"][0]
    edges = binned_information(*arrays[name], bins=bins, low=low).edges
    assert len(edges) == expected["n_edges"]
    head = np.array(expected["edges_head"], dtype=np.float32)
    np.testing.assert_array_equal(edges[: len(head)], head)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("fixed(-1,1,30)_nowrap", "fixed"),
        ("uniform30_layer_minmax", "layer"),
        ("ebab_B30_nowrap", "ebab"),
    ],
)
def test_intended_numbers(arrays, name, key, mode):
    expected = CASES[name]["spec"][key]
    info = binned_information(*arrays[name], mode=mode)
    assert info.ht == pytest.approx(expected["ht"], abs=1e-9)
    assert info.ity == pytest.approx(expected["ity"], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [0.07, 0.5])
def test_floor_bins(arrays, name, width):
    expected = CASES[name]["reference"][f"saxe_floor_{width}"]
    info = binned_information(*arrays[name], mode="width", width=width)
    assert info.ht == pytest.approx(expected["ixt"], abs=1e-9)
    assert info.ity == pytest.approx(expected["ity"], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_equal_mass_bins(arrays, name):
    expected = CASES[name]["reference"]["lorenzen_adaptive30_layer"]
    info = binned_information(*arrays[name], mode="quantile")
    assert info.ht == pytest.approx(expected["ixt"], abs=1e-9)
    assert info.ity == pytest.approx(expected["ity"], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_layers_are_exact(arrays, name, bits):
    t, y, x = arrays[name]
    spread = float(t.max()) - float(t.min())
    codes = np.round((t.astype(float) - t.min()) * 2**bits / (spread or 1))
    expected = CASES[name]["reference"][f"lorenzen_quant_layer_{bits}b"]
    info = binned_information(codes, y, x, mode="exact")
    assert info.ht == pytest.approx(expected["ixt"], abs=1e-9)
    assert info.ity == pytest.approx(expected["ity"], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("variance", [0.001, 0.01, 0.1])
def test_pairwise_bounds(arrays, name, variance):
    reference = CASES[name]["reference"]
    if f"kde_kl_var{variance}_f64" not in reference:
        pytest.skip("not computed for this case")
    t, y, _ = arrays[name]
    upper, lower = (reference[f"kde_{b}_var{variance}_f64"] for b in ("kl", "bd"))
    for precision, tolerance in (("float64", 1e-9), ("mixed", 1e-6), ("auto", 1e-5)):
        info = kde_information(t, y, variance=variance, precision=precision)
        assert info.ixt.upper == pytest.approx(upper["ixt"], abs=tolerance)
        assert info.ixt.lower == pytest.approx(lower["ixt"], abs=tolerance)
        assert info.ity_kl == pytest.approx(upper["ity"], abs=tolerance)
        assert info.ity_bd == pytest.approx(lower["ity"], abs=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_adaptive_noise(arrays, name):
    t, y, _ = arrays[name]
    spec = CASES[name]["spec"]
    for key, noise in (
        ("akde_kl_var=1e-3*max", "akde-var"),
        ("akde_kl_std=0.05*max", "akde-std"),
    ):
        if key in spec:
            info = kde_information(t, y, noise=noise, precision="float64")
            assert info.variance == pytest.approx(spec[key]["var"], rel=1e-12)
            assert info.ixt.upper == pytest.approx(spec[key]["ixt"], abs=1e-6)
            assert info.ity_kl == pytest.approx(spec[key]["ity"], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_matrix_renyi(arrays, name):
    t, y, x = arrays[name]
    reference = CASES[name]["reference"]
    key = "renyi_a1.01_tapia"
    if key in reference:
        info = renyi_information(t, x, shuffles=0)
        assert info.width_a == pytest.approx(reference[key]["sigma_t"], rel=1e-12)
        assert info.information == pytest.approx(reference[key]["ixt"], abs=1e-6)
        assert info.entropy_a == pytest.approx(reference[key]["ht"], abs=1e-6)
        labels = renyi_information(t, y, shuffles=0)
        assert labels.information == pytest.approx(reference[key]["ity"], abs=1e-6)
    key = "renyi_a1.01_sigma1_wick"  # exponent without the 2, inputs at width 8, one-hot at 0.1
    if key in reference:
        info = renyi_information(t, x, width=1.0, width_b=8.0, half=False, shuffles=0)
        assert info.information == pytest.approx(reference[key]["ixt"], abs=1e-6)
        assert info.entropy_b == pytest.approx(reference[key]["hx"], abs=1e-6)
        onehot, _ = gram_matrix(np.eye(2)[y], 0.1, half=False)
        assert matrix_entropy(onehot, 1.01) == pytest.approx(reference[key]["hy"], abs=1e-6)
    key = "renyi_a1.01_sigma_alignment"  # the same exponent and inputs
    if key in reference:
        width = aligned_width(t, gram_matrix(y, 1.0)[0], half=False)
        assert width == pytest.approx(reference[key]["sigma"], rel=1e-9)
        info = renyi_information(t, x, width=width, width_b=8.0, half=False, shuffles=0)
        assert info.entropy_a == pytest.approx(reference[key]["ht"], abs=1e-6)
        assert info.information == pytest.approx(reference[key]["ixt"], abs=1e-6)
        labels = renyi_information(t, y, width="alignment", half=False, shuffles=0)
        assert labels.information == pytest.approx(reference[key]["ity"], abs=1e-6)
