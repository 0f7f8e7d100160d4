import ast
import importlib
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
