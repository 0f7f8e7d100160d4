"""Weights that are recorded with every step: whole, or their singular values and norms."""

import copy
import logging

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from infoplane.analysis.session import analyze
from infoplane.errors import DataError, InputError, NotFoundError
from infoplane.recording.recorder import Recorder
from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from infoplane.runs.verify import verify
from tests.conftest import small_net

STEPS = (0, 1, 5)
SPECTRUM = "singular-values"


def moved(model, step):
    """Return a copy of a model whose weights have moved for so many steps."""
    if not step:
        return model
    model = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for value in model.parameters():
            if value.is_floating_point() and value.layout is torch.strided:
                noise = torch.randn(value.shape, generator=generator).to(value.dtype)
                value += 0.1 * step * noise
    return model


def record(path, probe, model=None, steps=STEPS, weights="summary", **options):
    torch.manual_seed(0)
    model = model or small_net()
    with Recorder(model, probe, path, name="r", weights=weights, **options) as recorder:
        for step in steps:
            recorder.use(moved(model, step))
            recorder.snapshot(step)
    return Run(path)


def numbers(model, step, name):
    return moved(model, step).get_parameter(name).detach().double().numpy()


def test_summary_holds_singular_values_norms_and_distances(tmp_path, probe):
    torch.manual_seed(0)
    model = small_net()
    run = record(tmp_path / "r", probe, model)
    assert [slot.name for slot in run.weights] == [name for name, _ in model.named_parameters()]
    for slot in run.weights:
        first = numbers(model, 0, slot.name)
        for step in STEPS:
            now, found = numbers(model, step, slot.name), run.recorded_weight(step, slot.name)
            assert found.norm == pytest.approx(np.linalg.norm(now), rel=1e-6)
            assert found.start.distance == pytest.approx(np.linalg.norm(now - first), rel=1e-6)
            assert found.start.norm == pytest.approx(np.linalg.norm(first), rel=1e-6)
            assert found.shape == now.shape
            if found.form == "singular-values":
                expected = np.linalg.svd(now, compute_uv=False)
                np.testing.assert_allclose(found.values, expected, rtol=1e-6)
    forms = {slot.name: run.recorded_weight(0, slot.name).form for slot in run.weights}
    assert forms == {
        "fc1.weight": "singular-values", "fc1.bias": "norm", "fc2.weight": "singular-values",
        "fc2.bias": "norm", "out.weight": "whole", "out.bias": "whole",
    }  # fmt: skip
    assert [slot.name for slot in run.weights if "head" in slot.roles] == ["out.weight", "out.bias"]
    with pytest.raises(NotFoundError, match="only the singular values is recorded, not the weight"):
        run.weight(0, "fc1.weight")


def test_the_activations_are_those_of_a_recording_without_weights(tmp_path, probe):
    with_weights = record(tmp_path / "w", probe, weights=["summary", "fc1.*"])
    without = record(tmp_path / "r", probe, weights=None)
    assert without.weights == ()
    for step in STEPS:
        for layer in without.layers:
            one = with_weights.activations(step, layer.name, verify=True)
            np.testing.assert_array_equal(one, without.activations(step, layer.name))
    assert not [name for name in without.datasets(0) if name.startswith("weights")]


@pytest.mark.parametrize(
    ("weights", "kept"),
    [
        (True, {"fc1.weight": SPECTRUM, "fc1.bias": "norm", "fc2.weight": SPECTRUM,
                "fc2.bias": "norm"}),
        ("fc1.*", {"fc1.weight": "none", "fc1.bias": "none"}),
        (["fc?.weight"], {"fc1.weight": "none", "fc2.weight": "none"}),
        (["summary", "fc2.weight"], {"fc1.weight": SPECTRUM, "fc1.bias": "norm",
                                     "fc2.weight": "none", "fc2.bias": "norm"}),
        (["summary", "!*.bias"], {"fc1.weight": SPECTRUM, "fc2.weight": SPECTRUM}),
        ("!fc2.*", {"fc1.weight": SPECTRUM, "fc1.bias": "norm"}),
    ],
)  # fmt: skip
def test_patterns_choose_weights(tmp_path, probe, weights, kept):
    run = record(tmp_path / "r", probe, weights=weights)
    found = {slot.name: slot.reduction for slot in run.weights if not slot.name.startswith("out")}
    assert found == kept


@pytest.mark.parametrize(
    ("weights", "words"),
    [("fc9.*", "no weight of the model matches 'fc9"), ("!fc9", "no weight of the model"),
     (["!**"], "no weight is left to record")],
)  # fmt: skip
def test_patterns_that_choose_nothing_are_refused(tmp_path, probe, weights, words):
    with pytest.raises(NotFoundError, match=words) as caught:
        record(tmp_path / "r", probe, weights=weights)
    if "9" in words:
        assert "--weights-key" in caught.value.hint


@pytest.mark.parametrize("weights", [3, [4], "", ["!"], {"a": 1}])
def test_unfit_choices_are_refused(tmp_path, probe, weights):
    if weights == "":
        weights = [""]
    with pytest.raises(InputError, match="weights: expected 'summary', a glob"):
        record(tmp_path / "r", probe, weights=weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_whole_weights_keep_their_dtype(tmp_path, probe, dtype):
    torch.manual_seed(0)
    model = small_net().to(dtype)
    run = record(tmp_path / "r", probe, model, weights=["fc1.*", "summary"])
    word = str(dtype).removeprefix("torch.")
    slot = run.slot("fc1.weight", "weight")
    assert (slot.encoding or slot.dtype) == word
    for step in STEPS:
        expected = numbers(model, step, "fc1.weight")
        np.testing.assert_array_equal(run.weight(step, "fc1.weight", verify=True), expected)
    summed_up = run.recorded_weight(1, "fc2.weight")
    assert summed_up.step == torch.finfo(dtype).eps
    assert run.recorded_weight(1, "fc1.weight").step == torch.finfo(dtype).eps


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(5, 5), nn.Linear(5, 5)
        self.last.weight = self.first.weight

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


@pytest.mark.parametrize("weights", ["summary", "last.weight", "first.weight"])
def test_tied_weights_are_recorded_once(tmp_path, probe, weights):
    run = record(tmp_path / "r", probe, Tied(), weights=weights)
    (slot,) = [slot for slot in run.weights if len(run.recorded_weight(0, slot.name).shape) == 2]
    assert (slot.name, slot.tied) == ("first.weight", ("last.weight",))


class Strange(nn.Module):
    """Parameters of kinds that are no plain floats."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.packed = nn.Parameter(torch.ones(4, dtype=torch.uint8), requires_grad=False)
        self.waves = nn.Parameter(torch.ones(4, dtype=torch.complex64))
        self.none = nn.Parameter(torch.ones(0, 4))
        self.one = nn.Parameter(torch.tensor(2.0))
        self.sparse = nn.Parameter(torch.eye(4).to_sparse())

    def forward(self, x):
        return self.fc(x)


def test_what_cannot_be_recorded_is_said(tmp_path, probe, caplog):
    run = record(tmp_path / "r", probe, Strange(), steps=(0,))
    assert [slot.name for slot in run.weights] == ["one", "sparse", "fc.weight", "fc.bias"]
    assert run.recorded_weight(0, "one").norm == 2.0
    np.testing.assert_allclose(run.recorded_weight(0, "sparse").values, np.ones(4))
    (told,) = [r.getMessage() for r in caplog.records if "not recorded" in r.getMessage()]
    assert "packed (uint8: packed numbers" in told
    assert "waves (complex)" in told
    assert "none (without numbers)" in told
    with pytest.raises(NotFoundError, match="what matches is not recorded: complex"):
        record(tmp_path / "s", probe, Strange(), weights="waves")


@pytest.mark.filterwarnings("ignore:torch:UserWarning")
@pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning")
def test_quantised_weights_are_what_they_stand_for(tmp_path, probe):
    torch.manual_seed(0)
    model = small_net().eval()
    try:
        quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    except RuntimeError as error:  # no engine on this machine
        pytest.skip(str(error))
    with Recorder(quantised, probe, tmp_path / "r", weights=["fc1.*"]) as recorder:
        recorder.snapshot(0)
    expected = quantised.fc1.weight().dequantize().numpy()
    np.testing.assert_array_equal(Run(tmp_path / "r").weight(0, "fc1.weight"), expected)
    with Recorder(quantised, probe, tmp_path / "s", weights="summary") as recorder:
        recorder.snapshot(0)
    values = Run(tmp_path / "s").recorded_weight(0, "fc1.weight").values
    np.testing.assert_allclose(values, np.linalg.svd(expected, compute_uv=False), rtol=1e-6)
    rows = analyze(tmp_path / "s", "weights")["rows"]
    assert any(row["quantity"] == "condition_number" and row["value"] for row in rows)


def test_a_weight_that_is_computed_counts_not_what_it_is_made_of(tmp_path, probe):
    torch.manual_seed(0)
    model = small_net()
    weight_norm(model.fc1)
    with Recorder(model, probe, tmp_path / "r", weights=["**"]) as recorder:
        recorder.snapshot(0)
    run = Run(tmp_path / "r")
    names = [slot.name for slot in run.weights]
    assert "fc1.weight" in names
    assert not [name for name in names if "parametrizations" in name]
    np.testing.assert_array_equal(run.weight(0, "fc1.weight"), model.fc1.weight.detach().numpy())


def test_nan_weights_are_stored_and_told(tmp_path, probe, caplog):
    torch.manual_seed(0)
    model = small_net()
    with Recorder(model, probe, tmp_path / "r", weights=["summary", "fc2.*"]) as recorder:
        recorder.snapshot(0)
        with torch.no_grad():
            model.fc1.weight[0, 0] = float("nan")
            model.fc2.weight[0, 0] = float("inf")
        recorder.snapshot(1)
    run = Run(tmp_path / "r")
    info = run.step_info(1)
    assert info.slot("fc1.weight", "weight").nonfinite == 4  # all singular values
    assert info.slot("fc2.weight", "weight").nonfinite == 1
    assert run.recorded_weight(1, "fc1.weight").start.distance is None
    assert "NaN or inf in the weights at step 1: fc1.weight, fc2.weight" in caplog.text
    assert verify(run) == []


def test_a_start_that_is_not_finite_gives_no_distance(tmp_path, probe):
    torch.manual_seed(0)
    model = small_net()
    with torch.no_grad():
        model.fc1.weight[0, 0] = float("nan")
    with Recorder(model, probe, tmp_path / "r", weights="summary") as recorder:
        recorder.snapshot(0)
        with torch.no_grad():
            model.fc1.weight[0, 0] = 1.0
        recorder.snapshot(1)
    start = Run(tmp_path / "r").recorded_weight(1, "fc1.weight").start
    assert start.distance is None
    assert "NaN or inf at step 0" in start.reason


class Growing(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner, self.outer = nn.Linear(5, width), nn.Linear(width, 2)

    def forward(self, x):
        return self.outer(self.inner(x))


@pytest.mark.parametrize("weights", ["summary", "inner.*"])
def test_weights_whose_shape_changes_are_refused(tmp_path, probe, weights):
    options = {"weights": weights, "layers": ["outer"]}
    with Recorder(Growing(3), probe, tmp_path / "r", **options) as recorder:
        recorder.snapshot(0)
        recorder.use(Growing(4))
        with pytest.raises(DataError, match=r"weight 'inner\.weight': shape \(4, 5\) .* at step 1"):
            recorder.snapshot(1)
    assert Run(tmp_path / "r").steps == (0,)


def test_a_head_that_is_too_large_is_said(tmp_path, probe, caplog, monkeypatch):
    monkeypatch.setattr("infoplane.recording.weights.LARGEST_HEAD", 5)
    run = record(tmp_path / "r", probe)
    assert run.slot("out.weight", "weight").summary is not None
    assert "the head has" in caplog.text


def test_weights_too_large_for_singular_values_keep_their_norm(
    tmp_path, probe, caplog, monkeypatch
):
    monkeypatch.setattr("infoplane.recording.weights.LARGEST_SIDE", 3)
    run = record(tmp_path / "r", probe)
    assert run.recorded_weight(0, "fc1.weight").form == "norm"
    assert "no singular values of a weight of" in caplog.text


def test_packed_and_recorded_again_the_weights_are_the_same_bytes(tmp_path, probe):
    choice = ["summary", "fc1.*"]
    one, other = (record(tmp_path / name, probe, weights=choice) for name in "ab")
    for step in STEPS:
        assert one.step_file(step).read_bytes() == other.step_file(step).read_bytes()
    pack(one, tmp_path / "r.h5")
    packed = Run(tmp_path / "r.h5")
    assert verify(packed) == []
    assert packed.content_hash() == one.content_hash()
    again = packed.recorded_weight(5, "fc2.weight")
    assert again.start == one.recorded_weight(5, "fc2.weight").start
    np.testing.assert_array_equal(packed.weight(5, "fc1.weight"), one.weight(5, "fc1.weight"))


def test_a_damaged_summary_is_found(tmp_path, probe):
    run = record(tmp_path / "r", probe)
    path, values = run.step_file(1), run.recorded_weight(1, "fc1.weight").values
    data = bytearray(path.read_bytes())
    data[data.index(values.tobytes())] ^= 1
    path.write_bytes(data)
    assert [(found.step, found.layer) for found in verify(run)] == [(1, "fc1.weight")]


def test_resumed_from_its_first_step_a_recording_is_the_same(tmp_path, probe):
    whole = record(tmp_path / "whole", probe)
    record(tmp_path / "r", probe, steps=(0, 1))
    resumed = record(tmp_path / "r", probe, resume=True)  # passes over the first two steps
    for step in STEPS:
        assert whole.step_file(step).read_bytes() == resumed.step_file(step).read_bytes()


def test_without_its_first_weights_a_resumed_recording_has_no_distances(tmp_path, probe):
    record(tmp_path / "r", probe, steps=(0, 1))
    run = record(tmp_path / "r", probe, steps=(5,), resume=True)
    assert run.steps == STEPS
    start = run.recorded_weight(5, "fc1.weight").start
    assert start.distance is None
    assert "not at hand" in start.reason
    assert run.recorded_weight(1, "fc1.weight").start.distance > 0.0
    assert run.recorded_weight(5, "out.weight").start.distance > 0.0  # it is kept whole


def test_distances_from_another_first_step_are_not_given(tmp_path, probe):
    run = record(tmp_path / "r", probe, steps=(3, 5, 1))
    assert run.steps == (1, 3, 5)
    start = run.recorded_weight(5, "fc1.weight").start
    assert start.distance is None
    assert "step 3" in start.reason
    assert run.recorded_weight(5, "out.weight").start.step == 1


def test_the_choice_of_weights_is_one_of_the_run(tmp_path, probe):
    record(tmp_path / "r", probe)
    with pytest.raises(Exception, match="recorded otherwise: settings.weights"):
        record(tmp_path / "r", probe, weights="fc1.*", resume=True)


def test_the_first_of_several_processes_holds_the_weights(tmp_path, probe):
    for index in (1, 0):
        record(tmp_path / "r", probe, shard=(index, 2))
    run, alone = Run(tmp_path / "r"), record(tmp_path / "alone", probe)
    assert not run.shards[1].weights
    run.check()
    assert verify(run) == []
    for slot in alone.weights:
        one, other = (found.recorded_weight(5, slot.name) for found in (run, alone))
        np.testing.assert_array_equal(one.values, other.values)
        assert one.start.distance == other.start.distance
    pack(run, tmp_path / "r.h5")
    assert verify(Run(tmp_path / "r.h5")) == []


def test_weights_count_as_bytes_of_the_run(tmp_path, probe):
    torch.manual_seed(0)
    model = small_net()
    bytes_of_weights = 4 * sum(value.numel() for value in model.parameters())
    with Recorder(model, probe, tmp_path / "a", layers=["act1"]) as recorder:
        recorder.prepare(3, 10**9)
    with Recorder(model, probe, tmp_path / "b", layers=["act1"], weights="**") as recorder:
        layer = 4 * 120 * recorder._passes.survey[0].n_units if recorder._passes.survey else None
        with pytest.raises(DataError, match=f"{bytes_of_weights:,} bytes of weights"):
            recorder.prepare(3, 10)
    assert layer is None


def test_nothing_is_said_of_weights_that_nobody_asked_for(tmp_path, probe, caplog):
    with caplog.at_level(logging.WARNING):
        record(tmp_path / "r", probe, Strange(), weights=None, steps=(0,))
    assert "weights" not in caplog.text
