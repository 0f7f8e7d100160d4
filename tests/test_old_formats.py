"""What release 0.1 wrote keeps opening; the files under tests/data never change."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

import infoplane as library
from infoplane.results.verdicts import Phase
from tests.cli.analyses import write_run
from tests.conftest import infoplane_here as infoplane

DATA = Path(__file__).parent / "data"
OLD = DATA / "release-0.1"


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A user's folder, in the state in which the release left it."""
    monkeypatch.chdir(tmp_path)
    for path in OLD.iterdir():
        shutil.copy(path, path.name)
    shutil.copytree(DATA / "run-v1", "run")
    return tmp_path


def test_results_open_and_mean_what_they_meant(old):
    results = library.load("results.json.gz")
    assert "quantities" not in results
    rows = [row for row in results["rows"] if row["quantity"] == "ixt"]
    assert {row["unit"] for row in rows} == {"bits"}
    again = library.find_phases(results, seed=results["config"]["analyze"]["seed"])
    # Verdicts follow from segments since then, and a peak is never below the first value.
    kept = ("group", "layer", "estimator", "quantity", "n_runs", "first", "last", "tolerance")
    assert [[p[k] for k in kept] for p in again] == [
        [p[k] for k in kept] for p in results["phases"]
    ]
    assert all(p.keys() >= results["phases"][0].keys() for p in again)


def test_phases_of_the_release_are_read(old):
    entry = library.load("results.json.gz")["phases"][0]
    phase = Phase.of_entry(entry)
    assert (phase.verdict, phase.peak, phase.change) == (
        entry["verdict"], entry["peak"], entry["change"],
    )  # fmt: skip
    assert (phase.sentence, phase.segments, phase.rise, phase.withheld) == ("", (), None, None)
    assert Phase.of_entry({**entry, "segments": [{"of": "a later release"}]}).segments == ()


def test_every_command_reads_old_results(old):
    Path("infoplane.toml").unlink()
    for arguments in (
        ["check", "results.json.gz", "--require", "last(ity, 4) >= 0.5"],
        ["compare", "results.json.gz", "results.json.gz"],
        ["inspect", "results.json.gz"],
        ["export", "results.json.gz", "--to", "csv", "-o", "rows.csv"],
        ["merge", "results.json.gz", "-o", "merged.json"],
        ["plot", "results.json.gz", "-o", "figures", "--report", "report.html"],
    ):
        done = infoplane(*arguments)
        assert done.code == 0, (arguments, done.err)
    merged = json.loads(Path("merged.json").read_text())
    assert len(merged["rows"]) == len(library.load("results.json.gz")["rows"])


def of_the_future(document):
    """Return a document with everything that a later release may add."""
    rows = []
    for row in document["rows"]:
        if row["quantity"] == "ixt":
            new = {"quantity": "novelty", "unit": "furlongs", "flags": ["unheard_of"]}
            rows.append({**row, **new, "bound_name": "horizon", "ci_method": "oracle", "more": [1]})
    phases = [{**phase, "verdict": "oscillates", "segments": []} for phase in document["phases"]]
    return {**document, "rows": [*document["rows"], *rows], "phases": phases, "further": {"a": 1}}


def test_every_command_reads_results_of_a_later_release(old):
    Path("infoplane.toml").unlink()
    document = of_the_future(dict(library.load("results.json.gz")))
    Path("future.json").write_text(json.dumps(document))
    for arguments in (
        ["check", "future.json", "--require", "last(novelty, 4) >= 0.5"],
        ["check", "future.json", "--require", "last(ity, 4) >= 0.5"],
        ["compare", "future.json", "future.json"],
        ["inspect", "future.json"],
        ["export", "future.json", "--to", "csv", "-o", "rows.csv"],
        ["merge", "future.json", "-o", "merged.json"],
        ["plot", "future.json", "-o", "figures", "--report", "report.html"],
    ):
        done = infoplane(*arguments)
        assert done.code == 0, (arguments, done.err)
    assert "furlongs" in Path("rows.csv").read_text()
    assert "furlongs" in Path("report.html").read_text()


def test_unit_that_changes_within_a_document_is_refused(old):
    document = dict(library.load("results.json.gz"))
    document["rows"][-1] = {**document["rows"][-1], "unit": "nats"}
    Path("mixed.json").write_text(json.dumps(document))
    done = infoplane("check", "mixed.json", "--require", "last(ity) >= 0")
    assert done.code == 3
    assert "'nats', but 'bits' in an earlier row" in done.err


def test_configuration_of_the_release_is_read(old):
    assert infoplane("config", "check").out.strip().endswith("ok, 2 rules")
    done = infoplane("check", "results.json.gz")
    assert done.code == 0, done.err
    assert "pass  the last layer knows the label" in done.out


def test_cells_of_an_old_cache_are_computed_at_most_once_more(old):
    Path("infoplane.toml").unlink()
    Path(".infoplane_cache").mkdir()
    shutil.move("cells-1.sqlite", ".infoplane_cache/cells-1.sqlite")
    cached = []
    for _ in range(2):
        done = infoplane(
            "analyze", "run", "-e", "binning", "-o", "r.json", "-j", "1", "--overwrite"
        )
        assert done.code == 0, done.err
        cached.append([row["cached"] for row in json.loads(Path("r.json").read_text())["rows"]])
    assert all(cached[1])


def test_settings_of_old_results_are_repeated_or_named(old):
    """What another version of an estimator measured cannot be; the others are."""
    Path("infoplane.toml").unlink()
    document = json.loads(gzip.decompress(Path("results.json.gz").read_bytes()))
    names = [layer["name"] for layer in document["recordings"][0]["layers"]]
    write_run("new", n=1000, layers=names, steps=document["recordings"][0]["steps"])
    done = infoplane(
        "analyze", "new", "--settings-from", "results.json.gz", "--dry-run", "--steps", "0"
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "estimator compressed is of version 9, here of 12" in done.err
    for identifier in ("binning:bins=15+30", "kde", "dse:max_samples=200"):
        assert identifier in done.out
