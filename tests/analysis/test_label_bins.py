"""Classes of recorded targets, made in the analysis."""

import numpy as np
import pytest

import infoplane
from infoplane.errors import InputError
from infoplane.numerics.discrete.target_cells import joint_classes
from infoplane.target_classes import target_classes
from tests.conftest import infoplane_here, small_net

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5)).astype(np.float32)
Y = X[:, 0] + 0.5 * RNG.normal(size=300)


def recorded(path, labels, **options):
    with infoplane.Recorder(small_net(), (X, labels), path, **options) as recorder:
        recorder.snapshot(0)
    return path


def analyzed(runs, *estimators, **options):
    return infoplane.analyze(runs, list(estimators) or ["binning:bins=4"], jobs=1, **options)


def test_classes_are_those_of_the_targets_whatever_was_recorded(tmp_path):
    plain = recorded(tmp_path / "a", Y)
    binned = recorded(tmp_path / "b", Y, label_bins=4)
    assert infoplane.Run(binned).probe.labels.tolist() == target_classes(Y, 4).tolist()
    runs = [plain, binned]
    for bins in (3, 8):
        results = analyzed(runs, label_bins=bins)
        assert [r["n_classes"] for r in results["recordings"]] == [bins] * 2
        assert [r["label_bins"] for r in results["recordings"]] == [bins] * 2
        assert results["config"]["analyze"]["label_bins"] == bins
    of_eight = infoplane.Run(plain, label_bins=8).probe.labels
    np.testing.assert_array_equal(of_eight, target_classes(Y, 8))


def test_the_cache_tells_classes_and_targets_apart(tmp_path):
    path, cache = recorded(tmp_path / "a", Y), tmp_path / "cache"

    def values(estimator="binning:bins=4", **options):
        results = analyzed(path, estimator, cache=cache, **options)
        return [(r["quantity"], r["value"]) for r in results["rows"]], results["timing"]["cached"]

    four, cached = values(label_bins=4)
    assert not cached
    assert values(label_bins=4) == (four, len(infoplane.Run(path).layers))
    assert values(label_bins=5)[0] != four
    real = values("ksg:max_samples=60")[0]
    recorded(path, np.roll(Y, 1), overwrite=True)
    assert values("ksg:max_samples=60")[0] != real


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.arange(300) % 10, "found class labels of 10 classes"),
        (np.where(Y > 0, "a", "b"), "found class labels of 2 classes"),
        (None, "found no labels"),
        (np.c_[Y, Y**2], "expected scalar targets for --label-bins, got 2 columns"),
    ],
)
def test_what_has_no_classes_to_make_is_refused(labels, why, tmp_path):
    path = recorded(tmp_path / "a", labels)
    with pytest.raises(InputError, match=why):
        analyzed(path, label_bins=4)
    done = infoplane_here("analyze", str(path), "--label-bins", "4", "-o", str(tmp_path / "r"))
    assert done.code == 2
    assert why in done.err


def test_integers_of_too_many_values_may_be_numbers(tmp_path):
    path = recorded(tmp_path / "a", (1000 * Y).astype(int))
    assert analyzed(path, label_bins=4)["recordings"][0]["n_classes"] == 4


@pytest.mark.parametrize(
    ("targets", "classes", "told"),
    [
        (np.full(300, 2.5), 1, "makes 1 classes"),
        (np.where(np.arange(300) % 2, 0.5, 0.25), 2, "makes 2 classes"),
        (np.where(np.arange(300) % 5 > 1, 0.0, Y), 4, "180 of 300 samples have the target 0"),
    ],
)
def test_targets_that_are_hardly_meant_are_told_once(targets, classes, told, tmp_path, caplog):
    runs = [recorded(tmp_path / name, targets) for name in "ab"]
    caplog.clear()
    results = analyzed(runs, label_bins=4)
    assert [r["n_classes"] for r in results["recordings"]] == [classes] * 2
    assert caplog.text.count(told) == 1


def test_splits_have_the_same_classes(tmp_path):
    parts = {"train": (X, Y), "test": (X[:100], Y[:100] + 5.0)}
    with infoplane.Recorder(small_net(), parts, tmp_path / "a") as recorder:
        recorder.snapshot(0)
    run = infoplane.Run(tmp_path / "a", label_bins=4)
    train, test = (part.probe.labels for part in run.by_split())
    together = target_classes(np.r_[Y, Y[:100] + 5.0], 4)
    np.testing.assert_array_equal(np.r_[train, test], together)


def test_repeated_settings_may_not_be_contradicted(tmp_path):
    path = recorded(tmp_path / "a", Y)
    first = analyzed(path, label_bins=4)
    again = infoplane.analyze(path, settings_from=first, jobs=1)
    assert [r["value"] for r in again["rows"]] == [r["value"] for r in first["rows"]]
    with pytest.raises(InputError, match="label_bins: expected that of settings_from, 4, got 5"):
        infoplane.analyze(path, settings_from=first, label_bins=5, jobs=1)


def test_the_configuration_may_say_how_many_classes(tmp_path):
    path = recorded(tmp_path / "a", Y)
    (tmp_path / "infoplane.toml").write_text("[analyze]\nlabel_bins = 3\n")
    done = infoplane_here("analyze", str(path), "-e", "binning", "-j", "1", cwd=tmp_path)
    assert "H(Y) = 1.58 bits (3 classes of the real targets)" in " ".join(done.out.split())


def test_default_estimators_of_real_targets_have_one_more(tmp_path):
    real, classes = recorded(tmp_path / "a", Y), recorded(tmp_path / "b", Y > 0)
    names = [
        [one.name for one in infoplane.Analysis(path, jobs=1, **options).estimators]
        for path, options in ((real, {}), (classes, {}), (real, {"label_bins": 4}))
    ]
    default = ["binning", "compressed", "dse", "probe"]
    assert names == [[*default, "ksg"], default, default]


@pytest.mark.parametrize(
    ("targets", "sizes"),
    [
        (Y, [30] * 10),
        (np.c_[Y, 1e30 * X[:, 1]], 8),
        (np.c_[Y, np.ones(300)], 8),
        (np.ones((300, 2)), 1),
        (X, 8),
        (np.c_[Y, np.maximum(0, X[:, 1])], 8),
    ],
)
def test_classes_of_several_columns(targets, sizes):
    counts = np.bincount(joint_classes(targets, 10))
    if isinstance(sizes, list):
        assert counts.tolist() == sizes
    else:
        assert len(counts) == sizes
        assert counts.min() >= 300 / sizes / 3
