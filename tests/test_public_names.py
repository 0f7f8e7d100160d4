import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import infoplane
from infoplane.plots import figures
from infoplane.plots.canvas import page


@pytest.mark.parametrize("name", infoplane.__all__)
def test_public_name_resolves_and_is_documented(name):
    found = getattr(infoplane, name)
    if callable(found):
        assert found.__doc__, name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        infoplane.nonsense  # noqa: B018


def test_importing_the_package_loads_nothing_else():
    code = "import infoplane, sys; sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_commands_and_sample_runs_are_installed_as_sub_packages():
    for name in ("infoplane.cli.main", "infoplane.sample_runs.twelve_bit.model"):
        assert importlib.import_module(name)


def test_names_that_load_are_those_for_type_checkers():
    tree = ast.parse(Path(infoplane.__file__).with_suffix(".pyi").read_text())
    typed = {
        alias.asname: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == alias.asname
    }
    assert typed == infoplane._HOMES
    assert dir(infoplane) == sorted(["__version__", *typed])


def test_no_public_name_is_that_of_a_module():
    modules = {module.name for module in pkgutil.iter_modules(infoplane.__path__)}
    assert {"analysis", "recording"} <= modules
    assert not modules & set(infoplane.__all__)
    importlib.import_module("infoplane.analysis.session")
    assert infoplane.analyze.__module__ == "infoplane.analysis.session"
    assert infoplane.record.__module__ == "infoplane.recording.session"


RIGHT = """
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import infoplane
from infoplane import Estimate, Estimator, Flag, Progress, Quantity, Results, Run


@dataclass(frozen=True)
class Mean(Estimator):
    power: float = 1.0
    name: ClassVar[str] = "mean"
    title: ClassVar[str] = "mean"
    quantities = (Quantity(name="mean", symbol="M", unit="units"),)

    def estimate(
        self, prepared: Any, activations: Any, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        return {"mean": Estimate(float(activations.mean()))}


def show(now: Progress) -> None:
    assert now.done <= now.total


def whole(folder: str) -> bool:
    run: Run = infoplane.record("net.py:build", "ckpt/*.pt", "probe.npz", folder, progress=show)
    results: Results = infoplane.analyze(
        [run, "runs/s1"],
        ["binning:bins=30", Mean(2.0), infoplane.parse_estimator("dse")],
        layers="fc*",
        steps=[0, "last"],
        jobs=2,
        cache=".cache",
        seed=1,
    )
    results.save("results.json")
    again: Results = infoplane.load("results.json", "more.json")
    again.draw("plane")
    again.report("report.html")
    report = infoplane.check(again, ["last(ity, fc5) >= 2.8"], fail_on="failed")
    names: list[str] = infoplane.estimator_names()
    bits: float = infoplane.binned_information(np.zeros((9, 2)), np.zeros(9), bins=3).ixt
    works = infoplane.Analysis(run, "exact").plan()
    seconds: float = sum(work.seconds for work in works)
    agrees: bool = infoplane.compare(again, results).agrees
    try:
        infoplane.load("nothing.json")
    except infoplane.InfoplaneError as error:
        code: str = error.code
    return report.passes and agrees and bool(names) and bits >= seconds
"""

WRONG = """
import infoplane

infoplane.load(3, bogus=1)
infoplane.analyze(3)
infoplane.analyze("run", estimators=5)
infoplane.analyze("run", nan="perhaps")
infoplane.analyze("run", seed="1")
infoplane.analyze("run", bogus=1)
infoplane.analyze("run").saved("x.json")
infoplane.record("net.py:build", "ckpt", "probe.npz")
infoplane.record("net.py:build", "ckpt", "probe.npz", "run", layers=7)
infoplane.Run("run").layer(3)
infoplane.check({}, 3)
infoplane.compare({})
infoplane.Quantity(symbol="PR")
infoplane.estimator_names()[0] + 1
infoplane.nonsense
infoplane.InputError("text", hints="more")
"""


def test_a_type_checker_knows_right_calls_from_wrong_ones(tmp_path):
    tree = tmp_path / "tree" / "infoplane"
    tree.mkdir(parents=True)
    root = Path(__file__).parent.parent
    for path in [*(root / "infoplane").iterdir(), root / "cli", root / "sample_runs"]:
        (tree / path.name).symlink_to(path)
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text(WRONG)
    # Other packages are no matter here; torch alone would take a minute.
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nfollow_imports = silent\n"
        "[mypy-torch.*,scipy.*,sklearn.*,matplotlib.*,h5py.*]\n"
        "ignore_missing_imports = true\nfollow_imports = skip\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "right.py", "wrong.py", "--no-error-summary"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(tree.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "right.py" not in done.stdout, done.stdout
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if "error:" in line}
    calls = [n for n, line in enumerate(WRONG.splitlines(), 1) if line.startswith("infoplane.")]
    assert found == set(calls), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: infoplane.Run(3), "path: expected a path, got 3"),
        (lambda: infoplane.Run(""), "path: expected a path, got ''"),
        (lambda: infoplane.parse_estimator(3), "spec: expected a text NAME"),
        (lambda: infoplane.estimator_class(None), "name: expected the name of an estimator"),
        (lambda: infoplane.estimator_id("binning"), "estimator: expected an Estimator"),
        (lambda: infoplane.find_phases(3), "results: expected a Results or a results document"),
        (lambda: infoplane.compare({}, 3), "candidate: expected a Results or"),
        (
            lambda: infoplane.write_csv({}, "a.csv"),
            "results: expected a Results, as infoplane.load",
        ),
        (lambda: figures.draw(3, "steps"), "results: expected a Results or a results document"),
        (lambda: figures.draw({}, "steps", layers=3), "layers: expected a text or a list of them"),
        (lambda: figures.draw({}, "steps", quantity=["ixt"]), "quantity: expected a text or None"),
        (lambda: figures.draw({}, "steps", group=3), "group: expected a text or None, got 3"),
        (lambda: page.inches([3]), "or a width in inches, got [3]"),
        (lambda: page.inches(0), "or a width in inches, got 0"),
    ],
)
def test_wrong_type_is_named_with_what_was_expected(call, message):
    with pytest.raises(infoplane.InputError) as raised:
        call()
    assert message in str(raised.value)
