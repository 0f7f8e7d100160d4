"""Classes of a probe set: made of targets, and warned of where they are hardly meant."""

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoplane.errors import DataError, InputError
from infoplane.recording.probes.classes import warn_of_classes
from infoplane.recording.probes.named import load_probe, load_splits
from infoplane.recording.recorder import Recorder
from infoplane.target_classes import classes_of
from tests.conftest import small_net

X = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def repeated(*shares):
    return np.repeat([value for value, _ in shares], [count for _, count in shares])


RISING = np.linspace(1, 2, 120)


@pytest.mark.parametrize(
    ("targets", "bins", "sizes"),
    [
        (repeated((0.0, 240), (0.5, 60)), 2, [240, 60]),
        (repeated((0.0, 60), (0.5, 240)), 2, [60, 240]),
        (np.r_[np.zeros(180), RISING], 2, [180, 120]),  # zero-inflated
        (np.r_[np.zeros(180), RISING], 4, [180, 40, 40, 40]),
        (np.r_[RISING, np.full(180, 9.0)], 2, [120, 180]),  # cut off above
        (np.r_[RISING, np.full(180, 9.0)], 4, [40, 40, 40, 180]),
        (np.r_[-RISING, np.zeros(180), RISING], 3, [120, 180, 120]),
        (np.r_[-RISING, np.zeros(180), RISING], 5, [60, 60, 180, 60, 60]),
        (repeated((1, 270), (2, 15), (3, 15)), 3, [270, 15, 15]),
        (repeated((1, 15), (2, 270), (3, 15)), 3, [15, 270, 15]),
        (repeated((1, 15), (2, 15), (3, 270)), 3, [15, 15, 270]),
        (repeated((0, 200), (1, 50), (2, 30), (3, 20)), 2, [200, 100]),
        (np.arange(10), 4, [3, 2, 2, 3]),  # as between quantiles
        (np.arange(300), 3, [100, 100, 100]),
    ],
)
def test_samples_of_one_value_are_of_one_class_and_the_others_shared_evenly(targets, bins, sizes):
    targets = np.sort(targets)
    order = np.random.default_rng(0).permutation(len(targets))
    classes = np.empty(len(targets), int)
    classes[order] = classes_of(targets[order], bins, "t")
    assert np.bincount(classes).tolist() == sizes
    assert (np.diff(classes) >= 0).all()


@given(
    npst.arrays(np.int64, st.integers(1, 80), elements=st.integers(0, 12)),
    st.integers(2, 9),
    st.integers(1, 4),
)
def test_as_many_classes_as_are_asked_for_if_there_are_so_many_values(targets, bins, power):
    targets = targets**power
    values = np.unique(targets)
    classes = classes_of(targets, bins, "t")
    assert np.unique(classes).tolist() == list(range(min(bins, len(values))))
    each = [np.unique(classes[targets == value]) for value in values]
    assert all(len(one) == 1 for one in each)
    assert (np.diff(np.concatenate(each)) >= 0).all()


@given(npst.arrays(np.float64, 57, elements=st.floats(-9, 9), unique=True), st.integers(2, 20))
def test_classes_without_ties_differ_by_two_samples_at_most(targets, bins):
    sizes = np.bincount(classes_of(targets, bins, "t"))
    assert len(sizes) == bins
    assert sizes.max() - sizes.min() <= 2


@pytest.mark.parametrize(
    ("targets", "bins", "made"),
    [([0.0, 0.5], 3, 2), ([0.0], 2, 1), ([1, 2, 3], 8, 3), ([1.5, 2, 2], 3, 2)],
)
def test_fewer_classes_than_asked_for_are_told(targets, bins, made, caplog):
    np.savez("p.npz", inputs=X, labels=np.resize(targets, 300))
    assert len(np.unique(load_probe("p.npz", label_bins=bins).labels)) == made
    assert f"p.npz: --label-bins {bins} makes {made} classes" in caplog.text


ZERO_TO_FOUR = np.arange(300) % 5


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.zeros(300, int), "one class: I(T;Y) is 0 in every layer, as all 300 samples"),
        (np.full(300, 3.0), "one class: I(T;Y) is 0"),
        (np.full(300, -100), "all 300 samples have the label -100, by which data often marks"),
        (np.full(300, -1.0), "all 300 samples have the label -1, by which data often marks"),
        (np.full(300, "cat"), "one class: I(T;Y) is 0"),
        (np.where(ZERO_TO_FOUR == 4, -1, ZERO_TO_FOUR), "60 of 300 samples have the label -1,"),
        (np.where(ZERO_TO_FOUR == 4, -1, 0), "60 of 300 samples have the label -1,"),
        (np.where(ZERO_TO_FOUR == 4, -100, ZERO_TO_FOUR), "60 of 300 samples have the label -100,"),
        (np.where(ZERO_TO_FOUR == 4, -100.0, 1), "60 of 300 samples have the label -100,"),
        (np.where(ZERO_TO_FOUR == 4, 255, ZERO_TO_FOUR), "60 of 300 samples have the label 255,"),
        (np.where(ZERO_TO_FOUR == 4, 255, 0), ""),  # a mask of two colours
        (np.where(ZERO_TO_FOUR == 4, -999, ZERO_TO_FOUR), "60 of 300 samples have the label -999,"),
        (np.where(ZERO_TO_FOUR == 4, -9999.0, ZERO_TO_FOUR), "samples have the label -9999,"),
        (np.where(ZERO_TO_FOUR == 4, 2**31 - 1, ZERO_TO_FOUR), "have the label 2147483647,"),
        (np.where(ZERO_TO_FOUR == 4, 2**63 - 1, ZERO_TO_FOUR), f"have the label {2**63 - 1},"),
        (np.where(ZERO_TO_FOUR == 4, -(2**63), ZERO_TO_FOUR), f"have the label {-(2**63)},"),
        (np.where(ZERO_TO_FOUR == 4, -(2.0**63), ZERO_TO_FOUR), f"have the label {-(2**63)},"),
        (np.where(ZERO_TO_FOUR == 4, -(2**31), 1), "have the label -2147483648,"),
        (np.where(ZERO_TO_FOUR == 4, -128, ZERO_TO_FOUR).astype("i1"), "have the label -128,"),
        (np.where(ZERO_TO_FOUR == 4, 65535, ZERO_TO_FOUR).astype("u2"), "have the label 65535,"),
        (np.where(ZERO_TO_FOUR == 4, -999, ZERO_TO_FOUR - 2), "have the label -999,"),
        (np.full(300, -999), "all 300 samples have the label -999, by which data often marks"),
        (np.arange(300) % 150, ""),  # among which 127 is one of many
        (np.arange(300) % 130 - 129, ""),  # as are -1, -99, -100 and -128
        (np.where(ZERO_TO_FOUR == 4, "unlabeled", "cat"), "60 of 300 samples have the label 'unla"),
        (np.where(ZERO_TO_FOUR == 4, "", "cat"), "60 of 300 samples have the label '',"),
        (np.where(ZERO_TO_FOUR == 4, "NaN", "cat"), "60 of 300 samples have the label 'NaN',"),
        (
            np.where(ZERO_TO_FOUR == 4, " None ", "cat"),
            "60 of 300 samples have the label ' None ',",
        ),
        (np.where(ZERO_TO_FOUR == 4, b"unknown", b"cat"), "have the label 'unknown',"),
        (np.where(ZERO_TO_FOUR == 4, "known", "nano"), ""),
        (np.arange(300), "300 classes of 300 samples"),
        (np.arange(300) // 2 * 7 % 301 * 3, ""),
        (ZERO_TO_FOUR, ""),
        (ZERO_TO_FOUR * 1.0, ""),
        (np.where(ZERO_TO_FOUR > 2, 1, -1), ""),  # of two classes
        (np.arange(300) // 2 + 150, ""),  # among which 255 is one of many
        (np.arange(300) % 128 * 2 + 1, ""),
    ],
)
def test_classes_that_are_hardly_meant_are_told(labels, told, caplog):
    np.savez("p.npz", inputs=X, labels=labels)
    found = load_probe("p.npz").labels
    assert len(found) == 300
    assert told in caplog.text
    assert bool(told) == bool(caplog.text)


REAL = np.random.default_rng(1).normal(size=300)
HALF = np.arange(300) % 2 == 0
TENTH = np.arange(300) % 10 == 0


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        (np.where(HALF, -999.0, REAL), "150 of 300 samples have the target -999, by which"),
        (np.where(TENTH, -999.0, REAL), "30 of 300 samples have the target -999, by which"),
        (np.where(TENTH, -9999.0, 900 + REAL), "30 of 300 samples have the target -9999,"),
        (np.where(TENTH, -1.0, np.abs(REAL) + 5), "30 of 300 samples have the target -1,"),
        (np.where(TENTH, -1, np.arange(300)), "30 of 300 samples have the target -1,"),
        (np.where(TENTH, 2**31 - 1, np.arange(300)), "30 of 300 samples have the target 21474836"),
        (np.where(TENTH, -999, np.arange(300) % 2), "30 of 300 samples have the target -999,"),
        (np.where(HALF, 0.0, REAL), "150 of 300 samples have the target 0, which --label-bins"),
        (np.where(HALF, 0.25, REAL), "150 of 300 samples have the target 0.25, which"),
        (np.where(HALF, 0, np.arange(300)), "150 of 300 samples have the target 0, which"),
        (REAL, ""),
        (np.where(TENTH, 0.0, REAL), ""),
        (np.where(TENTH, -1.0, REAL), ""),  # a value as any other
        (np.where(TENTH, 127.0, 100 * REAL), ""),
        (np.r_[np.linspace(0, 100, 299), 127.0], ""),
        (np.arange(300) - 150, ""),
        (np.arange(300) % 4, ""),
        (np.where(TENTH, 0.5, 0.25), "makes 2 classes"),
    ],
)
def test_targets_that_are_hardly_meant_are_told(targets, told, caplog):
    np.savez("p.npz", inputs=X, labels=targets)
    load_probe("p.npz", label_bins=4)
    assert told in caplog.text
    assert bool(told) == bool(caplog.text)


WHOLE = np.exp(np.linspace(0, 9, 300)).round()


def test_floats_of_many_whole_numbers_are_real_targets(caplog):
    np.savez("p.npz", inputs=X, labels=WHOLE)
    found = load_probe("p.npz")
    assert found.labels is None
    np.testing.assert_array_equal(found.targets, WHOLE)
    assert "300 samples of 216 whole numbers are taken as real targets" in caplog.text
    np.savez("q.npz", inputs=X, labels=WHOLE.astype(int))
    assert load_probe("q.npz").targets is None


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        (REAL, ""),
        (np.c_[REAL, REAL**2], ""),
        (np.full(300, 0.5), "the targets do not vary: I(T;Y) is 0 in every layer"),
        (np.c_[REAL, np.full(300, 2.0)], "1 of 2 columns of the targets do not vary"),
    ],
)
def test_real_targets_that_tell_nothing_are_told(targets, told, caplog):
    np.savez("p.npz", inputs=X, targets=targets)
    load_probe("p.npz")
    assert told in caplog.text
    assert bool(told) == bool(caplog.text)


def test_classes_of_targets_are_the_same_in_all_splits():
    np.savez("a.npz", inputs=X, targets=REAL)
    np.savez("b.npz", inputs=X[:100], targets=REAL[:100] + 3.0)
    every = np.r_[REAL, REAL[:100] + 3.0]
    named = load_splits({"train": "a.npz", "test": "b.npz"}, label_bins=4)
    np.testing.assert_array_equal(named.labels, classes_of(every, 4, "t"))
    parts = {"train": (X, REAL), "test": (X[:100], REAL[:100] + 3.0)}
    with Recorder(small_net(), parts, "s", label_bins=4) as recorder:
        np.testing.assert_array_equal(recorder.probe.labels, named.labels)
        np.testing.assert_array_equal(recorder.probe.targets, every)


@pytest.mark.parametrize("labels", [HALF, np.where(HALF, "a", "b"), np.arange(300) % 10, None])
def test_a_recorder_makes_no_classes_of_classes(labels):
    with pytest.raises(InputError, match="label_bins: expected real targets, found"):
        Recorder(small_net(), (X, labels), "r", label_bins=2)


def test_names_of_classes_of_arrays_are_told(caplog):
    with Recorder(small_net(), (X, np.where(HALF, "unknown", "cat")), "r"):
        pass
    assert "150 of 300 samples have the label 'unknown'" in caplog.text


def test_classes_of_arrays_are_told_as_well(caplog):
    with Recorder(small_net(), (X, np.where(ZERO_TO_FOUR == 4, -1, 0)), "r"):
        pass
    assert "60 of 300 samples have the label -1" in caplog.text
    caplog.clear()
    parts = {"train": (X, ZERO_TO_FOUR), "test": (X[:4], ZERO_TO_FOUR[:4])}
    with Recorder(small_net(), parts, "s"):
        pass
    assert "splits of different classes" in caplog.text
    assert "test has none of 4" in caplog.text


def test_samples_of_one_class_alone_are_told(caplog):
    np.savez("p.npz", inputs=X, labels=np.arange(300) == 7)
    load_probe("p.npz")
    assert not caplog.text
    load_probe("p.npz", 10)
    assert "none of the 10 samples is of 1 rare classes" in caplog.text
    assert "one class: I(T;Y) is 0 in every layer, as all 10 samples" in caplog.text


def test_splits_of_different_classes_are_told(caplog):
    np.savez("a.npz", inputs=X, labels=ZERO_TO_FOUR)
    np.savez("b.npz", inputs=X, labels=ZERO_TO_FOUR % 3)
    np.savez("c.npz", inputs=X, labels=np.roll(ZERO_TO_FOUR, 1))
    load_splits({"train": "a.npz", "test": "c.npz"})
    assert not caplog.text
    load_splits({"train": "a.npz", "test": "b.npz"})
    assert (
        "splits of different classes, whose I(T;Y) differ for that alone: test has none of 3, 4"
        in caplog.text
    )


def test_what_is_said_of_several_labels_of_a_sample_leads_to_classes(caplog):
    many = (np.random.default_rng(1).random((300, 3)) < 0.3).astype(int)
    np.savez("p.npz", inputs=X, labels=many)
    load_probe("p.npz")
    assert "labels of 3 columns are taken together, as real targets; for classes" in caplog.text
    assert "label-bins" not in caplog.text
    with pytest.raises(DataError, match="expected scalar targets for --label-bins, got 3") as error:
        load_probe("p.npz", label_bins=2)
    advice = "numpy.unique(labels, axis=0, return_inverse=True)[1]"
    assert advice in error.value.hint
    assert advice in caplog.text
    ids = eval(advice, {"numpy": np, "labels": many})
    for labels in (many[:, 0], ids):
        np.savez("q.npz", inputs=X, labels=labels)
        np.testing.assert_array_equal(load_probe("q.npz").labels, np.ravel(labels))


def test_few_samples_are_not_said_to_have_too_many_classes(caplog):
    warn_of_classes(np.arange(4), "p")
    assert not caplog.text
