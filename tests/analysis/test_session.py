"""An analysis as a call: what the command line does, its arguments, and what a stop leaves."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import infoplane
from infoplane import Analysis, analyze
from infoplane.errors import InfoplaneError, InputError
from infoplane.runs.run import Run
from tests.cli.analyses import rows_of, write_run
from tests.conftest import infoplane_here as command
from tests.workers import Serial


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run("net-s0")
    return Path("net-s0")


def rows(results):
    """Rows as JSON reads them back, but for the time that each took."""
    return [
        {key: value for key, value in row.items() if key not in ("seconds", "cached")}
        for row in json.loads(json.dumps(results["rows"]))
    ]


def test_rows_and_settings_are_those_of_the_command_line(run):
    specs = ("binning:bins=15+30", "dse:max_samples=100", "compressed")
    flags = [word for spec in specs for word in ("-e", spec)]
    done = command(
        "analyze", "net-s0", *flags, "--steps", "0,last", "-l", "fc*", "-j", "1", "-o", "cli.json"
    )
    assert done.code == 0, done.err
    written = infoplane.load("cli.json")
    for jobs in (1, 2):
        results = analyze(run, specs, steps=[0, "last"], layers="fc*", jobs=jobs)
        assert rows(results) == rows(written)
        assert results["config"] == written["config"]
        assert results["recordings"] == written["recordings"]
        assert [e["params"] for e in results["estimators"]] == [
            e["params"] for e in written["estimators"]
        ]


def test_estimators_and_runs_may_be_objects(run):
    named = analyze("net-s0", ["binning:bins=15", "exact"], executor=Serial())
    objects = [infoplane.parse_estimator(spec) for spec in ("binning:bins=15", "exact")]
    made = analyze([Run(run), run], objects, executor=Serial())
    assert rows(made) == rows(named)
    assert made["config"] == named["config"]


def test_an_executor_of_the_caller_is_left_open(run):
    with ThreadPoolExecutor(1) as executor:
        results = analyze(run, "binning", steps="last", executor=executor)
        assert executor.submit(int, "3").result() == 3
    assert rows(results) == rows(analyze(run, "binning", steps=10, jobs=1))


def test_plan_counts_the_cells_that_the_cache_knows(run):
    analysis = Analysis(run, ("binning", "exact"), layers="fc1", cache="cache", executor=Serial())
    assert [(work.cells, work.cached) for work in analysis.plan()] == [(3, 0), (3, 0)]
    assert not Path("cache").exists()
    analyze(run, "exact", layers="fc1", cache="cache", executor=Serial())
    assert [work.cached for work in analysis.plan()] == [0, 3]
    results = analysis.run()
    assert results["timing"]["cached"] == 3


def test_progress_is_told_before_and_after_every_cell(run, capsys):
    told = []
    analyze(run, "exact", executor=Serial(), progress=told.append)
    assert [(now.stage, now.done, now.total) for now in told] == [
        ("analyze", done, 6) for done in range(7)
    ]
    assert capsys.readouterr().err == ""
    analyze(run, "exact", executor=Serial(), progress=True)
    assert capsys.readouterr().err.endswith("\ranalyze 6/6\n")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, InfoplaneError, RuntimeError])
def test_a_stopped_call_loses_nothing_that_was_finished(run, kind):
    def stop(now):
        if now.done == 4:
            raise kind("enough")

    with pytest.raises(kind, match="enough") as caught:
        analyze(run, "exact", executor=Serial(), cache="cache", progress=stop)
    finished = caught.value.results
    assert finished["status"] == "interrupted"
    assert finished["timing"]["cells"] == 4
    finished.save("part.json")
    assert len(rows_of("part.json")) == len(finished["rows"])
    results = analyze(run, "exact", executor=Serial(), cache="cache")
    assert results["timing"]["cached"] >= 4
    assert rows(results) == rows(analyze(run, "exact", executor=Serial()))


def test_what_is_stopped_before_the_first_cell_has_no_results(run):
    def stop(now):
        raise InfoplaneError("at once")

    with pytest.raises(InfoplaneError, match="at once") as caught:
        analyze(run, "exact", executor=Serial(), progress=stop)
    assert caught.value.results is None


def test_sampling_and_splits_of_a_run_that_shows_one(tmp_path):
    write_run(tmp_path / "net", n=300)
    results = analyze(tmp_path / "net", "exact", sampling=True, executor=Serial())
    assert {entry["step"] for entry in results["sampling"]} == {10}
    at = analyze(tmp_path / "net", "exact", sampling=[0, "last"], executor=Serial())
    assert {entry["step"] for entry in at["sampling"]} == {0, 10}
    assert at["config"]["analyze"]["sampling"] == "0,last"


def test_samples_that_a_run_leaves_out_stay_out(run):
    part = Run(run, dropped=tuple(range(30)))
    for nan in ("fail", "drop"):
        results = analyze(part, "exact", nan=nan, steps=0, executor=Serial())
        assert {row["n"] for row in results["rows"]} == {120}


WRONG = [
    ({"runs": 3}, "runs: expected a path, a Run or a list of these, got 3"),
    ({"runs": []}, "runs: expected a path, a Run or a list of these, got []"),
    ({"runs": ["net-s0", None]}, "runs: expected a path, a Run or a list of these, got None"),
    ({"runs": "nothing"}, "nothing: no such run"),
    ({"runs": "."}, ".: expected a run folder"),
    ({"estimators": 5}, "estimators: expected names such as 'binning:bins=30', or Estimator"),
    ({"estimators": []}, "estimators: expected names such as 'binning:bins=30', or Estimator"),
    ({"estimators": ["exact", 5]}, "estimators: expected names such as 'binning:bins=30', or"),
    ({"estimators": "binnin"}, "expected the name of an estimator, got 'binnin'; did you mean"),
    ({"estimators": ["exact", "exact"]}, "expected each estimator once, got 'exact' twice"),
    ({"layers": 7}, "layers: expected a text or a list of them, got 7"),
    ({"layers": ["fc1", 7]}, "layers: expected a text or a list of them, got 7"),
    ({"layers": "conv*"}, "no layer matches 'conv*'"),
    ({"steps": "x"}, "steps: expected numbers and 'last', e.g. 0,100,last, got 'x'"),
    ({"steps": 1.5}, "steps: expected a whole number, got 1.5"),
    ({"steps": -1}, "steps: expected a number of at least 0, got -1"),
    ({"steps": []}, "steps: expected numbers and 'last', e.g. 0,100,last, got []"),
    ({"steps": 77}, "net-s0: no step 77"),
    ({"splits": 7}, "splits: expected a text or a list of them, got 7"),
    ({"nan": "no"}, "nan: expected 'fail' or 'drop', got 'no'"),
    ({"sampling": "x"}, "sampling: expected numbers and 'last', e.g. 0,100,last, got 'x'"),
    ({"jobs": 0}, "jobs: expected a number of at least 1, got 0"),
    ({"jobs": True}, "jobs: expected a whole number, got True"),
    ({"jobs": "2"}, "jobs: expected a whole number, got '2'"),
    ({"executor": "threads"}, "executor: expected processes, dask, dask=ADDRESS or mpi, got"),
    ({"executor": 3}, "executor: expected processes, dask, dask=ADDRESS or mpi, got 3"),
    ({"device": "gpu"}, "device: expected auto, cpu, cuda or cuda:K, got 'gpu'"),
    ({"device": 0}, "device: expected auto, cpu, cuda or cuda:K, got 0"),
    ({"max_memory": "8GiB"}, "max_memory: expected a whole number, got '8GiB'"),
    ({"max_memory": 5}, "max_memory: expected more than"),
    ({"cache": 3}, "cache: expected a path, got 3"),
    ({"seed": -1}, "seed: expected a number of at least 0, got -1"),
    ({"seed": 1.5}, "seed: expected a whole number, got 1.5"),
    ({"seed": None}, "seed: expected a whole number, got None"),
    ({"progress": 3}, "progress: expected True, False or a function of a Progress, got 3"),
]


@pytest.mark.parametrize(("given", "words"), WRONG, ids=[str(given) for given, _ in WRONG])
def test_wrong_arguments_are_one_line_that_names_them(run, given, words):
    with pytest.raises(InfoplaneError) as caught:
        analyze(**{"runs": "net-s0", "estimators": "exact", "executor": Serial(), **given})
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
    if words.partition(":")[0] in given:
        assert isinstance(caught.value, InputError)
        assert caught.value.argument in given


def test_long_values_are_cut(run):
    with pytest.raises(InputError) as caught:
        analyze(run, steps=np.ones((100, 100)))
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seed", "-1"], "error[IP101]: --seed: expected a number of at least 0, got -1"),
        (["--jobs", "0"], "error[IP101]: --jobs: expected a number of at least 1, got 0"),
        (["--steps", "x"], "error[IP101]: --steps: expected numbers and 'last'"),
        (["--executor", "x"], "error[IP104]: --executor: expected processes, dask"),
        (["--max-memory", "5"], "error[IP101]: --max-memory: expected more than"),
    ],
)
def test_the_command_line_names_the_option(run, options, words):
    done = command("analyze", "net-s0", *options)
    assert done.code == 2
    assert done.err.startswith(words)


def test_a_program_may_call_it_without_a_guard(run):
    """Worker processes do not import the program that started them."""
    Path("program.py").write_text(
        "import infoplane\nprint(len(infoplane.analyze('net-s0', 'exact', jobs=2)['rows']))\n"
    )
    done = subprocess.run(
        [sys.executable, "program.py"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == 18


def test_an_estimator_of_a_session_works_where_it_can_be_found(run):
    program = """
import sys
from dataclasses import dataclass
from concurrent.futures import ThreadPoolExecutor
import infoplane
from infoplane import Estimate, Estimator

@dataclass(frozen=True)
class Mine(Estimator):
    name, title, quantities = "mine", "mine", ("ixt",)
    def estimate(self, prepared, activations, rng):
        return {"ixt": Estimate(1.0)}

try:
    infoplane.analyze("net-s0", Mine(), jobs=1)
except infoplane.InputError as error:
    assert "expected 'mine' in a module that worker processes can import" in str(error)
else:
    raise AssertionError
results = infoplane.analyze("net-s0", Mine(), executor=ThreadPoolExecutor(1))
assert {row["value"] for row in results["rows"]} == {1.0}
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_notebook_does_what_the_commands_do(run):
    pandas = pytest.importorskip("pandas")
    results = analyze(run, ("binning", "kde"), jobs=1)
    results.save("results.json.gz")
    again = infoplane.load("results.json.gz")
    assert rows(again) == rows(results)
    assert again.draw("plane").axes
    again.report("report.html")
    assert "<html" in Path("report.html").read_text().lower()
    assert infoplane.check(again, "runs() == 1", fail_on="failed").passes
    assert not infoplane.check(again, ["runs() > 1"]).passes
    assert infoplane.compare(again, results).agrees
    frame = again.to_pandas()
    assert set(frame.columns) == {"null", *again.to_rows()[0]}
    labelled = frame[frame["quantity"] == "ity"]
    assert labelled["null"].notna().all()
    assert frame[frame["quantity"] == "ixt"]["null"].isna().all()
    assert [d["null"] for d in labelled["diag"]] == list(labelled["null"])
    assert all(isinstance(flags, tuple) for flags in frame["flags"])
    assert set(frame["group"]) == {"net"}
    assert pandas.api.types.is_float_dtype(frame["null"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r: infoplane.check(3, "x"), "results: expected a Results or a results document"),
        (lambda r: infoplane.check(r, 3), "rules: expected a text or a list of them, got 3"),
        (lambda r: infoplane.check(r, "runs() > 0", on_unknown="x"), "on_unknown: expected 'fail'"),
        (lambda r: infoplane.check(r, "nonsense"), "expected"),
        (lambda r: r.save(3), "path: expected a path, got 3"),
    ],
)
def test_wrong_arguments_of_the_gate_and_of_save(run, call, words):
    results = analyze(run, "exact", steps=0, executor=Serial())
    with pytest.raises(InputError) as caught:
        call(results)
    assert words in str(caught.value)
