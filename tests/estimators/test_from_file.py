import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import infoplane
from infoplane.errors import InfoplaneError, InputError
from infoplane.estimators.from_file import file_reference, version_of
from infoplane.estimators.registry import (
    estimator_class,
    estimator_id,
    installed_estimator,
    parse_estimator,
)
from tests.cli.analyses import write_run
from tests.conftest import infoplane_here

TEXT = """
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from infoplane import Estimate, Estimator, Quantity

@dataclass(frozen=True)
class State:
    labels: object

@dataclass(frozen=True)
class Mean(Estimator):
    power: float = 1.0
    name: ClassVar[str] = "mean"
    title: ClassVar[str] = "mean"
    quantities = (Quantity(name="mean", symbol="mean", unit="units"),)

    def prepare_run(self, run, rng):
        return State(run.probe.labels)

    def estimate(self, prepared, activations, rng):
        assert isinstance(prepared, State)
        return {"mean": Estimate(float((np.asarray(activations, float) ** self.power).mean()))}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    Path("mean.py").write_text(TEXT)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


def analyzed(*specs, **options):
    with ThreadPoolExecutor(1) as pool:
        return infoplane.analyze("runs/s0", list(specs), executor=pool, **options)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("mean.py:Mean", ("mean.py", "Mean", "")),
        ("a b/mean.py:Mean:power=2,x=3", ("a b/mean.py", "Mean", ":power=2,x=3")),
        (r"C:\work\mean.py:Outer.Mean", (r"C:\work\mean.py", "Outer.Mean", "")),
        ("a.py:Mean:file=b.py:other", ("a.py", "Mean", ":file=b.py:other")),
        ("binning:bins=30", None),
        ("mean.py", None),
        ("mean.py:power=2", None),
    ],
)
def test_reference_is_a_file_and_a_class(spec, parts):
    assert file_reference(spec) == parts


def test_estimator_of_a_file_is_named_by_its_class_and_settings(folder):
    found = parse_estimator("mean.py:Mean:power=2")
    assert estimator_id(found) == "mean:power=2"
    assert estimator_class("mean.py:Mean") is type(found)


def test_numbers_are_those_of_the_file(folder):
    write_run("runs/s0")
    found = analyzed("mean.py:Mean:power=2")
    run = infoplane.Run("runs/s0")
    for row in found["rows"]:
        values = run.activations(row["step"], row["layer"]).astype(float)
        assert row["value"] == pytest.approx((values**2).mean())
    assert found["estimators"][0]["plugin"] == "mean.py"


def test_edited_file_is_another_estimator_for_the_cache(folder):
    write_run("runs/s0")
    first = analyzed("mean.py:Mean", cache="cache")
    again = analyzed("mean.py:Mean", cache="cache")
    assert all(row["cached"] for row in again["rows"])
    Path("mean.py").write_text(TEXT.replace(".mean())", ".mean()) + 1"))
    edited = analyzed("mean.py:Mean", cache="cache")
    assert not any(row["cached"] for row in edited["rows"])
    for one, other in zip(first["rows"], edited["rows"], strict=True):
        assert other["value"] == pytest.approx(one["value"] + 1)
    assert first["estimators"][0]["version"] != edited["estimators"][0]["version"]


def test_what_a_file_imports_from_beside_it_counts(folder):
    Path("factor.py").write_text("FACTOR = 2\n")
    Path("mean.py").write_text(TEXT.replace("import numpy", "import factor\nimport numpy"))
    before = version_of(parse_estimator("mean.py:Mean"))
    Path("factor.py").write_text("FACTOR = 3\n")
    assert version_of(parse_estimator("mean.py:Mean")) != before


def test_files_of_one_text_have_one_version_and_a_moved_one_keeps_it(folder):
    Path("other").mkdir()
    Path("other/copy.py").write_text(TEXT)
    versions = {
        version_of(parse_estimator(f"{name}:Mean")) for name in ("mean.py", "other/copy.py")
    }
    assert len(versions) == 1


def test_two_files_of_one_name_do_not_meet(folder):
    Path("other").mkdir()
    Path("other/mean.py").write_text(TEXT.replace('"mean"', '"other_mean"'))
    one, other = (estimator_class(f"{where}mean.py:Mean") for where in ("", "other/"))
    assert (one.name, other.name) == ("mean", "other_mean")
    write_run("runs/s0")
    found = analyzed("mean.py:Mean", "other/mean.py:Mean")
    assert {row["estimator"] for row in found["rows"]} == {"mean", "other_mean"}


def test_two_estimators_of_one_name_are_refused(folder):
    Path("second.py").write_text(TEXT.replace(".mean())", ".mean()) + 1"))
    write_run("runs/s0")
    with pytest.raises(InputError, match="got two called 'mean'"):
        analyzed("mean.py:Mean", "second.py:Mean:power=2")


def test_helper_of_another_folder_is_not_taken_for_that_beside_the_file(folder):
    for name, factor in (("one", 2), ("two", 3)):
        Path(name).mkdir()
        Path(f"{name}/helper_of_means.py").write_text(f"FACTOR = {factor}\n")
        text = TEXT.replace("import numpy", "import helper_of_means\nimport numpy")
        Path(f"{name}/mean.py").write_text(text)
    parse_estimator("one/mean.py:Mean")
    with pytest.raises(InputError, match=r"imports helper_of_means from .*one.*, not from .*two"):
        parse_estimator("two/mean.py:Mean")


def test_another_process_makes_the_estimator_of_the_text_that_was_read(folder):
    estimator = parse_estimator("mean.py:Mean:power=3")
    state = estimator.prepare_run(infoplane.Run(_run("runs/s0")), None)
    Path("sent").write_bytes(pickle.dumps((estimator, state)))
    Path("mean.py").write_text("raise SystemExit('edited meanwhile')")
    program = (
        "import pickle, numpy; e, s = pickle.load(open('sent', 'rb')); "
        "print(e, e.estimate(s, numpy.full((2, 2), 2.0), None)['mean'].bits); "
        "print(pickle.loads(pickle.dumps(e)) == e)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["Mean(power=3.0) 8.0", "True"]


def _run(path):
    write_run(path, n=20)
    return path


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        (TEXT, "mean.py:Meen", "defines no Meen"),
        (TEXT, "nothing.py:Mean", "nothing.py: no such file"),
        (TEXT, "mean.py:State", "expected a sub-class of Estimator"),
        (TEXT, "mean.py:np", "expected a sub-class of Estimator"),
        (TEXT, "mean.py:Mean:powr=2", "no parameter 'powr'; did you mean 'power'"),
        (TEXT, "mean.py:Mean:power=a", "expected a number, got 'a'"),
        (TEXT.replace('"mean"', '"binning"'), "mean.py:Mean", "that of an installed estimator"),
        ("def f(:", "mean.py:Mean", "SyntaxError"),
        ("1 / 0", "mean.py:Mean", "ZeroDivisionError"),
        ("raise SystemExit(3)", "mean.py:Mean", "SystemExit"),
        ("import nothing_like_this", "mean.py:Mean", "ModuleNotFoundError"),
        ("\0", "mean.py:Mean", "null bytes"),
        (TEXT.replace("def estimate", "def estimates"), "mean.py:Mean", "defines no estimate"),
        (TEXT.replace("title:", "titel:"), "mean.py:Mean", "declares no title"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_one_line(folder, text, spec, message):
    Path("mean.py").write_text(text)
    with pytest.raises(InfoplaneError, match=message) as error:
        parse_estimator(spec)
    assert "\n" not in str(error.value)


def test_documents_never_have_a_file_run(folder):
    """Results may come from anywhere: what they name is looked for among what is installed."""
    write_run("runs/s0")
    document = dict(analyzed("exact").document)
    Path("evil.py").write_text("open('ran', 'w').close()\n" + TEXT)
    spec = "evil.py:Mean"
    document["estimators"] = [{**document["estimators"][0], "id": spec, "name": spec}]
    for row in document["rows"]:
        row["estimator"] = spec
    document["config"] = {"analyze": {"estimators": [spec]}}
    Path("results.json").write_text(json.dumps(document))
    for arguments in (
        ("analyze", "runs/s0", "--settings-from", "results.json", "-o", "new.json"),
        ("check", "results.json", "--require", "last(ity) >= 0"),
        ("compare", "results.json", "results.json"),
        ("inspect", "results.json"),
    ):
        infoplane_here(*arguments)
    with pytest.raises(InputError):
        installed_estimator(spec)
    assert not Path("ran").exists()


def test_commands_take_a_file_and_paths_of_the_configuration(folder):
    write_run("runs/s0")
    told = infoplane_here("estimators", "mean.py:Mean")
    assert (told.code, "power=1.0" in told.out) == (0, True)
    Path("deeper").mkdir()
    Path("infoplane.toml").write_text(
        '[analyze]\nestimator = ["mean.py:Mean"]\n[estimator."mean.py:Mean"]\npower = 2\n'
    )
    shown = infoplane_here("analyze", "../runs/s0", "--dry-run", cwd=Path("deeper"))
    assert shown.code == 0, shown.err
    assert "mean:power=2" in shown.out


def test_random_numbers_and_seed_are_those_of_the_analysis(folder):
    Path("mean.py").write_text(
        TEXT.replace("power: float = 1.0", "seed: int | None = None\n    power: float = 1.0")
    )
    estimator = parse_estimator("mean.py:Mean").seeded(7)
    again = pickle.loads(pickle.dumps(estimator))
    assert (again, again.seed) == (estimator, 7)
    assert np.isfinite(estimator.power)


def test_file_of_the_page_is_analyzed_by_worker_processes(folder):
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    code, commands = (
        page.split(f"```{kind}\n", 1)[1].split("```", 1)[0] for kind in ("python", "sh")
    )
    Path("argmax_information.py").write_text(code)
    write_run("runs/s0")
    described, analyzed = (line.split()[1:] for line in commands.splitlines())
    assert infoplane_here(*described).code == 0
    done = infoplane_here(*analyzed, "-j", "1")
    assert done.code == 0, done.err
    rows = json.loads(Path("argmax.json").read_text())["rows"]
    assert {row["estimator"] for row in rows} == {"argmax:ignore=1"}
    assert all(row["value"] is not None for row in rows)
