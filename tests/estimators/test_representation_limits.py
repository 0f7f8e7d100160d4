"""Measures of representations at the limits: any unit of measurement, and what has no value."""

import math

import numpy as np
import pytest

import infoplane as ip
from infoplane.estimators.registry import parse_estimator
from infoplane.validation.problems import Problem
from infoplane.validation.trials import estimate_problem

LABELS = np.arange(90) % 3
LAYER = np.random.default_rng(0).standard_normal((90, 8)) + np.eye(3, 8)[LABELS]
WIDE = np.random.default_rng(0).standard_normal((90, 120))
WEIGHT = np.random.default_rng(1).standard_normal((3, 8))
NC = ("nc1", "nc1_quotient", "cdnv", "nc2_equinorm", "nc2_equiangle", "nc2_etf", "nc3", "nc4")
SCALES = (1e-300, 1e-160, 1e-150, 1e-100, 1e-30, 1e30, 1e99, 1e101, 1e155, 1e200, 1e300)


def cell(values, labels=LABELS):
    problem = Problem(np.zeros((len(values), 1)), values, labels)
    return estimate_problem(
        parse_estimator("collapse:permutations=2,halves=2,splits=2"), problem, 0
    )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("x", [LAYER, WIDE], ids=["few units", "many units"])
def test_no_measure_of_classes_depends_on_the_unit_of_measurement(x, scale):
    for measure in (ip.label_alignment, ip.centroid_nuclear_norm):
        assert measure(scale * x, LABELS) == pytest.approx(measure(x, LABELS), rel=1e-9)
    assert ip.rdm_stability(scale * x, 3) == pytest.approx(ip.rdm_stability(x, 3), rel=1e-9)
    own, other = cell(x), cell(scale * x)
    for name, found in own.items():
        assert other[name].bits == pytest.approx(found.bits, rel=1e-9), name
        assert other[name].low == pytest.approx(found.low, rel=1e-6), name
        null = found.diagnostics["null"]
        assert other[name].diagnostics["null"] == pytest.approx(null, rel=1e-6), name


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("of_weight", [1.0, 1e-200, 1e200])
def test_nor_does_neural_collapse_with_a_weight(scale, of_weight):
    whole = ip.neural_collapse(LAYER, LABELS, WEIGHT)
    found = ip.neural_collapse(scale * LAYER, LABELS, of_weight * WEIGHT)
    for name in NC:
        assert getattr(found, name) == pytest.approx(getattr(whole, name), rel=1e-9), name


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    "metric", ["sqeuclidean", "euclidean", "cosine", "correlation", "cityblock"]
)
def test_nor_do_correlations_of_distances(metric, scale):
    expected = ip.rsa(LAYER, WIDE, metric=metric)
    assert ip.rsa(scale * LAYER, WIDE, metric=metric) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("power", [-900, -30, 3, 700])
def test_a_power_of_two_changes_no_digit(power):
    x = np.ldexp(LAYER, power)
    assert ip.neural_collapse(x, LABELS, WEIGHT) == ip.neural_collapse(LAYER, LABELS, WEIGHT)
    assert ip.label_alignment(x, LABELS) == ip.label_alignment(LAYER, LABELS)
    assert ip.rdm_stability(x, 3) == ip.rdm_stability(LAYER, 3)


@pytest.mark.parametrize("size", [1e160, 1e200, 1e300])
def test_one_sample_beyond_all_others_is_no_constant_layer(size):
    x = LAYER.copy()
    x[0] *= size
    found = ip.neural_collapse(x, LABELS)
    # One mean is far away, the two others are equal beside it: 2/3 of its way, and twice 1/3.
    assert found.flags == ("equal_means",)
    assert found.nc2_equinorm == pytest.approx(math.sqrt(3) / 4)
    # Of every row the direction alone counts.
    expected = ip.centroid_nuclear_norm(LAYER, LABELS)
    assert ip.centroid_nuclear_norm(x, LABELS) == pytest.approx(expected, rel=1e-9)
    assert ip.rdm_stability(x, 3) == pytest.approx(ip.rdm_stability(LAYER, 3), rel=1e-9)
    told = cell(x)
    assert [name for name, one in told.items() if one.bits is None] == ["cdnv"]
    assert "got two equal ones" in told["cdnv"].diagnostics["reason"]


def with_means(means, offset=0.0, spread=1.0):
    """Return a layer of these class means (3, d), up to rounding."""
    x = LAYER[:, : means.shape[1]].copy()
    for k in range(3):
        x[k == LABELS] -= x[k == LABELS].mean(axis=0)
    return spread * x + means[LABELS] + offset


LINE = np.outer([-1.0, 0.0, 1.0], np.arange(1.0, 5.0))
PAIR = np.outer([1.0, 1.0, 3.0], np.arange(1.0, 5.0))


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e6])
@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0])
def test_a_class_mean_in_the_middle_has_no_angle(offset, scale, spread):
    x = scale * with_means(LINE, offset, spread)
    found = ip.neural_collapse(x, LABELS)
    assert math.isnan(found.nc2_equiangle)
    assert found.flags == ("central_mean",)
    assert found.nc2_equinorm == pytest.approx(math.sqrt(3) / 2, rel=1e-6)  # lengths 1, 0, 1
    told = cell(x)["nc2_equiangle"]
    assert told.bits is None
    assert "got one in it" in told.diagnostics["reason"]


@pytest.mark.parametrize("length", [1e-3, 1e-6, 1e-9])
def test_a_short_class_mean_has_one(length):
    means = np.zeros((3, 4))
    means[:, 0], means[:, 1] = [-1.0, 0.0, 1.0], [-length / 2, length, -length / 2]
    found = ip.neural_collapse(with_means(means, spread=0.0) + 0.0, LABELS)
    # The cosines are 0 (to first order), 0 and -1: each is half a unit from -1 / 2.
    assert found.nc2_equiangle == pytest.approx(0.5, abs=2 * length)
    assert found.flags == ()


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e6])
@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0])
def test_two_equal_class_means_have_no_distance(offset, scale, spread):
    x = scale * with_means(PAIR, offset, spread)
    found = ip.neural_collapse(x, LABELS)
    assert math.isnan(found.cdnv)
    assert found.flags == ("equal_means",)
    assert found.nc2_equinorm == pytest.approx(math.sqrt(3) / 4, rel=1e-6)  # lengths 1, 1, 2
    told = cell(x)["cdnv"]
    assert told.bits is None
    assert "got two equal ones" in told.diagnostics["reason"]


@pytest.mark.parametrize("bias", [None, np.zeros(3), np.full(3, 2.0)])
def test_a_weight_of_zeros_has_no_direction(bias):
    found = ip.neural_collapse(LAYER, LABELS, np.zeros((3, 8)), bias)
    assert math.isnan(found.nc3)
    assert math.isnan(found.nc4)
    assert found.flags == ("zero_weight", "equal_logits")


def test_a_bias_alone_decides_for_one_class():
    found = ip.neural_collapse(with_means(PAIR + LINE), LABELS, np.zeros((3, 4)), np.eye(3)[1])
    assert found.flags == ("zero_weight",)
    assert 0.0 < found.nc4 < 1.0
    apart = np.eye(3, 4) * 100.0
    found = ip.neural_collapse(with_means(apart), LABELS, np.zeros((3, 4)), np.eye(3)[1])
    assert found.nc4 == pytest.approx(2 / 3)


def test_a_weight_at_right_angles_to_the_means_is_at_distance_two():
    weight = np.zeros((3, 4))
    weight[:, 1] = [-1.0, 0.0, 1.0]
    means = np.zeros((3, 4))
    means[:, 0] = [-1.0, 0.5, 0.5 + 1e-3]
    assert ip.neural_collapse(with_means(means, spread=0.0), LABELS, weight).nc3 == pytest.approx(2)


@pytest.mark.parametrize("offset", [0.0, 1e3, 3e7, 1e8])
@pytest.mark.parametrize("seed", [9, 42])
def test_a_common_offset_of_the_units_does_not_change_nc4(offset, seed):
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(90, 6)), rng.normal(size=(3, 6))
    means = np.array([x[k == LABELS].mean(axis=0) for k in range(3)])
    nearest = np.square(x[:, None] - means).sum(axis=2).argmin(axis=1)
    expected = np.mean((x @ weight.T).argmax(axis=1) != nearest)
    found = ip.neural_collapse(x + offset, LABELS, weight, -weight.sum(axis=1) * offset)
    assert found.nc4 == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "ranks", [12, None, (), (12,), (1, 2, 3), "12", ("a", "b"), (12.7, 100), (12.0, 100), (0, 50),
              (100, 12), (12, 12), (True, 50), (math.nan, 100), (None, 100)],
)  # fmt: skip
def test_ranks_that_are_none_are_refused_in_one_line(ranks):
    with pytest.raises(ip.InputError, match=r"^ranks: expected .*\Z"):
        ip.alpha_req(WIDE, ranks)


@pytest.mark.parametrize("ranks", [(1, 40), [1, 40], np.array([1, 40])])
def test_ranks_of_any_sequence(ranks):
    assert ip.alpha_req(WIDE, ranks).ranks == (1, 40)


@pytest.mark.parametrize(
    ("units", "asked", "above"),
    [(1, (12, 100), (12, 11)), (4, (12, 100), (12, 11)), (12, (12, 100), (12, 12)),
     (20, (12, 100), (12, 20)), (30, (50, 90), (50, 49)), (5, (1, 30), (1, 5))],
)  # fmt: skip
def test_ranks_without_a_fit_are_those_above_the_noise(units, asked, above):
    found = ip.alpha_req(WIDE[:, :units], asked)
    assert math.isnan(found.alpha)
    assert found.ranks == above


@pytest.mark.parametrize(
    "bias", [["a", "b", "c"], np.zeros(3) + 1j, 0.5, np.zeros(2), np.zeros((3, 1)), [None] * 3,
             np.full(3, np.nan), np.ma.array([0.0, 1.0, 2.0], mask=[False, True, False])],
)  # fmt: skip
def test_a_bias_that_is_none_is_refused_in_one_line(bias):
    with pytest.raises(ip.InputError, match=r"^expected .*bias.*\Z"):
        ip.neural_collapse(LAYER, LABELS, WEIGHT, bias)


def masked_rows(x):
    return np.ma.getmaskarray(x).any(axis=1)


MASKED = np.ma.masked_greater(LAYER, 2.0)


@pytest.mark.parametrize(
    "call",
    [
        ip.rankme, ip.alpha_req, ip.von_neumann_entropy, ip.intrinsic_dimension, ip.rdm_stability,
        lambda x: ip.neural_collapse(x, LABELS), lambda x: ip.label_alignment(x, LABELS),
        lambda x: ip.probe_information(x, LABELS), lambda x: ip.cka(x, LAYER),
        lambda x: ip.rsa(LAYER, x, metric="cosine"),
        lambda x: ip.neural_collapse(LAYER, LABELS, x[np.argsort(~masked_rows(x))[:3]]),
        lambda x: ip.neural_collapse(LAYER, np.ma.array(LABELS, mask=masked_rows(x))),
    ],
)  # fmt: skip
def test_a_mask_is_not_ignored(call):
    call(np.ma.array(LAYER))  # nothing is masked
    for x in (MASKED, np.ma.array(LAYER, mask=True)):
        with pytest.raises(ip.InputError, match="without masked values, got"):
            call(x)


def test_one_unit_has_rank_one_but_for_epsilon():
    for measure in (ip.rankme, ip.effective_rank):
        assert measure(LAYER[:, :1], epsilon=0.0) == 1.0
        assert measure(LAYER[:, :1]) == pytest.approx(1.0 - 1e-7, abs=1e-13)
