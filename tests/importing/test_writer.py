import logging

import numpy as np
import pytest
import torch

import infoplane
from infoplane.errors import DataError, InputError, RunFileError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
T = np.tanh(X)


def written(path, steps, inputs=X, labels=Y, **options):
    with infoplane.RunWriter(path, inputs, labels, **options) as writer:
        for step, layers in steps.items():
            writer.add(step, layers)
    run = infoplane.Run(path)
    run.check()
    return run


def test_what_is_added_is_read_back(tmp_path):
    with infoplane.RunWriter(tmp_path / "tanh-s3", X, Y) as writer:
        writer.add(10, {"a": T, "b": T[:, :2]}, {"loss": 0.5}, epoch=1)
        writer.add(0, {"b": X[:, :2], "a": X})
        assert writer.steps == (0, 10)
    run = infoplane.Run(tmp_path / "tanh-s3")
    run.check()
    assert (run.steps, [slot.name for slot in run.layers]) == ((0, 10), ["a", "b"])
    assert (run.group, run.manifest["seed"]) == ("tanh", 3)
    np.testing.assert_array_equal(run.activations(10, "a"), T)
    np.testing.assert_array_equal(run.activations(0, "b"), X[:, :2])
    np.testing.assert_array_equal(run.probe.labels, Y)
    assert (run.step_info(10).metrics, run.step_info(10).epoch) == ({"loss": 0.5}, 1.0)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (T.astype(np.float16), "float16"),
        (T.astype(">f8"), "float64"),
        (np.asfortranarray(T), "float32"),
        (T[::-1][::-1], "float32"),
        (T > 0, "bool"),
        ((10 * T).astype(np.int16), "int16"),
        (T.tolist(), "float64"),
        (torch.tensor(T), "float32"),
        (torch.tensor(T, requires_grad=True), "float32"),
        (torch.tensor(T).T.contiguous().T, "float32"),
        (torch.tensor(T).to_sparse(), "float32"),
        (np.stack([T, T], axis=1).reshape(40, 2, 5, 1), "float32"),
    ],
)
def test_numbers_of_all_kinds_keep_their_values(tmp_path, values, dtype):
    run = written(tmp_path / "r", {0: {"a": values}})
    dense = values.detach().to_dense() if isinstance(values, torch.Tensor) else values
    expected = np.asarray(dense)
    assert run.layers[0].dtype == dtype
    np.testing.assert_array_equal(run.activations(0, "a"), expected.reshape(40, -1))


def test_bfloat16_is_kept_as_it_is(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    tensor = torch.tensor(T).bfloat16()
    run = written(tmp_path / "r", {0: {"t": tensor, "n": T.astype(ml_dtypes.bfloat16)}})
    assert [slot.encoding for slot in run.layers] == ["bfloat16", "bfloat16"]
    for name in ("t", "n"):
        np.testing.assert_array_equal(run.activations(0, name), tensor.float().numpy())


def test_complex_numbers_become_pairs(tmp_path):
    run = written(tmp_path / "r", {0: {"n": T + 1j * X, "t": torch.tensor(T + 1j * X)}})
    expected = np.stack([T, X], axis=-1).reshape(40, -1)
    for name in ("n", "t"):
        np.testing.assert_allclose(run.activations(0, name), expected)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({}, "layers: expected a dict"),
        ({"a": T[:30]}, "expected 40 samples"),
        ({"a": T[:, 0]}, r"expected an array \(n_samples, units, ...\), got shape \(40,\)"),
        ({"a": 3.0}, "got shape"),
        ({"a": T[:, :0]}, "expected units"),
        ({"a": np.array([[object()]] * 40)}, "got dtype object"),
        ({"a": np.array([["x"]] * 40)}, "got dtype <U1"),
        ({"a": [[1.0], [1.0, 2.0]]}, "expected an array"),
        ({"a": T.astype(np.longdouble)}, "at most 64 bits"),
        ({"a": np.ma.masked_less(T, 0)}, "without masked values"),
        ({"a": np.zeros((40, 1), "V2")}, "got dtype"),
        ({"": T}, "different names"),
        ({0: T, "0": T}, "different names"),
    ],
)
def test_array_that_is_no_layer_is_refused_and_nothing_written(tmp_path, layers, message):
    with (
        pytest.raises(InputError, match=message),
        infoplane.RunWriter(tmp_path / "r", X, Y) as writer,
    ):
        writer.add(0, layers)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"a": T}, "step 0 has 'b', step 5 has not"),
        ({"a": T, "b": T, "c": T}, "step 5 has 'c', step 0 has not"),
        ({"a": T, "b": T[:, :2]}, r"expected the shape and dtype of step 0, \(5,\) of float32"),
        ({"a": T, "b": T.astype(float)}, "got .* float64 at step 5"),
        ({"a": torch.tensor(T).bfloat16(), "b": T}, "got .* bfloat16"),
    ],
)
def test_steps_have_the_same_layers(tmp_path, second, message):
    with infoplane.RunWriter(tmp_path / "r", X, Y) as writer:
        writer.add(0, {"a": T, "b": T})
        with pytest.raises(InputError, match=message):
            writer.add(5, second)
    assert infoplane.Run(tmp_path / "r").steps == (0,)


@pytest.mark.parametrize("step", [-1, True, 1.5, "3", None])
def test_step_is_a_whole_number(tmp_path, step):
    with (
        infoplane.RunWriter(tmp_path / "r", X, Y) as writer,
        pytest.raises(InputError, match="step: expected"),
    ):
        writer.add(step, {"a": T})


def test_step_is_added_once(tmp_path):
    with infoplane.RunWriter(tmp_path / "r", X, Y) as writer:
        writer.add(0, {"a": T})
        with pytest.raises(InputError, match="step 0 is added twice"):
            writer.add(0, {"a": X})


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (X[:1], Y[:1], "at least 2 probe samples, got 1"),
        (X[:0], None, "at least 2 probe samples, got 0"),
        (X, Y[:30], "expected one label per probe sample"),
        (np.where(X > 2, np.nan, X), Y, "expected finite probe inputs, got NaN"),
        (np.array([object()] * 40), Y, "probe inputs of real numbers"),
        (None, Y[0], "labels"),
        (X, np.ma.masked_equal(Y, 0), "labels without masked values"),
        (X, [[1], [1, 2]], "labels: expected an array"),
        (X, np.full(40, -100), "found all 40 samples marked -100"),
    ],
)
def test_unfit_samples_are_refused(tmp_path, inputs, labels, message):
    with pytest.raises(InputError, match=message):
        infoplane.RunWriter(tmp_path / "r", inputs, labels)


def test_samples_without_a_label_are_left_out_of_all_arrays(tmp_path, caplog):
    labels = Y.copy()
    labels[[3, 8]] = -100
    with caplog.at_level(logging.WARNING):
        run = written(tmp_path / "r", {0: {"a": T}}, labels=labels)
    assert "2 of 40 samples have the label -100" in caplog.text
    kept = np.delete(np.arange(40), [3, 8])
    np.testing.assert_array_equal(run.activations(0, "a"), T[kept])
    np.testing.assert_array_equal(run.probe.labels, Y[kept])
    np.testing.assert_array_equal(run.probe.inputs, X[kept])
    np.testing.assert_array_equal(run.probe.ids, kept)


@pytest.mark.parametrize(("labels", "n"), [(np.where(Y, -100, -1), 40), (np.where(Y, 1, -1), 40)])
def test_labels_that_are_classes_are_kept(tmp_path, labels, n):
    assert written(tmp_path / "r", {0: {"a": T}}, labels=labels).n_samples == n


def test_without_samples_the_first_layer_tells_how_many(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        run = written(tmp_path / "r", {0: {"a": T}, 1: {"a": X}}, None, None)
    assert (run.n_samples, run.probe.known_inputs, run.probe.labels) == (40, None, None)
    assert "no labels: I(T;Y) will not be estimated" in caplog.text
    assert "no inputs: I(X;T) is taken for what a layer holds" in caplog.text
    with (
        pytest.raises(InputError, match="at least 2"),
        infoplane.RunWriter(tmp_path / "q") as writer,
    ):
        writer.add(0, {"a": T[:1]})


def test_nan_and_repeated_steps_are_told(tmp_path, caplog):
    spoiled = np.where(T > 0.9, np.nan, T)
    with caplog.at_level(logging.WARNING):
        written(tmp_path / "r", {0: {"a": T}, 1: {"a": spoiled}, 2: {"a": T}})
    assert "NaN or inf at step 1: a" in caplog.text
    assert "step 2 holds the same numbers as step 0" in caplog.text


def test_large_layers_are_reduced_or_refused(tmp_path):
    wide = np.repeat(T, 4000, axis=1)
    with pytest.raises(DataError, match="20,000 units"):
        written(tmp_path / "r", {0: {"a": wide}})
    run = written(tmp_path / "r", {0: {"a": wide, "b": T}}, reduce={"a": "sketch:64"})
    assert [(slot.shape, slot.reduction) for slot in run.layers] == [
        ((64,), "sketch:64"),
        ((5,), "none"),
    ]
    whole = written(tmp_path / "w", {0: {"a": wide}}, reduce={"*": "flatten"})
    assert whole.layers[0].n_units == 20000
    maps = np.stack([T, X], axis=1)[..., None]
    pooled = written(tmp_path / "g", {0: {"a": maps}}, reduce={"a": "gap"})
    np.testing.assert_allclose(pooled.activations(0, "a"), maps.mean(axis=(2, 3)), rtol=1e-5)
    with pytest.raises(InputError, match="'conv' matches none of the layers a"):
        written(tmp_path / "q", {0: {"a": T}}, reduce={"conv": "gap"})


def test_existing_run_is_kept_unless_replaced(tmp_path):
    written(tmp_path / "r", {0: {"a": T}})
    with pytest.raises(RunFileError, match="already holds a run"):
        infoplane.RunWriter(tmp_path / "r", X, Y)
    run = written(tmp_path / "r", {3: {"b": T}}, overwrite=True)
    assert run.steps == (3,)


def test_logits_are_named(tmp_path):
    run = written(tmp_path / "r", {0: {"a": T, "out": T}}, logits="out")
    assert [slot.roles for slot in run.layers] == [(), ("logits",)]
    with pytest.raises(InputError, match="logits: expected one of a"):
        written(tmp_path / "q", {0: {"a": T}}, logits="out")


def test_real_targets_strings_and_one_hot_labels(tmp_path):
    targets = written(tmp_path / "a", {0: {"a": T}}, labels=X[:, 0]).probe
    assert (targets.labels, targets.targets.shape) == (None, (40,))
    names = written(tmp_path / "b", {0: {"a": T}}, labels=np.where(Y, "yes", "no")).probe
    np.testing.assert_array_equal(names.labels, Y)
    one_hot = written(tmp_path / "c", {0: {"a": T}}, labels=torch.eye(2)[torch.tensor(Y)]).probe
    np.testing.assert_array_equal(one_hot.labels, Y)
