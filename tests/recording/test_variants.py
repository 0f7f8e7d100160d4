"""Several reductions of one layer in one recording."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from infoplane.cli.globs import kinds_by_glob
from infoplane.data import ProbeSet
from infoplane.errors import InputError
from infoplane.recording.hooks.variants import module_name
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run


class Net(nn.Module):
    """Tokens (n, 5) in, one class out."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.h = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.head = nn.Linear(4, 3)

    def forward(self, input_ids, attention_mask=None):
        x = self.embed(input_ids)
        for one in self.h:
            x = one(x).tanh()
        return self.head(x[:, -1])


def recorded(path, reduce, probe=None, **options):
    torch.manual_seed(0)
    model = Net()
    ids = np.random.default_rng(0).integers(0, 9, (12, 5))
    probe = probe or ProbeSet(ids, np.arange(12) % 3)
    with Recorder(model, probe, path, reduce=reduce, **options) as recorder:
        recorder.step(0)
    return Run(path), model, ids


def test_each_reduction_of_a_layer_is_a_layer(tmp_path):
    run, model, ids = recorded(tmp_path / "r", {"h.*": "flatten", "h.0": "last,mean"})
    names = [slot.name for slot in run.layers]
    assert [name for name in names if name.startswith("h.")] == ["h.0@last", "h.0@mean", "h.1"]
    whole = model.h[0](model.embed(torch.from_numpy(ids))).detach().numpy()
    np.testing.assert_allclose(run.activations(0, "h.0@last"), whole[:, -1], rtol=1e-6)
    np.testing.assert_allclose(run.activations(0, "h.0@mean"), whole.mean(1), rtol=1e-5)
    assert run.layer("h.0@mean").reduction == "mean"
    assert run.layer("h.1").shape == (5, 4)


def test_masks_hold_for_every_reduction_of_a_layer(tmp_path):
    ids = np.random.default_rng(0).integers(0, 9, (12, 5))
    mask = (np.arange(5) < np.arange(12)[:, None] % 4 + 1).astype(np.int64)
    probe = ProbeSet(ids, arguments={"input_ids": ids, "attention_mask": mask})
    run, model, _ = recorded(
        tmp_path / "r", {"h.0": "last,mean"}, probe, mask={"h.0": "attention_mask"}
    )
    whole = model.h[0](model.embed(torch.from_numpy(ids))).detach().numpy()
    last = whole[np.arange(12), mask.sum(1) - 1]
    mean = (whole * mask[..., None]).sum(1) / mask.sum(1)[:, None]
    np.testing.assert_allclose(run.activations(0, "h.0@last"), last, rtol=1e-6)
    np.testing.assert_allclose(run.activations(0, "h.0@mean"), mean, rtol=1e-5, atol=1e-7)


def test_one_reduction_named_twice_is_one(tmp_path):
    run, *_ = recorded(tmp_path / "r", {"h.0": "last,last"})
    assert "h.0" in [slot.name for slot in run.layers]


def test_the_same_glob_again_adds_and_a_later_match_holds():
    found = kinds_by_glob(["h.0=last", "h.*=gap", "h.0=mean"])
    assert found == {"h.*": "gap", "h.0": "last,mean"}
    assert list(found) == ["h.*", "h.0"]


@pytest.mark.parametrize("text", ["last,middle", "last,", "last;mean"])
def test_unknown_reductions_are_refused(tmp_path, text):
    with pytest.raises(InputError, match="expected a reduction"):
        recorded(tmp_path / "r", {"h.0": text})


@pytest.mark.parametrize(
    ("name", "module"),
    [("h.0@last", "h.0"), ("h.0[1]@grid:4", "h.0"), ("h.0[1]", "h.0"), ("h@x", "h@x")],
)
def test_the_module_of_a_name(name, module):
    assert module_name(name) == module


def test_the_command_records_all_that_are_named():
    from infoplane.cli.record import record

    help_text = CliRunner().invoke(record, ["--help"]).output
    assert "h.0@mean" in help_text.replace("\n", " ")
