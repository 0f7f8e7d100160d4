"""The language model sample run: its text, its probe set, and a training of two steps."""

from pathlib import Path

import numpy as np
import torch

from infoplane.results.file import read_results
from infoplane.runs.run import Run
from infoplane.sample_runs.language_model import model, train
from tests.conftest import infoplane_here as infoplane


def test_probe_set_is_of_text_that_is_held_out():
    training, held_out = model.parts()
    ids = model.probe()
    assert ids.shape == (128, model.CONTEXT)
    assert len(training) > 5 * len(held_out)
    assert ids.max() < model.VOCABULARY
    np.testing.assert_array_equal(ids[0], held_out[: model.CONTEXT])
    np.testing.assert_array_equal(model.encoded("A\n€"), [34, 0, model.VOCABULARY - 1])


def test_network_does_not_see_what_comes_later():
    torch.manual_seed(0)
    network = model.build()
    ids = torch.from_numpy(model.probe()[:2])
    later = ids.clone()
    later[:, 40:] = 0
    with torch.no_grad():
        one, other = network(ids), network(later)
    torch.testing.assert_close(one[:, :40], other[:, :40])
    assert not torch.allclose(one[:, 40:], other[:, 40:])


def test_trains_records_and_analyzes_tokens(tmp_path):
    metrics = train.train(0, tmp_path / "checkpoints", steps=1)
    assert 4.0 < metrics["test_loss"] < 6.0  # about ln 97
    arguments = ["--model", f"{model.__file__}:build", "--data", f"{model.__file__}:probe"]
    arguments += [
        "--checkpoints",
        "checkpoints/*.pt",
        "--labels",
        "next-token:4",
        "--samples",
        "20",
    ]
    arguments += ["--layers", "token", "--layers", "blocks", "-o", "run"]
    done = infoplane("record", *arguments, cwd=tmp_path)
    assert done.code == 0, done.err
    run = Run(Path(tmp_path / "run"))
    assert run.steps == (0, 1)
    assert [slot.name for slot in run.layers] == ["token", "h.0", "h.1", "h.2", "h.3"]
    command = ["run", "--rows", "token", "-e", "binning:bins=4", "-l", "token", "--steps", "last"]
    done = infoplane("analyze", *command, "-j", "1", "-o", "r.json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "rows are tokens of 20 sequences" in done.out
    results = read_results(tmp_path / "r.json")
    assert results["recordings"][0]["n"] == 20 * (model.CONTEXT - 1)
    assert results["recordings"][0]["n_classes"] == 5
