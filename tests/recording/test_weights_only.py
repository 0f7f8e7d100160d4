"""Weights of checkpoints alone: no model, no data, no forward pass."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import infoplane as ip
from infoplane.errors import InputError, NotFoundError
from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from infoplane.runs.verify import rescue, verify
from tests.conftest import infoplane_here as infoplane
from tests.conftest import small_net

WEIGHTS = ("record", "-q", "--weights-only", "--checkpoints", "ckpt/*.pt")


@pytest.fixture
def states(project):
    return {step: torch.load(f"ckpt/epoch_{step}.pt") for step in (0, 2, 10)}


def test_a_run_of_weights_holds_what_the_checkpoints_hold(states):
    run = ip.record_weights("ckpt/*.pt", "w", weights=["summary", "fc1.*"])
    assert run.steps == (0, 2, 10)
    assert (run.layers, run.n_samples, run.has_samples) == ((), 0, False)
    assert [slot.name for slot in run.weights] == list(states[0])
    for step, state in states.items():
        for slot in run.weights:
            now, first = (one[slot.name].double().numpy() for one in (state, states[0]))
            found = run.recorded_weight(step, slot.name, verify=True)
            assert found.norm == pytest.approx(np.linalg.norm(now), rel=1e-6)
            assert found.start.distance == pytest.approx(np.linalg.norm(now - first), rel=1e-6)
        np.testing.assert_array_equal(run.weight(step, "fc1.weight"), state["fc1.weight"].numpy())
    assert not (Path("w") / "probe.h5").exists()
    run.check()
    assert verify(run) == []


def test_it_is_packed_rescued_and_resumed(states):
    run = ip.record_weights("ckpt/*.pt", "w")
    pack(run, Path("w.h5"))
    rescue(run, Path("saved"))
    for path in ("w.h5", "saved"):
        again = Run(path)
        assert verify(again) == []
        assert again.content_hash() == run.content_hash()
    content = {step: run.step_file(step).read_bytes() for step in run.steps}
    run.step_file(2).unlink()
    assert ip.record_weights("ckpt/*.pt", "w", resume=True).steps == (0, 2, 10)
    assert {step: run.step_file(step).read_bytes() for step in run.steps} == content


def test_it_is_measured_as_a_recording_with_activations(project):
    options = ("--model", "net.py:build", "--data", "probe.npz", "--checkpoints", "ckpt/*.pt")
    assert infoplane("record", "-q", *options, "--weights", "-o", "both").code == 0
    assert infoplane(*WEIGHTS, "-o", "alone").code == 0
    values = {}
    for name in ("both", "alone"):
        found = infoplane("analyze", "-q", name, "-e", "weights", "-o", f"{name}.json")
        assert found.code == 0, found.err
        values[name] = {
            (row["step"], row["layer"], row["quantity"]): row["value"]
            for row in ip.load(f"{name}.json").document["rows"]
        }
    assert values["both"].keys() == values["alone"].keys()
    for key, value in values["both"].items():
        assert values["alone"][key] == pytest.approx(value, rel=1e-6), key
    table = infoplane("analyze", "-q", "alone", "-e", "weights", "-o", "again.json").out
    assert "weights alone" in table
    assert "nan" not in table.lower()


@pytest.mark.parametrize("estimator", ["binning", "compressed", "collapse", "spectrum", "probe"])
def test_other_estimators_say_that_there_are_no_activations(states, estimator):
    ip.record_weights("ckpt/*.pt", "w")
    found = infoplane("analyze", "w", "-e", estimator, "-o", "x.json")
    assert found.code == 4
    assert f"{estimator} measures activations: the run holds weights alone" in found.err


def test_inspect_and_plot(states):
    ip.record_weights("ckpt/*.pt", "w")
    shown = infoplane("inspect", "w", "--tree")
    assert shown.code == 0
    assert "weights alone, no activations" in shown.out
    assert "singular values" in shown.out
    assert infoplane("inspect", "w", "--verify").code == 0
    assert infoplane("analyze", "-q", "w", "-e", "weights", "-o", "w.json").code == 0
    assert infoplane("plot", "-q", "w.json", "-o", "f", "-f", "steps").code == 0


@pytest.mark.parametrize(
    "option",
    [("--model", "net.py:build"), ("--data", "probe.npz"), ("--layers", "fc1"), ("--gradients",),
     ("--head", "out"), ("--at", "input"), ("--samples", "5"), ("--batch-size", "3")],
)  # fmt: skip
def test_options_that_say_nothing_of_weights_are_refused(states, option):
    found = infoplane(*WEIGHTS, "-o", "w", *option)
    assert found.code == 2
    assert f"{option[0]} is not for --weights-only" in found.err


def test_without_checkpoints_there_is_nothing(project):
    assert "Missing option '--checkpoints'" in infoplane("record", "--weights-only", "-o", "w").err


def test_dry_run_tells_weights_and_bytes(states):
    found = infoplane(*WEIGHTS, "-o", "w", "-n")
    assert "would record 3 checkpoints (steps 0..10) x 6 weights in w" in found.out
    assert not Path("w").exists()
    refused = infoplane(*WEIGHTS, "-o", "w", "--max-size", "10")
    assert refused.code == 3
    assert "3 steps x 96 bytes of weights = 288 bytes" in refused.err


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
        self.register_buffer("mask", torch.ones(2, 2))
        self.register_buffer("table", torch.ones(2, 2, dtype=torch.int64))


def test_what_normalisations_count_is_no_weight(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    torch.save(Normed().state_dict(), "step_1.pt")
    run = ip.record_weights("step_*.pt", "w")
    assert [slot.name for slot in run.weights] == [
        "mask", "conv.weight", "conv.bias", "norm.weight", "norm.bias",
    ]  # fmt: skip
    assert "table (int64" in caplog.text


def test_tied_weights_of_a_state_dict_are_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weight = torch.randn(4, 4)
    torch.save({"embed.weight": weight, "head.weight": weight, "other": weight.clone()}, "1.pt")
    run = ip.record_weights("1.pt", "w")
    assert [(slot.name, slot.tied) for slot in run.weights] == [
        ("embed.weight", ("head.weight",)), ("other", ()),
    ]  # fmt: skip


def test_weights_under_a_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, other = small_net().state_dict(), small_net().state_dict()
    torch.save({"model": one, "ema": {"model": other}}, "step_1.pt")
    run = ip.record_weights("step_1.pt", "w", weights="**", weights_key="ema.model")
    np.testing.assert_array_equal(run.weight(1, "fc1.weight"), other["fc1.weight"].numpy())
    with pytest.raises(NotFoundError, match=r"no weight of the model matches 'ema\.model'"):
        ip.record_weights("step_1.pt", "v", weights="ema.model")


@pytest.mark.parametrize("options", [{"weights": 3}, {"overwrite": True, "resume": True}])
def test_unfit_arguments(tmp_path, options):
    with pytest.raises(InputError):
        ip.record_weights("step_*.pt", tmp_path / "w", **options)


def test_schema_describes_it(states):
    jsonschema = pytest.importorskip("jsonschema")
    run = ip.record_weights("ckpt/*.pt", "w")
    text = resources.files("infoplane.schemas").joinpath("run.schema.json").read_text()
    schema = json.loads(text)
    jsonschema.validate(run.manifest, schema)
    step = {"$defs": schema["$defs"], **schema["$defs"]["step"]}
    meta = json.loads(bytes(run._text(0)))
    jsonschema.validate(meta, step)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**meta, "weights": []}, step)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**meta, "n_samples": 3}, step)
