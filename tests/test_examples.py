"""The examples in the docstrings of what is public."""

import doctest
import inspect
import sys

import numpy as np
import pytest

import infoplane

PUBLIC = [getattr(infoplane, name) for name in infoplane.__all__ if name != "__version__"]
NET = """
from torch import nn


def build():
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 2))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with what examples read: a model, its checkpoints, a probe set, a run, results."""
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "net.py").write_text(NET)
        names = {}
        exec(NET, names)
        torch.manual_seed(0)
        model = names["build"]()
        x = torch.rand(100, 2) * 2 - 1
        y = (x.norm(dim=1) < 0.8).long()
        np.savez("probe.npz", inputs=x.numpy(), labels=y.numpy())
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for step in range(21):
            if step in (0, 20):
                torch.save(model.state_dict(), f"step_{step}.pt")
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        run = infoplane.record(model, "step_*.pt", (x, y), "runs/s0", layers=["1", "3"])
        infoplane.analyze(run, "binning:bins=10", jobs=1).save("results.json")
    return folder


@pytest.mark.parametrize("found", PUBLIC, ids=lambda found: found.__name__)
def test_examples_give_what_they_say(found, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {**vars(sys.modules[found.__module__]), "infoplane": infoplane, "np": np}
    for name in ("Estimate", "Quantity"):
        names.setdefault(name, getattr(infoplane, name))
    (test,) = doctest.DocTestFinder(recurse=False).find(found, found.__name__, globs=names)
    assert test.examples or not inspect.isfunction(found), "no example"
    report = []
    assert doctest.DocTestRunner().run(test, out=report.append).failed == 0, "".join(report)
