"""The estimators ``spectrum``, ``dimension`` and ``collapse``, and their public functions."""

import math

import numpy as np
import pytest

import infoplane as ip
from infoplane.estimators.layers.representation import Null
from infoplane.estimators.layers.spectrum import kept_eigenvalues
from infoplane.estimators.registry import parse_estimator
from infoplane.numerics.collapse import scatters
from infoplane.numerics.spectra import OPERATORS, moments, null_spectrum
from infoplane.numerics.spectral_measures import MEASURES
from infoplane.validation.problems import Problem
from infoplane.validation.trials import estimate_problem

LABELS = np.arange(120) % 4
NORMAL = np.random.default_rng(0).standard_normal((120, 40))
SPECS = ("spectrum", "dimension", "collapse")


def cell(values, labels=None, spec="spectrum"):
    inputs = np.zeros((len(values), 1))
    return estimate_problem(parse_estimator(spec), Problem(inputs, values, labels), 0)


@pytest.mark.parametrize(("n", "d"), [(300, 40), (40, 300), (300, 280), (50, 50)])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_spectra_are_those_of_a_singular_value_decomposition(n, d, offset):
    rng = np.random.default_rng(n)
    x = rng.standard_normal((n, d)) / np.sqrt(np.arange(1.0, d + 1)) + offset
    rows = np.sort(rng.permutation(n)[: n // 2])
    for some, found in ((x, moments(x)), (x[rows], moments(x).part(rows))):
        centred = some - some.mean(axis=0)
        unit = some / np.linalg.norm(some, axis=1, keepdims=True)
        matrices = dict(zip(OPERATORS, (centred, some, unit), strict=True))
        for operator, matrix in matrices.items():
            factor = len(some) - (operator == "covariance")
            expected = np.linalg.svd(matrix, compute_uv=False) ** 2 / factor
            values = found.spectrum(operator).values
            np.testing.assert_allclose(values, expected, atol=1e-12 * expected[0])
        norm = np.linalg.norm(centred @ centred.T)
        assert found.covariance_norm() == pytest.approx(norm, rel=1e-12)


@pytest.mark.parametrize("shape", [(900, 30), (30, 900)])
def test_blocks_do_not_change_a_spectrum(shape, monkeypatch):
    x = np.random.default_rng(0).standard_normal(shape)
    whole = [moments(x).spectrum(operator).values for operator in OPERATORS]
    monkeypatch.setattr("infoplane.numerics.spectra._BLOCK", 2000)
    for operator, values in zip(OPERATORS, whole, strict=True):
        np.testing.assert_allclose(moments(x).spectrum(operator).values, values, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_ranks_that_rounding_makes_are_none(dtype):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((500, 20)) @ rng.standard_normal((20, 200))).astype(dtype)
    assert len(moments(x).spectrum("covariance").resolved) == 20
    found = ip.alpha_req(x)
    assert math.isnan(found.alpha)
    assert found.ranks == (12, 20)
    told = cell(x)["alpha_req"]
    assert told.bits is None
    assert "got 9" in told.diagnostics["reason"]


@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1e20, 1e200])
@pytest.mark.parametrize("shape", [(60, 20), (20, 60)])
def test_ranks_do_not_depend_on_the_unit_of_measurement(scale, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    for measure in (ip.rankme, ip.effective_rank, ip.participation_ratio, ip.stable_rank,
                    ip.von_neumann_entropy):  # fmt: skip
        assert measure(scale * x) == pytest.approx(measure(x), rel=1e-9)


def test_entropies_of_one_spectrum_fall_with_their_order():
    found = cell(NORMAL, spec="spectrum:order=0+1+2+inf")
    bits = [found[f"renyi_entropy@order={order}"].bits for order in ("0", "1", "2", "inf")]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] == pytest.approx(math.log2(40))
    assert bits[1] == found["vne_centred"].bits
    assert 2 ** bits[2] == pytest.approx(found["participation_ratio"].bits)
    assert 2 ** bits[3] == pytest.approx(found["stable_rank"].bits)


@pytest.mark.parametrize(("n", "d"), [(200, 50), (50, 200)])
def test_the_null_is_what_normal_units_read(n, d):
    rng = np.random.default_rng(0)
    found = {op: null_spectrum(op, n, d, rng) for op in OPERATORS}
    drawn = moments(rng.standard_normal((n, d)))
    for name, measure in MEASURES.items():
        expected = measure.of(drawn.spectrum(measure.operator))
        assert measure.of(found[measure.operator]) == pytest.approx(expected, rel=0.08), name
    for name, one in cell(rng.standard_normal((n, d))).items():
        assert name == "saturation" or "within_null" in one.flags, name


def test_eigenvalues_are_kept():
    spectrum = moments(NORMAL).spectrum("covariance")
    kept = kept_eigenvalues(spectrum)
    assert kept["ranks"][:20] == list(range(1, 21))
    assert kept["ranks"][-1] == 40
    np.testing.assert_allclose(kept["values"], spectrum.values[np.array(kept["ranks"]) - 1], 1e-5)
    assert cell(NORMAL)["rankme"].diagnostics["eigenvalues"]["ranks"] == kept["ranks"]


def test_rows_of_zeros_have_no_direction():
    x = np.vstack([NORMAL, np.zeros((120, 40))])
    assert ip.von_neumann_entropy(x) == pytest.approx(ip.von_neumann_entropy(NORMAL))
    found = cell(x)["vne"]
    assert "zero_rows" in found.flags
    assert found.diagnostics["zero_rows"] == 0.5


def test_few_samples_for_the_units_are_flagged():
    assert "small_n" in cell(NORMAL)["effective_rank"].flags
    assert "small_n" not in cell(NORMAL[:, :30])["effective_rank"].flags


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.full((120, 40), 0.1), LABELS),
        (np.zeros((120, 40), np.float16), LABELS),
        (NORMAL[:2], LABELS[:2]),
        (NORMAL[:3], LABELS[:3]),
        (NORMAL, np.zeros(120, int)),
        (NORMAL, np.arange(120)),
        (NORMAL, (np.arange(120) == 7).astype(int)),
        (np.outer(NORMAL[:, 0], NORMAL[0]), LABELS),
        (np.repeat(NORMAL[:30], 4, axis=0), LABELS),
        (np.repeat(NORMAL[:1], 120, axis=0), LABELS),
        (np.where(LABELS[:, None] > 1, 0.0, NORMAL), LABELS),
        (NORMAL[:, :1], LABELS),
        (NORMAL[:, :2], LABELS),
    ],
    ids=[
        "constant", "zeros", "two samples", "three samples", "one class", "a class per sample",
        "a class of one", "rank 1", "four times", "equal rows", "rows of zeros", "one unit",
        "two units",
    ],
)  # fmt: skip
def test_a_value_or_the_reason_why_there_is_none(spec, values, labels):
    for name, found in cell(values, labels, spec).items():
        if found.bits is None:
            assert "failed" in found.flags, name
            assert found.diagnostics["reason"], name
        else:
            assert math.isfinite(found.bits), name


@pytest.mark.parametrize(
    "call",
    [
        lambda x: ip.rankme(x), lambda x: ip.effective_rank(x), lambda x: ip.stable_rank(x),
        lambda x: ip.participation_ratio(x), lambda x: ip.alpha_req(x),
        lambda x: ip.von_neumann_entropy(x), lambda x: ip.rdm_stability(x),
        lambda x: ip.neural_collapse(x, np.arange(len(x)) % 2),
        lambda x: ip.label_alignment(x, np.arange(len(x)) % 2),
        lambda x: ip.centroid_nuclear_norm(x, np.arange(len(x)) % 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "x", [NORMAL * 1j, np.where(NORMAL > 2, np.nan, NORMAL), NORMAL[:2], NORMAL[:, 0]],
    ids=["complex", "NaN", "two samples", "one axis"],
)  # fmt: skip
def test_unfit_arrays_are_refused(call, x):
    with pytest.raises(ip.InputError):
        call(x)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(120), "two classes at least, got one"),
        (np.arange(120), "one sample in every class"),
    ],
)
def test_classes_that_tell_nothing_are_refused(labels, message):
    with pytest.raises(ip.EstimationError, match=message):
        ip.neural_collapse(NORMAL, labels)


def test_classes_of_equal_means_are_refused():
    with pytest.raises(ip.EstimationError, match="class means that differ"):
        ip.neural_collapse(np.vstack([NORMAL, NORMAL]), np.repeat([0, 1], 120))


def test_more_classes_than_units_form_no_simplex():
    found = ip.neural_collapse(NORMAL[:, :2], LABELS)
    assert "no_simplex" in found.flags
    assert "no_simplex" in cell(NORMAL[:, :2], LABELS, "collapse")["nc2_etf"].flags


def test_a_head_in_the_order_of_the_class_ids():
    corners = np.eye(3, 5)
    ids = np.array([30, 10, 20])[np.arange(90) % 3]
    layer = corners[np.arange(90) % 3] + 0.01 * NORMAL[:90, :5]
    weight = corners[[1, 2, 0]]  # of 10, 20, 30
    found = ip.neural_collapse(layer, ids, weight - weight.mean(axis=0), np.zeros(3))
    assert found.nc3 < 1e-3
    assert found.nc4 == 0.0
    with pytest.raises(ip.InputError, match=r"weight of shape \(3, 5\), got \(2, 5\)"):
        ip.neural_collapse(layer, ids, weight[:2])


@pytest.mark.parametrize("method", ["mle", "twonn", "twonn-linear"])
def test_a_sample_recorded_twice_has_the_same_dimension(method):
    plane = np.random.default_rng(0).standard_normal((800, 2)) @ NORMAL[:2]
    one = ip.intrinsic_dimension(plane, method=method)
    assert one == pytest.approx(2, abs=0.25)
    twice = ip.intrinsic_dimension(np.vstack([plane, plane]), method=method)
    assert twice == pytest.approx(one, rel=1e-6)


def test_rounding_that_hides_the_neighbours_is_flagged():
    rng = np.random.default_rng(0)
    plane = rng.uniform(size=(1000, 2)) @ rng.standard_normal((2, 10)) + 100.0
    assert (
        "rounded" in cell(plane.astype(np.float16), spec="dimension")["intrinsic_dimension"].flags
    )
    assert cell(plane.astype(np.float32), spec="dimension")["intrinsic_dimension"].flags == ()


def test_noise_is_seen_by_the_dimension_at_a_larger_scale():
    rng = np.random.default_rng(0)
    line = rng.uniform(size=(2000, 1)) @ NORMAL[:1] + 0.002 * rng.standard_normal((2000, 40))
    found = cell(line, spec="dimension:scale=1+8")
    fine, coarse = (found[f"intrinsic_dimension@scale={scale}"] for scale in (1, 8))
    assert coarse.bits < 0.75 * fine.bits
    assert "scale_dependent" in fine.flags


def test_real_targets_are_read_too():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 10))
    y = 0.8 * x[:, 0] + 0.6 * rng.standard_normal(2000)
    found = ip.probe_information(x, y)
    truth = -0.5 * math.log2(1 - 0.64)
    assert found.low < truth < found.high
    assert found.r2 == pytest.approx(0.64, abs=0.04)
    assert abs(found.null) < 0.01
    assert ip.probe_information(x, np.exp(y)).bits == pytest.approx(found.bits)
    assert ip.probe_information(x, np.full(2000, 0.5)).reason.startswith("expected targets")
    several = ip.probe_information(x, np.column_stack([y, rng.standard_normal(2000)]))
    assert several.bits == pytest.approx(found.bits, abs=0.05)
    assert several.r2 == pytest.approx(0.32, abs=0.03)


def test_the_preset_stands_for_estimators():
    from infoplane.estimators.registry import PRESETS, without_presets

    specs = without_presets(["representation", "dse"])
    assert specs == [*PRESETS["representation"], "dse"]
    assert [parse_estimator(spec).name for spec in specs] == ["spectrum", "collapse", "dse"]


@pytest.mark.parametrize(
    ("value", "near"), [(1.5, False), (80.0, True), (600.0, True), (30000.0, False), (0.0, False)]
)
def test_a_quotient_is_compared_with_its_null_by_factors(value: float, near: bool) -> None:
    null = Null.of([150.0, 400.0, 900.0, 300.0, 250.0], quotient=True)  # as NC1 of shuffled labels
    assert null is not None
    assert null.is_near(value, 0.1 * value) is near


@pytest.mark.parametrize("within", [1.0, 1e-2, 1e-5, 1e-9])
@pytest.mark.parametrize("shape", [(60, 200), (200, 30)])
def test_labellings_that_are_read_together_are_as_exact_as_alone(
    within: float, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(shape[0]) % 4
    x = 3.0 + rng.standard_normal((4, shape[1]))[labels] + within * rng.standard_normal(shape)
    half = np.where(np.arange(shape[0]) < shape[0] // 2, labels, -1)
    others = [rng.permutation(labels), half]
    together = scatters(x, [labels, *others])[1:]
    for one, labelling in zip(together, others, strict=True):
        alone = scatters(x, [labelling])[0]
        for name in ("nc1", "nc1_quotient", "cdnv", "separation", "nuclear_norm"):
            expected = getattr(alone, name)()
            assert getattr(one, name)() == pytest.approx(expected, rel=1e-7), name


@pytest.mark.parametrize(("d", "seed"), [(3, 0), (5, 4), (2, 1), (4, 2)])
def test_an_interval_of_two_neighbours_is_no_narrower_than_theory(d: int, seed: int) -> None:
    n, rng = 300, np.random.default_rng(seed)
    layer = rng.standard_normal((n, d))
    problem = Problem(np.arange(n)[:, None], layer, np.zeros(n, np.int64))
    found = estimate_problem(parse_estimator("dimension"), problem, seed, "best")
    value = found["intrinsic_dimension"]
    assert value.high - value.low >= 2 * 1.96 * value.bits / math.sqrt(0.9 * n)


@pytest.mark.parametrize("of_class", [7, 100])
@pytest.mark.parametrize("offset", [0.0, 1.7, 300.0])
@pytest.mark.parametrize("means", ["simplex", "drawn"])
def test_a_layer_that_has_collapsed_has_no_bias(means, offset, of_class):
    corners = 5.3 * np.eye(3, 6) if means == "simplex" else NORMAL[:3, :6]
    layer = np.repeat(corners, of_class, axis=0) / 3.0 + offset
    labels = np.repeat(np.arange(3), of_class)
    found = cell(layer, labels, "collapse:splits=0")
    assert found["nc1"].bits == pytest.approx(0.0, abs=1e-15)
    measures = {name for name in found if name.startswith(("nc", "cdnv"))}
    assert len(measures) == 6
    assert [name for name in measures if "biased" in found[name].flags] == []


def test_noise_about_a_simplex_is_still_a_bias():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 100)
    layer = 5.3 * np.eye(3, 6)[labels] + 1e-6 * rng.standard_normal((300, 6))
    assert "biased" in cell(layer, labels, "collapse:splits=0")["nc2_etf"].flags
