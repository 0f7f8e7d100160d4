"""Rows that are tokens: which they are, what they are called, and what intervals draw."""

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import infoplane
from infoplane.analysis.session import Analysis
from infoplane.errors import DataError, InputError
from infoplane.numerics.intervals import disjoint_folds, half_sampling_interval, random_halves
from infoplane.numerics.sequences import in_sequences, rows_by_sequence
from infoplane.recording.probes.named import load_probe
from infoplane.runs.run import Run
from infoplane.runs.token_rows import TokenRun

N, LENGTH, UNITS = 40, 6, 3


@pytest.fixture
def ids():
    return np.random.default_rng(0).integers(0, 7, (N, LENGTH))


def recorded(path, inputs, labels=None, layer=None, **more):
    """Return a run of one layer of tokens, and what else is given, at two steps."""
    given = inputs["input_ids"] if isinstance(inputs, dict) else inputs
    if layer is None:
        layer = np.eye(7, UNITS)[given] + 0.1 * np.random.default_rng(1).normal(size=(1, 1, UNITS))
    with infoplane.RunWriter(path, inputs, labels) as writer:
        for step in (0, 1):
            writer.add(step, {"h": (layer + step).astype(np.float32), **more})
    return Run(path)


def analyzed(run, estimator, **options):
    with ThreadPoolExecutor(1) as pool:
        return infoplane.analyze(
            run, estimator, rows="token", executor=pool, jobs=1, **{"steps": "last", **options}
        )


def padding():
    return (np.arange(LENGTH) < np.arange(N)[:, None] % 5 + 2).astype(np.int64)


@pytest.mark.parametrize("name", ["attention_mask", "decoder_attention_mask", "key_padding_mask"])
def test_rows_are_the_positions_that_are_no_padding(tmp_path, ids, name):
    mask = padding()
    given = 1 - mask if name == "key_padding_mask" else mask
    run = TokenRun.of(recorded(tmp_path / "r", {"input_ids": ids, name: given}))
    real = mask.astype(bool)
    assert run.probe.n_samples == real.sum()
    whole = Run(run.path).of_samples(1, Run(run.path).layer("h"))
    np.testing.assert_array_equal(run.activations(1, "h"), whole[real])
    np.testing.assert_array_equal(run.probe.sequences, np.nonzero(real)[0])
    assert run.layer("h").shape == (UNITS,)


def test_values_of_tokens_are_those_of_the_same_rows_as_samples(tmp_path, ids):
    labels = ids % 3
    tokens = recorded(tmp_path / "t", {"input_ids": ids}, labels)
    rows = tokens.activations(1, "h").reshape(N * LENGTH, UNITS)
    with infoplane.RunWriter(tmp_path / "s", None, labels.ravel()) as writer:
        writer.add(1, {"h": rows})
    with ThreadPoolExecutor(1) as pool:
        as_samples = infoplane.analyze(tmp_path / "s", "binning", executor=pool, jobs=1)
    for one, other in zip(analyzed(tokens, "binning")["rows"], as_samples["rows"], strict=True):
        assert (one["quantity"], one["value"]) == (other["quantity"], other["value"])


def test_tokens_without_a_label_are_left_out_and_said(tmp_path, ids, caplog):
    labels = ids % 3
    labels[:, 0] = -100
    run = recorded(tmp_path / "r", {"input_ids": ids, "attention_mask": padding()}, labels)
    kept = padding().astype(bool)
    kept[:, 0] = False
    with caplog.at_level(logging.WARNING):
        found = TokenRun.of(run).probe
    np.testing.assert_array_equal(found.labels, labels[kept])
    assert f"tokens without a label (-100) are left out: {N} of" in caplog.text
    assert "padding is left out" in caplog.text


def test_minus_one_is_a_class_of_tokens_and_warned_of(ids, tmp_path, caplog):
    labels = ids % 3
    labels[:, 0] = -1
    with caplog.at_level(logging.WARNING):
        recorded(tmp_path / "r", {"input_ids": ids}, labels)
    assert f"{N} of {labels.size} samples have the label -1" in caplog.text


def test_without_mask_all_positions_are_tokens_and_that_is_said(tmp_path, ids, caplog):
    run = recorded(tmp_path / "r", {"input_ids": ids}, np.arange(N) % 2)
    with caplog.at_level(logging.WARNING):
        probe = TokenRun.of(run).probe
    assert probe.n_samples == N * LENGTH
    assert "all positions are tokens" in caplog.text
    assert "each token has that of its own" in caplog.text
    np.testing.assert_array_equal(probe.labels, np.repeat(np.arange(N) % 2, LENGTH))


def test_a_layer_without_these_positions_is_left_out_and_said(tmp_path, ids, caplog):
    run = recorded(
        tmp_path / "r", {"input_ids": ids}, ids, pooled=np.ones((N, 4), np.float32),
        longer=np.ones((N, LENGTH + 1, 4), np.float32),
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        assert [slot.name for slot in TokenRun.of(run).layers] == ["h"]
    assert f"leaves out layers without {LENGTH} positions: pooled, longer" in caplog.text


@pytest.mark.parametrize(
    ("labels", "layer", "reason"),
    [
        (None, np.zeros((N, 4)), "no layer has positions"),
        (True, np.zeros((N, LENGTH + 2, 4)), f"no layer has the {LENGTH} positions"),
    ],
)
def test_runs_without_tokens_are_refused(tmp_path, ids, labels, layer, reason):
    run = recorded(tmp_path / "r", {"input_ids": ids}, ids if labels else None, layer)
    with pytest.raises(DataError, match=reason):
        Analysis(run, "binning", rows="token")


def test_masks_that_contradict_each_other_are_refused(tmp_path, ids):
    masks = {"attention_mask": padding(), "decoder_attention_mask": padding()[::-1]}
    run = recorded(tmp_path / "r", {"input_ids": ids, **masks})
    with pytest.raises(DataError, match="several masks"):
        Analysis(run, "binning", rows="token")


@pytest.mark.parametrize("name", ["mask", "token_mask"])
def test_labels_and_a_mask_of_tokens_are_read_from_files(tmp_path, ids, name):
    np.savez(tmp_path / "p.npz", inputs=ids, labels=ids % 3, **{name: padding()})
    probe = load_probe(str(tmp_path / "p.npz"), samples=10)
    assert probe.labels is None
    assert probe.targets is None
    np.testing.assert_array_equal(probe.token_labels, ids[probe.ids] % 3)
    np.testing.assert_array_equal(probe.token_mask, padding()[probe.ids] == 1)


@pytest.mark.parametrize("shape", [(N, LENGTH - 1), (N, LENGTH + 1)])
def test_a_mask_of_another_shape_is_refused(tmp_path, ids, shape):
    np.savez(tmp_path / "p.npz", inputs=ids, labels=ids % 3, mask=np.ones(shape))
    with pytest.raises(DataError, match="mask"):
        load_probe(str(tmp_path / "p.npz"))


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        (np.ones((N, LENGTH)), np.arange(N * LENGTH).reshape(N, LENGTH) % 5),  # no token ids
        (np.ones((N, LENGTH), int), np.ones((N, LENGTH)) / 3),  # no class ids
        (np.ones((N, LENGTH), int), np.arange(2 * N).reshape(N, 2)),  # another length
    ],
)
def test_other_labels_of_several_columns_stay_real_targets(inputs, labels):

    from infoplane.recording.probes.from_arrays import as_probe

    probe = as_probe(inputs, labels)
    assert probe.token_labels is None
    assert probe.targets is not None


def test_one_hot_rows_stay_classes_of_samples():
    from infoplane.recording.probes.from_arrays import as_probe

    probe = as_probe(np.ones((6, 3), int), np.eye(3, dtype=int)[[0, 1, 2, 0, 1, 2]])
    np.testing.assert_array_equal(probe.labels, [0, 1, 2, 0, 1, 2])


def test_labels_of_tokens_are_kept_in_packed_runs(tmp_path, ids):
    from infoplane.runs.pack import pack

    run = recorded(tmp_path / "r", {"input_ids": ids}, ids)
    pack(run, tmp_path / "r.h5")
    np.testing.assert_array_equal(Run(tmp_path / "r.h5").whole_probe.token_labels, ids)
    Run(tmp_path / "r.h5").check()
    assert run.probe.labels is None


def test_padding_may_hold_nan(tmp_path, ids):
    mask = padding()
    layer = np.where(mask[..., None] == 1, np.eye(7, UNITS)[ids], np.nan)
    run = recorded(tmp_path / "r", {"input_ids": ids, "attention_mask": mask}, ids % 2, layer)
    assert analyzed(run, "binning")["status"] == "complete"


def test_splits_are_analyzed_apart(tmp_path, ids):
    from infoplane.data import ProbeSet
    from infoplane.recording.probes.from_arrays import joined

    whole = ProbeSet(ids, token_labels=ids % 3, token_mask=padding())
    parts = joined({"a": whole.take(slice(0, 10)), "b": whole.take(slice(10, N))})
    np.testing.assert_array_equal(parts.token_labels, ids % 3)
    np.testing.assert_array_equal(parts.token_mask, padding() == 1)


def test_rows_are_settings_that_results_repeat(tmp_path, ids):
    run = recorded(tmp_path / "r", {"input_ids": ids}, ids % 3)
    first = analyzed(run, "binning")
    assert first["config"]["analyze"]["rows"] == "token"
    assert first["recordings"][0]["n_sequences"] == N
    again = Analysis(run, settings_from=first)
    assert all(isinstance(one, TokenRun) for one in again.cells)
    with pytest.raises(InputError, match="rows"):
        Analysis(run, "binning", rows="words")


def test_the_cache_tells_tokens_from_samples(tmp_path, ids):
    run = recorded(tmp_path / "r", {"input_ids": ids}, np.arange(N) % 2)
    with ThreadPoolExecutor(1) as pool:
        options = {"executor": pool, "jobs": 1, "cache": tmp_path / "cache", "steps": "last"}
        samples, tokens = (
            infoplane.analyze(run, "binning", rows=rows, **options) for rows in ("sample", "token")
        )
    of = [{row["quantity"]: row["value"] for row in one["rows"]} for one in (samples, tokens)]
    assert of[0]["ht"] <= np.log2(N)
    assert of[0] != of[1]


def test_a_token_may_learn_from_others_what_its_layer_before_had_not(tmp_path, ids):
    poor = np.zeros((N, LENGTH, 1)) + (ids[..., None] > 3)
    more = {"more": np.eye(7, dtype=np.float32)[ids]}
    run = recorded(tmp_path / "r", {"input_ids": ids}, ids % 3, poor, **more)
    rows = [row for row in analyzed(run, "exact")["rows"] if row["quantity"] == "ixt"]
    assert rows[1]["value"] > rows[0]["value"] + 0.5
    assert all("order" not in row["flags"] for row in rows)


# Intervals


def test_halves_and_folds_keep_sequences_whole():
    of = np.repeat(np.arange(10), [1, 2, 3, 4, 5, 5, 4, 3, 2, 1])
    with in_sequences(of) as drawn:
        parts = [
            *random_halves(len(of), 3, np.random.default_rng(0)),
            *(folds := disjoint_folds(len(of), 3, np.random.default_rng(0))),
        ]
    assert drawn.used
    assert not drawn.missed
    for rows in parts:
        inside = set(of[rows])
        assert len(rows) == np.isin(of, list(inside)).sum()
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(len(of)))


def test_other_rows_are_drawn_singly_and_that_is_known():
    with in_sequences(np.repeat(np.arange(10), 3)) as drawn:
        disjoint_folds(20, 2, np.random.default_rng(0))
    assert drawn.missed


def test_the_error_of_a_mean_is_that_of_the_means_of_sequences():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.standard_normal(400), 8)  # tokens of one sequence are the same
    of = np.repeat(np.arange(400), 8)
    with in_sequences(of):
        found = half_sampling_interval(
            lambda rows: float(values[rows].mean()), len(of), rng, repeats=400
        )
    assert found.standard_error == pytest.approx(1 / 20, rel=0.15)  # not 1 / sqrt(3200)
    assert sum(map(len, rows_by_sequence(of))) == len(of)


def test_the_probe_draws_sequences_and_others_are_flagged(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 2
    per_sequence = labels + rng.standard_normal(N)
    layer = np.broadcast_to(per_sequence[:, None, None], (N, LENGTH, 1))
    run = recorded(tmp_path / "t", {"input_ids": np.zeros((N, LENGTH), int)}, labels, layer)
    rows = {row["quantity"]: row for row in analyzed(run, "probe")["rows"]}
    assert rows["ity"]["diag"]["drawn"] == "sequences"
    assert "interval_of_tokens" in rows["probe"]["flags"]
    with infoplane.RunWriter(tmp_path / "s", None, labels) as writer:
        writer.add(1, {"h": per_sequence[:, None].astype(np.float32)})
    with ThreadPoolExecutor(1) as pool:
        once = infoplane.analyze(tmp_path / "s", "probe", executor=pool, jobs=1)["rows"]
    single = next(row for row in once if row["quantity"] == "ity")
    # Copies of a sample tell nothing new: the error is that of the samples, not sqrt(6) below it.
    assert rows["ity"]["diag"]["se"] == pytest.approx(single["diag"]["se"], rel=0.4)


def test_a_probe_of_too_few_sequences_has_no_value(tmp_path):
    layer = np.random.default_rng(0).standard_normal((4, 30, 2))
    ids = np.arange(120).reshape(4, 30) % 3
    run = recorded(tmp_path / "r", {"input_ids": ids}, ids, layer)
    rows = analyzed(run, "probe")["rows"]
    assert all(row["value"] is None for row in rows)
    assert "at least 10 sequences" in str(rows[0])
