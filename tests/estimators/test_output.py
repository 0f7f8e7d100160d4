"""The estimator of outputs: which layer, which values, which labels; and what a user gets."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

import infoplane
from infoplane.data import ProbeSet
from infoplane.errors import NotFoundError
from infoplane.estimators.registry import parse_estimator
from infoplane.runs.writer import FolderWriter

N, K = 240, 4
LABELS = np.arange(N) % K
LOGITS = np.random.default_rng(0).normal(size=(N, K)) + 2 * np.eye(K)[LABELS]
NAMES = [
    "output_entropy", "ixy", "ixy_given_y", "ity_bound", "ece", "ece_debiased",
]  # fmt: skip


def write(path, *steps, labels=LABELS, kind="Linear", details=None, before=(), **probe):
    """Write a run of one layer ``fc`` at steps 0, 1, ..., and of others before it."""
    n = len(steps[0])
    details = {"roles": ["logits"]} if details is None else details
    samples = ProbeSet(np.arange(2.0 * n).reshape(n, 2), labels, **probe)
    writer = FolderWriter(path, samples, {"run": path.name})
    for step, values in enumerate(steps):
        with writer.step(step) as out:
            for name in before:
                out.write(name, name, "ReLU", 0, np.abs(np.asarray(values)), "float32")
            out.write("fc", "fc", kind, 0, np.asarray(values), "float32")
            if "reduction" in details:
                out.layers["fc"].reduction = details["reduction"]
            out.layers["fc"].details = {k: v for k, v in details.items() if k != "reduction"}
    writer.close()
    return path


def measured(path, spec="output", **options):
    rows = infoplane.analyze(path, spec, jobs=1, **options)["rows"]
    return {(row["step"], row["layer"], row["quantity"]): row for row in rows}


def values(path, spec="output", step=0):
    return {key[2]: row["value"] for key, row in measured(path, spec).items() if key[0] == step}


def reasons(path, spec="output"):
    rows = measured(path, spec).values()
    return {row["quantity"]: row["diag"]["reason"] for row in rows if row["value"] is None}


def test_it_says_what_the_function_says(tmp_path):
    found = values(write(tmp_path / "r", LOGITS))
    same = infoplane.output_information(softmax(LOGITS, axis=1), LABELS)
    assert list(found) == sorted(NAMES, key=list(found).index)
    expected = {
        "output_entropy": same.entropy_given_x,
        "ixy": same.ixy,
        "ixy_given_y": same.ixy_given_y,
        "ity_bound": same.bound_ity,
        "ece": same.ece,
        "ece_debiased": same.ece_debiased,
    }
    assert found == pytest.approx(expected)


def test_rows_have_intervals_bounds_and_the_bias(tmp_path):
    found = measured(write(tmp_path / "r", LOGITS))
    for (_, _, name), row in found.items():
        assert row["ci_low"] < row["value"] < row["ci_high"], name
    about = {name: found[0, "fc", name] for name in NAMES}
    assert (about["ixy"]["bound_high"], about["ixy"]["bound_name"]) == (2.0, "log2_k")
    assert about["ity_bound"]["bound_name"] == "h_y"
    assert about["ity_bound"]["bound_high"] == pytest.approx(2.0)
    told = about["ixy"]["diag"]
    assert told["plug_in"] - told["bias"] == pytest.approx(about["ixy"]["value"])
    assert told["bias"] < 0
    assert told["layer"] == "fc by its role"


SAME = {
    "probabilities": (softmax(LOGITS, axis=1), "Softmax", "probabilities"),
    "of single precision": (softmax(LOGITS, axis=1).astype("f4"), "Softmax", "probabilities"),
    "of half precision": (softmax(LOGITS, axis=1).astype("f2"), "Softmax", "probabilities"),
    "log-probabilities": (log_softmax(LOGITS, axis=1), "LogSoftmax", "log-probabilities"),
    "of a class of one's own": (softmax(LOGITS, axis=1), "Net", "probabilities"),
    "shifted logits": (LOGITS - 50.0, "Linear", "logits"),
    "logits between 0 and 1": (None, "Linear", "logits"),
}


@pytest.mark.parametrize(("given", "kind", "told"), SAME.values(), ids=SAME)
def test_logits_and_probabilities_are_told_apart_by_their_values(given, kind, told, tmp_path):
    logits = LOGITS
    if given is None:
        given = logits = (LOGITS - LOGITS.min()) / np.ptp(LOGITS)
    found = measured(write(tmp_path / "r", given, kind=kind))
    truth = infoplane.output_information(softmax(logits, axis=1), LABELS)
    assert found[0, "fc", "output_entropy"]["diag"]["values"] == told
    assert found[0, "fc", "ixy"]["value"] == pytest.approx(truth.ixy, abs=2e-3)
    assert found[0, "fc", "ity_bound"]["value"] == pytest.approx(truth.bound_ity, abs=2e-3)


UNTOLD = {
    "several yes or no": (1 / (1 + np.exp(-LOGITS)), "Sigmoid", "several answers yes or no"),
    "of an unknown class": (1 / (1 + np.exp(-LOGITS)), "Net", "several answers yes or no"),
    "one unit of an unknown class": (1 / (1 + np.exp(-LOGITS[:, :1])), "Net", "cannot be told"),
    "rows that sum to 1, but negative": (
        LOGITS - LOGITS.mean(axis=1, keepdims=True) + 1 / K,
        "Linear",
        "rows that sum to 1",
    ),
}


@pytest.mark.parametrize(("given", "kind", "why"), UNTOLD.values(), ids=UNTOLD)
def test_what_cannot_be_told_is_refused(given, kind, why, tmp_path):
    found = reasons(write(tmp_path / "r", given, kind=kind))
    assert len(found) >= len(NAMES)
    assert all(why in reason for reason in found.values())


@pytest.mark.parametrize(("kind", "of"), [("Linear", "logit"), ("Sigmoid", "probability")])
def test_one_unit_is_of_the_second_of_two_classes(kind, of, tmp_path):
    labels, z = np.arange(N) % 2, LOGITS[:, :1] + 2 * (np.arange(N) % 2)[:, None]
    given = z if of == "logit" else 1 / (1 + np.exp(-z))
    found = values(write(tmp_path / "r", given, kind=kind, labels=labels))
    p = 1 / (1 + np.exp(-z[:, 0]))
    same = infoplane.output_information(np.stack([1 - p, p], axis=1), labels)
    assert found["ity_bound"] == pytest.approx(same.bound_ity)
    assert found["ixy"] == pytest.approx(same.ixy)


# Which layer


def test_other_layers_get_no_rows(tmp_path):
    found = measured(write(tmp_path / "r", LOGITS, before=("act", "more")))
    assert {layer for _, layer, _ in found} == {"fc"}


def test_a_layer_may_be_named(tmp_path):
    path = write(tmp_path / "r", LOGITS, before=("act",), details={})
    found = measured(path, "output:layer=act")
    assert {layer for _, layer, _ in found} == {"act"}
    assert found[0, "act", "ixy"]["diag"]["layer"] == "act by its name"


def test_without_a_role_the_last_linear_layer_is_taken_and_told(tmp_path):
    path = write(tmp_path / "r", LOGITS, before=("act",), details={})
    found = measured(path)[0, "fc", "ixy"]
    assert found["diag"]["layer"] == "fc as the last layer, which is linear"
    assert "role_unknown" in found["flags"]


@pytest.mark.parametrize(
    ("options", "spec", "message"),
    [
        ({"kind": "ReLU"}, "output", "the last layer, 'fc', is of class ReLU"),
        ({"labels": np.arange(N) % 9}, "output", "'fc', has 4 outputs for 9 classes"),
        ({}, "output:layer=gone", "no chosen layer is called 'gone'"),
    ],
)
def test_without_logits_the_reason_is_told(options, spec, message, tmp_path):
    path = write(tmp_path / "r", LOGITS, before=("act",), details={}, **options)
    with pytest.raises(NotFoundError, match=message) as found:
        measured(path, spec)
    assert "act fc" in found.value.hint


def test_a_layer_of_logits_that_is_not_chosen_is_named(tmp_path):
    path = write(tmp_path / "r", LOGITS, before=("act",))
    with pytest.raises(NotFoundError, match="the layer of the logits, 'fc', is not chosen"):
        measured(path, layers="act")


@pytest.mark.parametrize("reduction", ["sketch:16", "mean", "gap"])
def test_reduced_logits_are_refused(reduction, tmp_path):
    path = write(tmp_path / "r", LOGITS, details={"roles": ["logits"], "reduction": reduction})
    assert all(f"reduced by {reduction}" in reason for reason in reasons(path).values())


# Labels


def test_labels_beyond_the_outputs_are_refused(tmp_path):
    labels = np.where(np.arange(N) < 3, 7, LABELS)
    found = reasons(write(tmp_path / "r", LOGITS, labels=labels))
    assert set(found) == set(NAMES[2:])
    assert "labels from 0 to 3, one for each output, got 7 (3 of 240" in found["ity_bound"]


def test_ignored_labels_are_passed_over(tmp_path):
    labels = np.where(np.arange(N) < 100, -100, LABELS)
    found = measured(write(tmp_path / "r", LOGITS, labels=labels))
    part = infoplane.output_information(softmax(LOGITS[100:], axis=1), LABELS[100:])
    assert found[0, "fc", "ity_bound"]["value"] == pytest.approx(part.bound_ity)
    assert found[0, "fc", "ity_bound"]["diag"]["ignored"] == 100
    assert "ignored" not in found[0, "fc", "ixy"]["diag"]


def test_real_targets_are_refused(tmp_path):
    path = write(tmp_path / "r", LOGITS, labels=None, targets=np.linspace(0, 1, N))
    assert all("got real targets" in reason for reason in reasons(path).values())


def test_without_labels_the_information_is_left(tmp_path):
    assert list(values(write(tmp_path / "r", LOGITS, labels=None))) == ["ixy", "output_entropy"]


def test_labels_of_something_else_are_flagged(tmp_path):
    wide = np.concatenate([LOGITS, np.full((N, 1), 9.0)], axis=1)  # predicts what no label is
    found = measured(write(tmp_path / "r", wide))
    assert "other_labels" in found[0, "fc", "ity_bound"]["flags"]
    assert found[0, "fc", "ity_bound"]["value"] < 0
    assert "negative" in found[0, "fc", "ity_bound"]["flags"]
    assert "other_labels" not in found[0, "fc", "ixy"]["flags"]


def test_labels_in_another_order_are_flagged(tmp_path):
    sure = 6 * np.eye(K)[LABELS]
    turned = measured(write(tmp_path / "a", sure, labels=(LABELS + 1) % K))
    assert "other_labels" in turned[0, "fc", "ity_bound"]["flags"]
    assert turned[0, "fc", "ity_bound"]["diag"]["matched"] == 1.0
    for name, logits in (("b", sure), ("c", sure * [0, 0, 0, 1]), ("d", LOGITS)):
        right = measured(write(tmp_path / name, logits))
        assert "other_labels" not in right[0, "fc", "ity_bound"]["flags"]


def test_nan_fails_the_cell_alone(tmp_path):
    spoiled = LOGITS.copy()
    spoiled[3, 1] = np.nan
    found = measured(write(tmp_path / "r", LOGITS, spoiled, LOGITS))
    assert found[1, "fc", "ixy"]["value"] is None
    assert "nonfinite" in found[1, "fc", "ixy"]["flags"]
    assert found[2, "fc", "ixy"]["value"] == pytest.approx(found[0, "fc", "ixy"]["value"])
    assert (2, "fc", "output_divergence") not in found  # nothing to be compared with


# Steps


def test_the_step_before_is_the_recorded_one(tmp_path):
    path = write(tmp_path / "r", LOGITS, LOGITS, LOGITS[:, ::-1])
    found = measured(path)
    assert (0, "fc", "output_divergence") not in found
    assert found[1, "fc", "output_divergence"]["value"] == pytest.approx(0.0, abs=1e-12)
    last = found[2, "fc", "output_divergence"]
    p, q = softmax(LOGITS, axis=1), softmax(LOGITS[:, ::-1], axis=1)

    def h(p):
        return -(p * np.log2(p)).sum(axis=1)

    assert last["value"] == pytest.approx(np.mean(h((p + q) / 2) - (h(p) + h(q)) / 2))
    assert last["diag"]["from_step"] == 1
    alone = measured(path, steps=2)  # step 1 is not analyzed, but recorded
    assert alone[2, "fc", "output_divergence"]["value"] == last["value"]


def test_the_cache_knows_the_step_before(tmp_path):
    cache = tmp_path / "cache"
    one = write(tmp_path / "a" / "r", LOGITS, LOGITS)
    other = write(tmp_path / "b" / "r", LOGITS[:, ::-1], LOGITS)
    first = measured(one, cache=cache)[1, "fc", "output_divergence"]
    second = measured(other, cache=cache)[1, "fc", "output_divergence"]
    assert first["value"] == pytest.approx(0.0, abs=1e-12)
    assert second["value"] > 0.01
    assert not second["cached"]
    assert measured(other, cache=cache)[1, "fc", "output_divergence"]["cached"]


# Positions, as of language models


def tokens(n=30, positions=6, outputs=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, positions, outputs)) * 2


def test_tokens_count_one_by_one_and_meet_no_labels(tmp_path):
    logits = tokens()
    found = measured(write(tmp_path / "r", logits, labels=np.arange(30) % 2))
    p = softmax(logits, axis=-1).reshape(-1, 5)
    same = infoplane.output_information(p)
    assert [key[2] for key in found] == ["ixy", "output_entropy"]
    assert found[0, "fc", "output_entropy"]["value"] == pytest.approx(same.entropy_given_x)
    told = found[0, "fc", "ixy"]["diag"]
    assert told["plug_in"] == pytest.approx(same.ixy + same.ixy_bias)
    assert told["positions"] == 180


MASKS = {
    "of tokens": ("attention_mask", lambda real: real.astype(int)),
    "of padding": ("!padding", lambda real: ~real),
    "added": ("bias", lambda real: np.where(real, 0.0, -1e9)),
    "of queries": ("mask4", lambda real: np.repeat(real[:, None, None], 6, axis=2)),
}


@pytest.mark.parametrize(("name", "made"), MASKS.values(), ids=MASKS)
def test_padding_does_not_count(name, made, tmp_path):
    logits, real = tokens(), np.arange(6) < np.arange(30)[:, None] % 6 + 1
    arguments = {"ids": np.ones((30, 6)), name.removeprefix("!"): made(real)}
    details = {"roles": ["logits"], "mask": name}
    path = write(tmp_path / "r", logits, labels=None, details=details, arguments=arguments)
    expected = infoplane.output_information(softmax(logits, axis=-1)[real]).entropy_given_x
    assert values(path)["output_entropy"] == pytest.approx(expected)


def test_of_convolutions_the_channels_are_the_outputs(tmp_path):
    logits = np.random.default_rng(0).normal(size=(20, 3, 4, 4))
    found = values(write(tmp_path / "r", logits, labels=None, kind="Conv2d"))
    p = softmax(logits, axis=1).transpose(0, 2, 3, 1).reshape(-1, 3)
    same = infoplane.output_information(p).entropy_given_x
    assert found["output_entropy"] == pytest.approx(same)


def test_axes_without_a_meaning_are_refused(tmp_path):
    path = write(tmp_path / "r", np.zeros((20, 2, 3, 4)), labels=None)
    assert all("n_positions, n_outputs" in reason for reason in reasons(path).values())


# Samples


def test_subsamples_keep_the_shares_of_classes(tmp_path):
    found = measured(write(tmp_path / "r", LOGITS), "output:max_samples=100")
    row = found[0, "fc", "ity_bound"]
    assert row["n"] == 100
    assert "subsampled" in row["flags"]
    assert row["bound_high"] == pytest.approx(2.0)


def test_information_at_log2_of_the_samples_is_flagged(tmp_path):
    sharp = 40 * np.eye(64)[np.arange(32)]
    found = measured(write(tmp_path / "r", sharp, labels=None))
    assert "saturated" in found[0, "fc", "ixy"]["flags"]
    assert found[0, "fc", "ixy"]["bound_name"] == "log2_n"
    assert "biased" in found[0, "fc", "ixy"]["flags"]


def test_splits_are_measured_apart(tmp_path):
    path = write(tmp_path / "r", LOGITS, splits={"train": 140, "test": 100})
    rows = infoplane.analyze(path, "output", jobs=1)["rows"]
    bound = {row["run"]: row["value"] for row in rows if row["quantity"] == "ity_bound"}
    for name, part in (("r[train]", slice(140)), ("r[test]", slice(140, None))):
        same = infoplane.output_information(softmax(LOGITS[part], axis=1), LABELS[part])
        assert bound[name] == pytest.approx(same.bound_ity)


@pytest.mark.parametrize("spec", ["output:bins=0", "output:max_samples=1", "output:layers=fc"])
def test_unfit_parameters(spec):
    with pytest.raises(infoplane.errors.InputError):
        parse_estimator(spec)
