"""Neural critics from the command line: layers, pairs, real targets, limits, mistakes."""

import json
from pathlib import Path

import numpy as np
import pytest

from infoplane.data import ProbeSet
from infoplane.runs.writer import FolderWriter
from tests.conftest import infoplane_here as infoplane

N = 400
QUICK = "neural:critic=gauss,protocol=false"


@pytest.fixture
def folder(tmp_path):
    """Two runs of three layers at two steps: with class labels, and with real targets."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 4))
    targets = x[:, :1] + 0.5 * rng.normal(size=(N, 1))
    labels = (targets[:, 0] > 0).astype(np.int64)
    probes = {"classes": ProbeSet(x, labels), "real": ProbeSet(x, None, targets)}
    for name, probe in probes.items():
        writer = FolderWriter(tmp_path / name, probe, {"run": name})
        for step in (0, 5):
            with writer.step(step) as out:
                values = x
                for index, units in enumerate((4, 3, 2)):
                    values = np.tanh((1 + step) * values[:, :units])
                    out.write(index, f"fc{index}", "Tanh", 0, values, "float32")
        writer.close()
    return tmp_path


def analyzed(folder, *arguments):
    command = ("analyze", *arguments, "-o", "r.json", "-j", "1")
    done = infoplane(*command, cwd=folder, COLUMNS="80")
    assert done.code == 0, done.err
    return done, json.loads((folder / "r.json").read_text())["rows"]


def test_layers_and_pairs_with_class_labels_and_with_real_targets(folder):
    pairs = QUICK.replace("neural", "neural_pairs")
    done, rows = analyzed(folder, "classes", "real", "-e", QUICK, "-e", pairs)
    assert all(row["value"] is not None and row["diag"]["verdict"] for row in rows)
    for run in ("classes", "real"):
        found = {(r["layer"], r["quantity"]) for r in rows if r["run"] == run}
        assert found == {
            *((f"fc{i}", quantity) for i in range(3) for quantity in ("ixt", "ity")),
            *((f"pair fc{i} ~ fc{j}", "itt") for i, j in ((0, 1), (0, 2), (1, 2))),
        }
    assert "of 12 values reliable" in done.out
    assert "I(Tᵢ;Tⱼ)" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())
    rule = "last(itt, 'pair fc0 ~ fc1') > 0.5"
    assert infoplane("check", "r.json", "--require", rule, cwd=folder).code == 0
    for group in ("classes", "real"):
        drawn = infoplane(
            "plot", "r.json", "-f", "plane", "--group", group, "-o", group, cwd=folder
        )
        assert drawn.code == 0, drawn.err
        assert (folder / group / "plane.png").exists()


def test_a_cell_beyond_its_limit_is_told_and_the_rest_goes_on(folder):
    spec = "neural:seconds=0.001,protocol=false"
    _, rows = analyzed(folder, "classes", "-e", spec, "-e", "exact", "--steps", "last")
    late = [row for row in rows if row["estimator"].startswith("neural")]
    assert all(row["value"] is None and "timeout" in row["flags"] for row in late)
    assert all(row["diag"]["reason"] for row in late)
    assert all(row["value"] is not None for row in rows if row["estimator"] == "exact")


def test_a_dry_run_tells_what_it_will_cost(folder):
    done = infoplane("analyze", "classes", "-e", "neural", "--dry-run", cwd=folder)
    assert done.code == 0, done.err
    assert "neural" in done.out
    assert not Path(folder / "results.json").exists()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("neural:critic=nce", "critic of infonce, gauss, smile, mine"),
        ("neural:second=3", "did you mean 'seconds'?"),
        ("neurall", "did you mean 'neural'?"),
        ("neural_pairs:view=inputs", "no parameter 'view'"),
    ],
)
def test_mistakes_are_one_line(folder, spec, said):
    done = infoplane("analyze", "classes", "-e", spec, "-o", "r.json", cwd=folder)
    assert done.code == 2
    assert said in done.err
