"""Similarity of two arrays: what it does not depend on, its null, its interval, what it refuses."""

import itertools

import numpy as np
import pytest
import scipy.spatial
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import infoplane
from infoplane.errors import EstimationError, InfoplaneError, InputError
from infoplane.numerics.similarity import alignment, distances, neighborhoods, shape
from infoplane.numerics.similarity.samples import centred, dealt, few_parts, parts, whole

SAME = {  # value for a representation and what it does not tell apart from it
    "cka": (infoplane.cka, 1.0),
    "cka biased": (lambda x, y: infoplane.cka(x, y, debiased=False), 1.0),
    "cka rbf": (lambda x, y: infoplane.cka(x, y, kernel="rbf"), 1.0),
    "cka without top": (infoplane.cka_without_top, 1.0),
    "procrustes": (infoplane.procrustes_distance, 0.0),
    "neighbors": (lambda x, y: infoplane.mutual_neighbors(x, y, 3), 1.0),
    "rsa": (infoplane.rsa, 1.0),
    "rsa linear": (lambda x, y: infoplane.rsa(x, y, correlation="pearson"), 1.0),
}
CORRELATIONS = {
    "svcca": lambda x, y: infoplane.svcca(x, y, 1.0),
    "pwcca": infoplane.pwcca,
}
EVERY = {**{name: of for name, (of, _) in SAME.items()}, **CORRELATIONS}


@st.composite
def layers(draw):
    """A representation (n_samples, n_units), narrow or wide, and a rotation of its units."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, d = draw(st.integers(12, 40)), draw(st.integers(2, 60))
    x = rng.normal(size=(n, d)) * rng.uniform(0.2, 2, d) + rng.normal(size=d)
    return x, np.linalg.qr(rng.normal(size=(d, d)))[0]


@pytest.mark.parametrize("name", SAME)
@settings(max_examples=12)
@given(layer=layers(), scale=st.floats(1e-6, 1e6), shift=st.floats(-3, 3))
def test_rotation_scaling_and_shift_do_not_matter(name, layer, scale, shift):
    of, same = SAME[name]
    x, rotation = layer
    assert of(x, scale * (x @ rotation) + shift) == pytest.approx(same, abs=1e-7)


@pytest.mark.parametrize("name", SAME)
@settings(max_examples=12)
@given(layer=layers())
def test_order_and_sign_of_units_do_not_matter(name, layer):
    of, same = SAME[name]
    x, _ = layer
    assert of(x, -x[:, ::-1]) == pytest.approx(same, abs=1e-7)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=12)
@given(layer=layers(), other=layers(), seed=st.integers(0, 99))
def test_order_of_samples_and_of_sides_does_not_matter(name, layer, other, seed):
    n = min(len(layer[0]), len(other[0]))
    x, y = layer[0][:n, :3], other[0][:n, :4]
    rows = np.random.default_rng(seed).permutation(n)
    found = EVERY[name](x, y)
    assert EVERY[name](y, x) == pytest.approx(found, abs=1e-9)
    assert EVERY[name](x[rows], y[rows]) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("name", CORRELATIONS)
@given(seed=st.integers(0, 2**32), d=st.integers(1, 6))
def test_invertible_maps_do_not_matter_to_canonical_correlations(name, seed, d):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, d))
    onto = np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.5, 20, d)
    assert CORRELATIONS[name](x, x @ onto + 1) == pytest.approx(1.0, abs=1e-9)


def test_triangle_inequality_of_the_angle():
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y, z = (rng.normal(size=(12, d)) for d in rng.integers(1, 20, 3))
        sides = [infoplane.procrustes_distance(a, b) for a, b in ((x, y), (y, z), (x, z))]
        assert sides[2] <= sides[0] + sides[1] + 1e-12


def test_small_angles_have_all_their_digits():
    rng = np.random.default_rng(0)
    x = centred(rng.normal(size=(50, 9)))
    x /= np.linalg.norm(x)
    at_right_angles = np.zeros((50, 9))
    at_right_angles[:, 0] = np.linalg.svd(x)[0][:, 20]  # beyond all units of x
    at_right_angles -= at_right_angles.mean(axis=0)
    at_right_angles /= np.linalg.norm(at_right_angles)
    for size in (1e-3, 1e-6, 1e-9):
        wide = np.hstack([x, size * at_right_angles])
        for pair in ((x, wide), (wide, x)):
            assert infoplane.procrustes_distance(*pair) == pytest.approx(np.arctan(size), rel=1e-6)


@pytest.mark.parametrize("n", [8, 32, 128, 512])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_debiased_cka_of_independent_data_is_0_on_average(n, kernel):
    rng = np.random.default_rng(n)
    draws = 400 if n < 200 else 40
    found = [
        infoplane.cka(rng.normal(size=(n, 64)), rng.normal(size=(n, 30)), kernel=kernel)
        for _ in range(draws)
    ]
    assert abs(np.mean(found)) < 2 * np.std(found, ddof=1) / np.sqrt(draws)
    # The standard deviation is known; that of `draws` values is within 5 of its own errors.
    assert np.std(found) == pytest.approx(np.sqrt(2 / (n * (n - 3))), rel=5 / np.sqrt(2 * draws))


def with_variances(*variances, n=60, d=8):
    """Return a layer whose principal components have these variances, in other directions."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(n, len(variances)))
    samples = np.linalg.qr(samples - samples.mean(axis=0))[0] * np.sqrt(variances)
    return samples @ np.linalg.qr(rng.normal(size=(d, len(variances))))[0].T


@pytest.mark.parametrize("classes", [3, 4, 10])
@pytest.mark.parametrize("d", [10, 40, 400])
def test_of_equal_components_none_is_the_first(classes, d):
    rng = np.random.default_rng(0)
    layer = 5.0 * np.eye(classes, d)[np.arange(12 * classes) % classes]
    rotated = layer @ np.linalg.qr(rng.normal(size=(d, d)))[0]
    for other in (layer, layer[:, ::-1], rotated):
        assert infoplane.cka(layer, other) == pytest.approx(1.0)
        with pytest.raises(EstimationError, match="two largest components have the same variance"):
            infoplane.cka_without_top(layer, other)


@pytest.mark.parametrize("gap", [1e-3, 1e-2, 0.5])
def test_components_of_other_variances_have_a_first_one(gap):
    layer = with_variances(1.0, 1.0 - gap, 0.3, 0.3)
    rotated = layer @ np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    assert infoplane.cka_without_top(layer, rotated) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("gap", [0.0, 1e-9, 1e-5])
def test_components_of_nearly_one_variance_have_none(gap):
    layer = with_variances(1.0, 1.0 - gap, 0.3, 0.3)
    with pytest.raises(EstimationError, match="the same variance"):
        infoplane.cka_without_top(layer, layer)


def test_components_after_the_first_may_be_equal():
    layer = with_variances(4.0, 1.0, 1.0, 1.0)
    assert infoplane.cka_without_top(layer, layer[:, ::-1]) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("width", [1e2, 1e3, 1e4, 1e6])
def test_a_wide_gaussian_kernel_is_a_linear_one(width, debiased):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8))
    y = x + 0.7 * rng.normal(size=(60, 8))
    linear = infoplane.cka(x, y, debiased=debiased)
    found = infoplane.cka(x, y, kernel="rbf", width=width, debiased=debiased)
    assert found == pytest.approx(linear, abs=30 / width**2 + 1e-9)  # of the next order


@pytest.mark.parametrize("width", [1e200, 1e-200, 1e-7, 0.0, -1.0, float("nan"), "1", True])
def test_a_width_beyond_all_use_is_refused(width):
    x = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(InputError, match="width: expected a"):
        infoplane.cka(x, x, kernel="rbf", width=width)


def test_biased_cka_of_independent_data_is_not():
    rng = np.random.default_rng(0)
    for n, expected in ((32, 0.889), (128, 0.667), (512, 0.333)):  # n / (n + d) for d = 256
        x, y = rng.normal(size=(2, n, 256))
        assert infoplane.cka(x, y, debiased=False) == pytest.approx(expected, abs=0.015)


def test_one_direction_makes_cka_1_but_not_without_it():
    rng = np.random.default_rng(0)
    shared = 30 * rng.normal(size=(1000, 1))
    x, y = (np.hstack([shared, rng.normal(size=(1000, 50))]) for _ in range(2))
    assert infoplane.cka(x, y) > 0.99
    assert abs(infoplane.cka_without_top(x, y)) < 0.01


def _views(kind):
    return {
        "cka": (lambda z, b: alignment.linear_view(z, b, debiased=True), alignment.compared),
        "cka biased": (
            lambda z, b: alignment.linear_view(z, b, debiased=False),
            alignment.compared,
        ),
        "cka rbf": (
            lambda z, b: alignment.gaussian_view(z, b, width=1.0, debiased=False),
            alignment.compared,
        ),
        "rsa": (
            lambda z, b: distances.distance_view(z, b, metric="sqeuclidean", ranks=True),
            distances.compared,
        ),
        "neighbors": (lambda z, b: neighborhoods.neighbor_view(z, b, 2), neighborhoods.compared),
    }[kind]


@pytest.mark.parametrize("kind", ["cka", "cka biased", "cka rbf", "rsa", "neighbors"])
def test_null_is_that_of_all_permutations(kind):
    rng = np.random.default_rng(1)
    x, y = centred(rng.normal(size=(6, 3))), centred(rng.normal(size=(6, 2)) ** 2)
    view, compared = _views(kind)
    bounds = whole(6)
    told = compared(view(x, bounds), view(y, bounds))
    every = [
        compared(view(x, bounds), view(y[list(rows)], bounds)).value
        for rows in itertools.permutations(range(6))
    ]
    assert told.null == pytest.approx(np.mean(every), abs=1e-12)
    assert told.null_sd == pytest.approx(np.std(every), abs=1e-12)


@pytest.mark.parametrize("units", [(5, 7), (60, 4), (200, 150)])
@pytest.mark.parametrize("debiased", [True, False])
def test_cka_of_a_half_is_that_of_its_samples(units, debiased):
    """By samples or by units, and one of each."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(93, units[0]))
    y = np.tanh(x @ rng.normal(size=units)) + rng.normal(size=(93, units[1]))
    bounds = dealt(93)
    views = [alignment.linear_view(centred(z), bounds, debiased=debiased) for z in (x, y)]
    values = alignment._hsic(*views) / np.sqrt(views[0].own * views[1].own)
    for index in (0, 1, 77):
        rows = np.repeat(parts(10)[index], np.diff(bounds))
        expected = infoplane.cka(x[rows], y[rows], debiased=debiased)
        assert values[index] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", ["cka", "cka biased", "rsa", "neighbors"])
def test_standard_error_is_that_of_new_samples(kind):
    """In the mean over draws, within a third: it has nine degrees of freedom."""
    rng = np.random.default_rng(3)
    onto = rng.normal(size=(6, 8))
    view, compared = _views(kind)
    found = []
    for _ in range(120):
        x = rng.normal(size=(100, 6))
        bounds = dealt(100)
        sides = [centred(z) for z in (x, np.tanh(x @ onto) + rng.normal(size=(100, 8)))]
        found.append(compared(*(view(side, bounds) for side in sides)))
    spread = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.34)


def test_halves_are_balanced():
    for chosen in (parts(10), few_parts(10)):
        assert chosen[0].all()
        assert (chosen[1:].sum(axis=1) == 5).all()
    assert len(parts(10)) == 1 + 252


def test_too_few_samples_for_halves_have_no_error():
    x, y = np.random.default_rng(0).normal(size=(2, 8, 3))
    bounds = dealt(8)
    views = [alignment.linear_view(centred(z), bounds, debiased=True) for z in (x, y)]
    assert alignment.compared(*views).standard_error is None
    views = [shape.shape_view(centred(z), bounds) for z in (x, y)]
    assert shape.compared(*views, np.random.default_rng(0)).standard_error is None


GOOD = np.random.default_rng(0).normal(size=(30, 4))
BAD = {
    "another number of samples": (GOOD[:20], InputError),
    "not a number": (np.full((30, 2), np.nan), InputError),
    "infinite": (np.where(GOOD > 1, np.inf, GOOD), InputError),
    "text": (np.array([["a"]] * 30), InputError),
    "one axis": (GOOD[:, 0], InputError),
    "no units": (GOOD[:, :0], InputError),
    "constant": (np.full((30, 3), 0.1), EstimationError),
}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_compared_is_refused_in_one_line(name, bad):
    array, error = BAD[bad]
    for pair in ((GOOD, array), (array, GOOD)):
        with pytest.raises(error) as caught:
            EVERY[name](*pair)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_than_4_samples_are_refused(name, n):
    with pytest.raises(InfoplaneError):
        EVERY[name](GOOD[:n], GOOD[:n])


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25)
@given(
    n=st.integers(4, 15), d=st.integers(1, 30), levels=st.integers(2, 4), seed=st.integers(0, 999)
)
def test_a_value_is_a_number_or_refused(name, n, d, levels, seed):
    """Ties, dead units and repeated samples included."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, levels, size=(2, n, d)).astype(float)
    try:
        found = EVERY[name](x, y)
    except EstimationError:
        return
    assert np.isfinite(found)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_no_more_samples_than_units_are_refused_for_canonical_correlations(name):
    x, y = np.random.default_rng(0).normal(size=(2, 20, 30))
    with pytest.raises(EstimationError, match="expected more than 38 samples"):
        CORRELATIONS[name](x, y)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: infoplane.cka(GOOD, GOOD, kernel="cubic"), "kernel"),
        (lambda: infoplane.cka(GOOD, GOOD, width=1.0), "width"),
        (lambda: infoplane.cka(GOOD, GOOD, kernel="rbf", width=0), "width"),
        (lambda: infoplane.cka(GOOD, GOOD, debiased="no"), "debiased"),
        (lambda: infoplane.mutual_neighbors(GOOD, GOOD, 0), "k"),
        (lambda: infoplane.rsa(GOOD, GOOD, metric="miles"), "metric"),
        (lambda: infoplane.rsa(GOOD, GOOD, correlation="kendall"), "correlation"),
        (lambda: infoplane.svcca(GOOD, GOOD, 1.5), "variance"),
        (lambda: infoplane.svcca(GOOD, GOOD, float("nan")), "variance"),
    ],
)
def test_unfit_options_are_named(call, told):
    with pytest.raises(InputError, match=f"^{told}: expected"):
        call()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, bool])
def test_dtypes(dtype):
    x = np.random.default_rng(0).integers(0, 2, size=(50, 5)).astype(dtype)
    assert infoplane.cka(x, x.astype(float)) == pytest.approx(1.0)


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300])
def test_sizes_at_the_end_of_the_numbers(size):
    x, y = np.random.default_rng(0).normal(size=(2, 50, 5))
    for of in EVERY.values():
        assert of(size * x, y) == pytest.approx(of(x, y), abs=1e-6)


def test_one_unit_a_side():
    x, y = np.random.default_rng(0).normal(size=(2, 200, 1))
    y = x + 0.1 * y
    assert infoplane.svcca(x, y) == pytest.approx(abs(np.corrcoef(x.T, y.T)[0, 1]))
    assert infoplane.cka(x, y) > 0.95
    with pytest.raises(EstimationError, match="one component only"):
        infoplane.cka_without_top(x, y)


PERMUTED = {  # n_samples, units of both sides, and how fast the sizes of their directions fall
    "narrow": (300, (8, 5), 0.5),
    "one unit": (300, (1, 200), 0.5),
    "wide": (400, (150, 150), 0.0),
    "as many units as samples": (250, (250, 250), 0.0),
    "more units than samples": (150, (400, 90), 0.0),
    "few large directions": (400, (120, 200), 1.5),
    "many small directions": (400, (120, 200), 0.5),
}


@pytest.mark.parametrize("case", PERMUTED)
def test_the_null_of_procrustes_is_what_permuted_samples_read(case):
    n, units, fall = PERMUTED[case]
    rng = np.random.default_rng(5)
    x, y = (centred(rng.normal(size=(n, d)) * np.arange(1.0, d + 1) ** -fall) for d in units)
    found = shape.compared(*(shape.shape_view(side, dealt(n)) for side in (x, y)), rng)
    drawn = np.array([infoplane.procrustes_distance(x, rng.permutation(y)) for _ in range(40)])
    # Means of 12 draws of the leading components, and of 40 of all.
    error = np.hypot(found.null_sd / np.sqrt(12), drawn.std(ddof=1) / np.sqrt(40))
    assert abs(found.null - drawn.mean()) < 3 * error
    # The leading components alone vary more than all of them where these fill the space.
    assert 0.5 < found.null_sd / drawn.std(ddof=1) < 4


@pytest.mark.parametrize("rank", [70, 100, 200])
def test_a_large_nuclear_norm_is_that_of_the_singular_values(rank):
    """With squares that keep its digits, and with as many singular values of 0 as lose them."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(220, rank)) @ rng.normal(size=(rank, 200))
    exact = np.linalg.svd(matrix, compute_uv=False).sum()
    assert shape._nuclear_norm(matrix, by_squares=True) == pytest.approx(exact, rel=1e-7)


STATES = {
    "one unit of two states": np.arange(300)[:, None] % 2,
    "classes": np.eye(5)[np.arange(300) % 5],
    "small integers": np.random.default_rng(0).integers(0, 2, (300, 3)),
}


@pytest.mark.parametrize("name", STATES)
def test_neighbours_that_are_equally_far_are_shared_whatever_their_order(name):
    x = STATES[name].astype(float)
    rng = np.random.default_rng(1)
    assert infoplane.mutual_neighbors(x, x) == pytest.approx(1.0)
    rotated = x @ scipy.stats.ortho_group.rvs(x.shape[1], random_state=0) if x.shape[1] > 1 else -x
    assert infoplane.mutual_neighbors(x, rotated) == pytest.approx(1.0)
    order = rng.permutation(len(x))
    other = rng.permutation(x)
    value = infoplane.mutual_neighbors(x, other)
    assert infoplane.mutual_neighbors(x[order], other[order]) == pytest.approx(value)
    bounds = whole(len(x))
    views = [
        neighborhoods.neighbor_view(side - side.mean(axis=0), bounds, 10) for side in (x, other)
    ]
    found = neighborhoods.compared(*views)
    drawn = [infoplane.mutual_neighbors(x, rng.permutation(x)) for _ in range(200)]
    assert np.mean(drawn) == pytest.approx(found.null, abs=4 * np.std(drawn) / 200**0.5)
    assert np.std(drawn) == pytest.approx(found.null_sd, rel=0.25)
    assert abs(value - found.null) < 5 * found.null_sd


@pytest.mark.parametrize("times", [1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean"])
def test_distances_beside_a_sample_that_is_far_away_keep_their_ranks(times, metric):
    x = np.random.default_rng(0).normal(size=(60, 5))
    far = x + 0.1 * np.random.default_rng(1).normal(size=x.shape)
    far[3] *= times
    pdist = scipy.spatial.distance.pdist
    expected = scipy.stats.spearmanr(pdist(far), pdist(x)).statistic
    assert infoplane.rsa(far, x, metric=metric) == pytest.approx(expected, abs=1e-6)
