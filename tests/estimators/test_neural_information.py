import numpy as np
import pytest

from infoplane import InputError, neural_information
from infoplane.validation.known_mi import (
    dense_normal,
    half_cube,
    labelled,
    low_rank,
    mapped,
    normal_pair,
    rectified,
    rotated_pairs,
    sparse_normal,
    student_pair,
    uniform_plus_uniform,
)

N = 1000


def quick(x, y, **more):
    return neural_information(x, y, protocol=False, **more)


def first_pair(n, rng):
    return normal_pair(n, rng, 0.8)


KNOWN = {
    "one column each": first_pair,
    "sharp edges": lambda n, rng: uniform_plus_uniform(n, rng, 0.2),
    "heavy tails": lambda n, rng: student_pair(n, rng, 2, 1),
    "two of many columns": lambda n, rng: sparse_normal(n, rng, 20),
    "all of many columns": lambda n, rng: dense_normal(n, rng, 20),
    "bent columns": mapped(lambda n, rng: sparse_normal(n, rng, 8), half_cube, half_cube),
    "few dimensions in many columns": lambda n, rng: low_rank(n, rng, 2, 40, 1.5),
    "zeros": lambda n, rng: rectified(n, rng, 3, 0.8),
}


@pytest.mark.parametrize("name", KNOWN)
def test_interval_holds_known_information(name):
    pair = KNOWN[name](N, np.random.default_rng(11))
    found = quick(pair.x, pair.y)
    assert found.lower < pair.bits
    assert found.low - 0.02 < pair.bits < found.high + 0.02
    # Two or three standard errors of 1000 samples, or what is learned by heart.
    assert found.bits == pytest.approx(pair.bits, rel=0.15, abs=0.15)


@pytest.mark.parametrize("dim", [1, 30])
def test_independent_samples_share_next_to_nothing(dim):
    rng = np.random.default_rng(12)
    found = quick(rng.standard_normal((3000, dim)), rng.standard_normal((3000, dim)))
    assert abs(found.bits) < 0.03
    assert found.lower < 0.005


@pytest.mark.parametrize("classes", [2, 10])
def test_classes_read_their_information(classes):
    pair = labelled(N, np.random.default_rng(13), classes, 20, 2.0)
    found = quick(pair.y, pair.labels)
    assert found.low < pair.bits < found.high
    assert found.ceiling == pytest.approx(np.log2(classes), abs=0.02)


def test_classes_may_be_texts_columns_or_the_left_side():
    pair = labelled(600, np.random.default_rng(14), 3, 5, 2.0)
    as_numbers = quick(pair.y, pair.labels)
    as_texts = quick(pair.y, np.array(["a", "b", "c"])[pair.labels])
    as_columns = quick(pair.y, pair.labels[:, None] * [1.5, -2.0])
    on_the_left = quick(pair.labels, pair.y)
    assert [one.bits for one in (as_texts, as_columns, on_the_left)] == pytest.approx(
        [as_numbers.bits] * 3, rel=1e-6
    )


def test_two_sides_of_classes_read_what_their_table_holds():
    rng = np.random.default_rng(24)
    y = rng.integers(0, 4, 1000)
    x = np.where(rng.uniform(size=1000) < 0.9, y % 2, rng.integers(0, 2, 1000))
    found = quick(x, y)
    table = np.array([[np.mean((x == a) & (y == b)) for b in range(4)] for a in range(2)])
    outer = table.sum(axis=1, keepdims=True) * table.sum(axis=0)
    assert found.bits == pytest.approx((table * np.log2(table / outer)).sum(), abs=0.05)


def test_same_seed_gives_the_same_number_and_another_one_another():
    pair = first_pair(500, np.random.default_rng(15))
    first, again, other = (quick(pair.x, pair.y, seed=seed).bits for seed in (0, 0, 1))
    assert first == again != other


def test_monotone_maps_of_single_columns_change_nothing():
    pair = first_pair(500, np.random.default_rng(16))
    assert quick(pair.x, pair.y).bits == quick(np.exp(pair.x), -(pair.y**3) * -5e6).bits


def test_parts_of_a_plain_sample_vouch_for_its_value():
    pair = sparse_normal(2000, np.random.default_rng(17), 3)
    found = neural_information(pair.x, pair.y)
    assert found.verdict == "reliable"
    assert set(found.diagnostics["parts"]) == {2, 4}
    assert quick(pair.x, pair.y).verdict == "lower bound only"


def test_more_than_the_rows_can_show_is_flagged():
    pair = rotated_pairs(1000, np.random.default_rng(18), 6, 7.0)
    found = quick(pair.x, pair.y)
    assert "saturated" in found.flags
    assert found.lower < found.bits <= found.ceiling < pair.bits


def test_normal_critic_never_claims_more_than_is_there():
    pair = low_rank(1500, np.random.default_rng(19), 3, 60, 2.0)
    found = quick(pair.x, pair.y, critic="gauss")
    assert found.lower < pair.bits
    assert found.verdict == "lower bound only"


@pytest.mark.parametrize("critic", ["smile", "mine"])
def test_critics_that_are_no_bound_say_so(critic):
    pair = first_pair(800, np.random.default_rng(20))
    found = quick(pair.x, pair.y, critic=critic)
    assert found.bits == pytest.approx(pair.bits, abs=0.25)
    assert "no_bound" in found.flags
    assert (found.lower, found.verdict) == (None, None)


def test_constant_columns_are_left_out_and_a_constant_side_shares_nothing():
    rng = np.random.default_rng(21)
    pair = first_pair(500, rng)
    padded = np.hstack([np.ones((500, 2)), pair.x])
    assert quick(padded, pair.y).bits == quick(pair.x, pair.y).bits
    for y in (np.ones(500), np.zeros(500, int), np.ones((500, 3))):
        found = quick(pair.x, y)
        assert (found.bits, found.flags) == (0.0, ("constant",))


def test_too_few_samples_are_told():
    found = quick(np.arange(199.0), np.arange(199.0) ** 2 + 0.5)
    assert found.bits is None
    assert found.flags == ("small_n", "failed")
    assert found.diagnostics["reason"] == "expected at least 200 samples, got 199"


def test_time_that_does_not_suffice_is_told():
    pair = first_pair(2000, np.random.default_rng(22))
    found = quick(pair.x, pair.y, seconds=1e-6)
    assert found.bits is None
    assert found.flags == ("timeout", "failed")


def test_a_loss_that_is_no_number_is_told(monkeypatch):
    import torch

    from infoplane.numerics.neural import bounds

    monkeypatch.setattr(bounds.Pairs, "value", lambda *_: torch.full((2,), torch.nan))
    found = quick(*np.random.default_rng(23).standard_normal((2, 300, 1)))
    assert found.flags == ("failed",)
    assert "diverged" in found.diagnostics["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0], [np.nan]], [[1.0], [2.0]]), "finite x"),
        (([[1.0], [2.0]], [1.5, np.inf]), "finite y"),
        (([[1.0], [2.0]], [1.5]), "expected 2 rows of y"),
        (([[1j], [2.0]], [1.5, 2.5]), "real numbers"),
        (([[1.0], [2.0]], [None, "a"]), "got dtype object"),
        (([[1.0], [2.0]], None), "y with samples"),
        (([], []), "x with samples"),
    ],
)
def test_unfit_arrays_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        neural_information(*(np.array(one) for one in arguments))


@pytest.mark.parametrize(
    "unfit",
    [{"critic": "best"}, {"seconds": 0}, {"seconds": "1"}, {"seed": -1}, {"protocol": 1},
     {"device": "gpu"}],
)  # fmt: skip
def test_unfit_arguments_are_refused(unfit):
    with pytest.raises(InputError):
        neural_information(np.zeros((2, 1)), np.zeros((2, 1)), **unfit)


@pytest.mark.parametrize("side", ["x", "y"])
def test_masked_values_are_refused(side):
    pair = {"x": np.ones((4, 1)), "y": np.arange(4) + 0.5}
    pair[side] = np.ma.masked_less(pair[side], 2)
    with pytest.raises(InputError, match=f"{side} without masked"):
        neural_information(**pair)


def test_texts_may_be_objects():
    rng = np.random.default_rng(31)
    x, y = rng.standard_normal((300, 2)), rng.choice(["a", "b"], 300)
    assert quick(x, y.astype(object)) == quick(x, y)


REPEATED = {
    "numbers": lambda rng: rng.standard_normal((150, 2)),
    "zeros": lambda rng: np.maximum(rng.standard_normal((150, 8)), 0),
    "classes": lambda rng: rng.integers(0, 3, 150),
}


@pytest.mark.parametrize("name", REPEATED)
def test_nothing_vouches_for_samples_that_come_again(name):
    rng = np.random.default_rng(32)
    x, y = rng.standard_normal((150, 3)), REPEATED[name](rng)
    found = quick(np.repeat(x, 4, axis=0), np.repeat(y, 4, axis=0), critic="gauss")
    assert {"repeated_samples", "no_bound"} <= set(found.flags)
    assert (found.lower, found.verdict) == (None, None)


def test_rows_of_few_states_may_repeat():
    bits = np.random.default_rng(33).integers(0, 2, (600, 8))
    found = quick(bits, bits[:, 0] ^ bits[:, 1], critic="gauss")
    assert "repeated_samples" not in found.flags


def test_classes_are_never_worth_more_than_their_entropy():
    """Whatever the shares of the classes among the samples that are read."""
    points, uneven = np.eye(4) * 9.0, np.repeat([0, 1, 2, 3], [500, 300, 150, 50])
    order = np.random.default_rng(0).permutation(1000)
    y = uneven[order]
    x = points[y] + np.random.default_rng(1).normal(size=(1000, 4))
    found = neural_information(x, y, critic="gauss")
    assert found.bits <= found.ceiling + 1e-9
    assert found.low <= found.bits <= found.high
    assert found.lower <= found.bits
