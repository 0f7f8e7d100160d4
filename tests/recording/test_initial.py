"""The untrained model as step 0 of a folder of checkpoints."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import InputError
from infoplane.recording.session import Recording, record
from infoplane.runs.run import Run


def build():
    """A model that draws by torch, NumPy and random."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    with torch.no_grad():
        model[2].weight.mul_(float(np.random.uniform(1, 2))).mul_(random.uniform(1, 2))
    return model


@pytest.fixture
def training(tmp_path, monkeypatch):
    """Checkpoints of a training that set the seed 5 before it made the model; return its begin."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    model = build()
    begin = {name: value.clone() for name, value in model.state_dict().items()}
    for epoch in (1, 2):
        with torch.no_grad():
            model[0].weight += 0.1
        torch.save(model.state_dict(), f"epoch_{epoch}.pt")
    return begin


X = np.random.default_rng(0).normal(size=(20, 3)).astype("f4")


def test_it_is_the_model_that_the_training_began_with(training):
    run = record(build, "epoch_*.pt", (X, None), "r", initial=5)
    assert run.steps == (0, 1, 2)
    assert [run.step_info(step).epoch for step in run.steps] == [0.0, 1.0, 2.0]
    assert run.step_info(0).provenance["initial_seed"] == 5
    begun = build()
    begun.load_state_dict(training)
    with torch.no_grad():
        np.testing.assert_array_equal(run.activations(0, "2"), begun(torch.tensor(X)))
    plain = record(build, "epoch_*.pt", (X, None), "p")
    for step in (1, 2):
        np.testing.assert_array_equal(run.activations(step, "2"), plain.activations(step, "2"))
    other = record(build, "epoch_*.pt", (X, None), "o", initial=6)
    assert not np.array_equal(run.activations(0, "2"), other.activations(0, "2"))
    again = Recording(build, "epoch_*.pt", (X, None), "r", initial=5, resume=True)
    again.run()
    assert again.recorder.kept == [0, 1, 2]


def test_a_plan_counts_it_and_leaves_it_as_it_is(training):
    recording = Recording(build, "epoch_*.pt", (X, None), "r", initial=5)
    assert recording.steps == [0, 1, 2]
    assert recording.plan().n_steps == 3
    run = recording.run()
    begun = build()
    begun.load_state_dict(training)
    with torch.no_grad():
        np.testing.assert_array_equal(run.activations(0, "2"), begun(torch.tensor(X)))


def test_what_cannot_be_made_untrained_is_refused(training):
    one = build()
    for model, message in (
        (one, "expected what makes the model"),
        (lambda: one, "expected a model that is made anew, got the same Sequential twice"),
    ):
        with pytest.raises(InputError, match=message):
            record(model, "epoch_*.pt", (X, None), "r", initial=5)
    with pytest.raises(InputError, match="initial"):
        record(build, "epoch_*.pt", (X, None), "r", initial=-1)
    torch.save(one.state_dict(), "epoch_0.pt")
    with pytest.raises(InputError, match="epoch_0.pt is step 0 already") as error:
        record(build, "epoch_*.pt", (X, None), "r", initial=5)
    assert "if this is the end of the first epoch, count from 1" in error.value.hint


def test_names_of_epochs_tell_the_epoch_and_names_of_steps_do_not(training):
    torch.save(build().state_dict(), "step_7.pt")
    run = record(build, "epoch_*.pt", (X, None), "r")
    assert [run.step_info(step).epoch for step in run.steps] == [1.0, 2.0]
    assert Run("r").steps == (1, 2)
    assert record(build, "step_*.pt", (X, None), "s").step_info(7).epoch is None
