"""Finished cells are kept, and only what changed is computed again."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.analyses import (
    CACHE,
    cells_in_cache,
    rows_of,
    start,
    wait_for_cells,
    write_run,
)
from tests.conftest import infoplane_here as infoplane
from tests.processes import LONG

CHEAP = ("-e", "binning", "-e", "renyi", "-j", "1")  # neither loads scikit-learn


def timing(path):
    return json.loads(Path(path).read_text())["timing"]


def without_cached(path):
    return [{k: v for k, v in row.items() if k != "cached"} for row in rows_of(path)]


def test_second_analysis_computes_nothing_and_says_the_same(runs):
    assert infoplane("analyze", "net-s0", "-j", "1", "-o", "a.json").code == 0
    assert infoplane("analyze", "net-s0", "-j", "1", "-o", "b.json").code == 0
    assert timing("a.json")["cached"] == 0
    assert timing("b.json")["cached"] == timing("b.json")["cells"] == 3 * 2 * 4
    assert timing("b.json")["cpu_seconds"] == 0
    assert without_cached("a.json") == without_cached("b.json")
    first, second = (json.loads(Path(name).read_text()) for name in ("a.json", "b.json"))
    assert first["artifacts"] == second["artifacts"]
    assert first["phases"] == second["phases"]


@pytest.mark.parametrize("estimator", ["binning", "compressed", "dse", "kde", "renyi"])
def test_second_analysis_loads_no_heavy_library_and_starts_no_process(runs, estimator):
    command = ["analyze", "net-s0", "-e", estimator, "-o", "r.json", "--overwrite"]
    assert infoplane(*command, "-j", "1").code == 0
    code = (
        "import sys, threading; from pathlib import Path; from infoplane.cli.main import run\n"
        f"status = run({command!r})\n"
        "started = Path(f'/proc/self/task/{threading.get_native_id()}/children').read_text()\n"
        "heavy = {'torch', 'matplotlib', 'sklearn', 'scipy.special', 'scipy.linalg', 'rich'}\n"
        "sys.exit(f'{heavy & set(sys.modules)} {started}' if heavy & set(sys.modules) or started\n"
        "         else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert timing("r.json")["cached"] == 2 * 3


def test_what_changed_is_computed_again(runs):
    def cached(*options, run="net-s0"):
        assert infoplane("analyze", run, *options, "-o", "r.json", "--overwrite").code == 0
        return timing("r.json")["cached"]

    assert cached(*CHEAP) == 0
    assert cached(*CHEAP) == 2 * 3 * 2
    assert cached(*CHEAP, "--seed", "1") == 0
    assert cached("-e", "binning:bins=31", "-e", "renyi", "-j", "1") == 3 * 2  # renyi alone
    write_run("net-s0-longer", steps=(0, 1, 10, 20))
    Path("net-s0").rename("gone")
    Path("net-s0-longer").rename("net-s0")
    manifest = json.loads(Path("net-s0/manifest.json").read_text()) | {"run": "net-s0"}
    Path("net-s0/manifest.json").write_text(json.dumps(manifest))
    assert cached(*CHEAP) == 2 * 3 * 2
    assert timing("r.json")["cells"] == 2 * 4 * 2
    assert cached(*CHEAP, "--no-cache") == 0


def test_one_changed_layer_costs_its_own_cells(runs):
    from infoplane.runs.run import Run

    assert infoplane("analyze", "net-s1", *CHEAP, "-o", "a.json").code == 0
    write_run("other", seed=1, sharper=2)
    path = Run(Path("net-s1")).step_file(10)
    path.write_bytes(Run(Path("other")).step_file(10).read_bytes())
    assert infoplane("analyze", "net-s1", *CHEAP, "-o", "b.json").code == 0
    assert timing("b.json")["cached"] == 2 * 2 * 2  # steps 0 and 1


def test_pooled_basis_depends_on_every_checkpoint(runs):
    options = ("-e", "compressed", "-e", "binning:mode=global", "-j", "1")
    assert infoplane("analyze", "net-s0", *options, "-o", "a.json").code == 0
    write_run("net-s0-longer", steps=(0, 1, 10, 20))
    for name in ("steps/step_000000000020.h5",):
        Path("net-s0-longer", name).rename(Path("net-s0", name))
    assert infoplane("analyze", "net-s0", *options, "-o", "b.json").code == 0
    assert timing("b.json")["cached"] == 0
    fresh = ("--no-cache", "-o", "c.json")
    assert infoplane("analyze", "net-s0", *options, *fresh).code == 0
    assert rows_of("b.json") == rows_of("c.json")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_analysis_goes_on(runs, number):
    write_run("big", n=700, steps=range(25), units=20)
    process = start("big", "-e", "dse", "-j", "1", "-o", "r.json")
    wait_for_cells(process, 5)
    process.send_signal(number)
    process.communicate(timeout=LONG)
    kept = cells_in_cache() - 1  # the clusters
    assert kept > 3
    done = infoplane("analyze", "big", "-e", "dse", "-j", "1", "-o", "r.json")
    assert done.code == 0, done.err
    assert timing("r.json")["cached"] == kept < 50
    assert timing("r.json")["cells"] == 50


def test_damaged_cache_begins_anew(runs):
    assert infoplane("analyze", "net-s0", *CHEAP, "-o", "a.json").code == 0
    CACHE.write_bytes(b"no database at all" * 1000)
    done = infoplane("analyze", "net-s0", *CHEAP, "-o", "b.json")
    assert done.code == 0
    assert "damaged" in done.err
    assert "begins anew" in done.err
    assert rows_of("a.json") == rows_of("b.json")
    assert infoplane("analyze", "net-s0", *CHEAP, "-o", "c.json").code == 0
    assert timing("c.json")["cached"] == 12


def test_cache_that_cannot_be_made_is_told(runs):
    Path("file").write_text("")
    done = infoplane("analyze", "net-s0", *CHEAP, "-o", "a.json", "--cache-dir", "file")
    assert done.code == 0
    assert "the cache is not used" in done.err
    assert timing("a.json")["cells"] == 12


def test_failed_cells_are_kept_with_their_reason(runs):
    import numpy as np

    from infoplane.data import ProbeSet
    from infoplane.runs.writer import FolderWriter

    probe = ProbeSet(np.arange(80.0).reshape(40, 2), np.arange(40) % 2)
    writer = FolderWriter(Path("sick"), probe, {"run": "sick"})
    for step in (0, 1):
        with writer.step(step) as out:
            values = np.linspace(0, 1, 80, dtype=np.float32).reshape(40, 2)
            values[3] = np.nan if step else 0
            out.write(0, "fc", "Tanh", 0, values, "float32")
    writer.close()
    for name in ("a.json", "b.json"):
        assert infoplane("analyze", "sick", "-e", "binning", "-j", "1", "-o", name).code == 0
    assert timing("b.json")["cached"] == 2
    assert without_cached("a.json") == without_cached("b.json")


def test_dry_run_tells_the_plan_and_does_nothing(runs):
    before = sorted(runs.rglob("*"))
    done = infoplane("analyze", "net-s0", "net-s1", "--dry-run", "-o", "r.json")
    assert done.code == 0
    first, *lines, last = done.out.splitlines()
    assert first == "would estimate 48 cells of 2 runs (0 cached), write r.json"
    assert [line.split()[:3] for line in lines] == [
        ["binning", "12", "cells"],
        ["compressed", "12", "cells"],
        ["dse", "12", "cells"],
        ["probe", "12", "cells"],
    ]
    assert last.startswith("about ")
    assert "MB per process" in last
    assert sorted(runs.rglob("*")) == before
    assert infoplane("analyze", "net-s0", "-e", "binning", "-o", "r.json").code == 0
    done = infoplane("analyze", "net-s0", "net-s1", "-e", "binning", "-n", "-o", "r.json")
    assert "would estimate 12 cells of 2 runs (6 cached)" in done.out


def test_little_memory_changes_the_order_of_work_alone(runs):
    assert infoplane("analyze", "net-s0", *CHEAP, "-o", "a.json", "--no-cache").code == 0
    options = (*CHEAP[:-1], "2", "--max-memory", "701MiB", "--no-cache")
    assert infoplane("analyze", "net-s0", *options, "-o", "b.json").code == 0
    assert rows_of("a.json") == rows_of("b.json")
    for size, code in (("10MB", 2), ("much", 2)):
        done = infoplane("analyze", "net-s0", "--max-memory", size, "-o", "c.json")
        assert done.code == code
        assert "max-memory" in done.err


@pytest.mark.parametrize(
    "other", [("--seed", "1"), ("--no-cache",), ("net-s1",), ("-e", "exact")], ids=" ".join
)
@pytest.mark.parametrize("status", ["interrupted", "complete"])
def test_what_another_analysis_left_is_not_replaced(runs, other, status):
    assert infoplane("analyze", "net-s0", *CHEAP, "-o", "r.json").code == 0
    left = json.loads(Path("r.json").read_text()) | {"status": status}
    Path("r.json").write_text(json.dumps(left))
    done = infoplane("analyze", "net-s0", *CHEAP, *other, "-o", "r.json")
    assert done.code == 3
    assert "error[IP302]: r.json: the file exists" in done.err
    assert json.loads(Path("r.json").read_text()) == left
    assert infoplane("analyze", "net-s0", *CHEAP, "-o", "r.json").code == 0
    assert json.loads(Path("r.json").read_text())["status"] == "complete"


def test_finished_analysis_goes_on_where_the_run_has_grown(runs):
    write_run("growing", steps=(0, 1))
    assert infoplane("analyze", "growing", *CHEAP, "-o", "r.json").code == 0
    shutil.rmtree("growing")
    write_run("growing", steps=(0, 1, 10))
    done = infoplane("analyze", "growing", *CHEAP, "-o", "r.json")
    assert done.code == 0, done.err
    assert timing("r.json")["cached"] == timing("r.json")["cells"] * 2 // 3
    assert {row["step"] for row in rows_of("r.json")} == {0, 1, 10}


@pytest.mark.parametrize(
    "other",
    [{"steps": (0, 10)}, {"layers": ("fc1",)}, {"seed": 5}, {"sharper": 2}],
    ids=["a step less", "a layer less", "other samples", "steps recorded again"],
)
def test_results_of_what_a_run_no_longer_has_are_not_replaced(runs, other):
    assert infoplane("analyze", "net-s0", *CHEAP, "-o", "r.json").code == 0
    left = Path("r.json").read_bytes()
    shutil.rmtree("net-s0")
    write_run("net-s0", **other)
    done = infoplane("analyze", "net-s0", *CHEAP, "-o", "r.json")
    assert done.code == 3
    assert "error[IP302]: r.json: the file exists" in done.err
    assert Path("r.json").read_bytes() == left


def test_results_of_a_run_of_the_same_name_elsewhere_are_not_replaced(runs):
    assert infoplane("analyze", "net-s0", *CHEAP, "-o", "r.json").code == 0
    shutil.copytree("net-s0", "elsewhere/net-s0")
    assert infoplane("analyze", "elsewhere/net-s0", *CHEAP, "-o", "r.json").code == 3


def test_pairs_in_results_are_not_lost_by_an_analysis_without_them(runs):
    pairs = ("--similarity", "cka", "--seed", "0")
    assert infoplane("analyze", "net-s0", *CHEAP, *pairs, "-o", "r.json").code == 0
    assert infoplane("analyze", "net-s0", *CHEAP, "-o", "r.json").code == 3
    assert infoplane("analyze", "net-s0", *CHEAP, *pairs, "-o", "r.json").code == 0
