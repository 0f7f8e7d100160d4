"""A real plug-in package, installed from its folder, whose quantity is not in bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import infoplane as library
from tests.cli.analyses import write_run
from tests.conftest import infoplane as infoplane_process
from tests.conftest import infoplane_here as infoplane

PACKAGE = Path(__file__).parent / "plugin_package"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder that the package is installed to."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    for path in PACKAGE.iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def results(site, tmp_path_factory):
    """Results of the plug-in beside binning, for two runs."""
    folder = tmp_path_factory.mktemp("results")
    for seed in range(2):
        write_run(folder / "runs" / f"s{seed}", steps=(0, 1, 2, 5, 10, 20), units=6, seed=seed)
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    runs = [str(folder / "runs" / f"s{seed}") for seed in range(2)]
    done = infoplane_process(
        "analyze", *runs, "-e", "spread", "-e", "binning", "-o", str(folder / "r.json"),
        PYTHONPATH=path,
    )  # fmt: skip
    assert done.code == 0, done.err
    return folder / "r.json", done


def document(results):
    return json.loads(results[0].read_text())


def test_estimators_name_its_quantity_and_unit(site):
    listed = infoplane("estimators", PYTHONPATH=str(site))
    assert (listed.code, listed.err) == (0, "")
    assert "SR (dimensions)" in listed.out
    described = infoplane("estimators", "spread", PYTHONPATH=str(site))
    assert "spread_ratio SR, dimensions" in described.out


def test_document_declares_it(results):
    found = document(results)
    told = found["quantities"]["spread_ratio"]
    assert (told["symbol"], told["unit"], told["family"]) == ("SR", "dimensions", None)
    rows = [row for row in found["rows"] if row["quantity"] == "spread_ratio"]
    assert len(rows) == 2 * 2 * 6
    assert {row["unit"] for row in rows} == {"dimensions"}
    assert all(1.0 <= row["value"] <= 6.0 for row in rows)
    phases = [p for p in found["phases"] if p["quantity"] == "spread_ratio"]
    assert {p["unit"] for p in phases} == {"dimensions"}
    flags = {flag for row in rows for flag in row["flags"]}
    assert set(found["flags"]) >= flags
    if flags:
        assert found["flags"]["one_direction"]["code"] == "IP290"


def test_table_shows_it_below_that_of_the_register(results):
    out = results[1].out
    assert "dimensions, spread ratio (spread)" in out
    assert out.index("binning (binning)") < out.index("spread ratio (spread)")


def test_everything_else_works_without_the_plug_in(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(results[0])
    rule = "last(spread_ratio) >= 1"
    checked = infoplane("check", path, "--require", rule, "--require",
                        "verdict(spread_ratio, fc1) == rises")  # fmt: skip
    assert checked.code in (0, 1), checked.err
    assert f"pass  {rule}" in checked.out
    wrong = infoplane("check", path, "--require", "last(spread_ration) >= 1")
    assert wrong.code == 2
    assert "did you mean 'spread_ratio'?" in wrong.err
    compared = infoplane("compare", path, path, "--markdown", "c.md", COLUMNS="120")
    assert compared.code == 0, compared.err
    assert "SR, dimensions" in compared.out
    assert "`SR in dimensions`" in Path("c.md").read_text()
    exported = infoplane("export", path, "--to", "csv", "-o", "-")
    assert ",spread_ratio," in exported.out
    assert ",dimensions," in exported.out
    for name in ("steps", "heat", "depth"):
        drawn = infoplane("plot", path, "-f", name, "--quantity", "spread_ratio", "-o", "f")
        assert drawn.code == 0, drawn.err
        assert Path("f", f"{name}.png").stat().st_size > 1000
    reported = infoplane("plot", path, "-o", "f", "--report", "report.html")
    assert reported.code == 0, reported.err
    page = Path("report.html").read_text()
    assert "SR, dimensions" in page
    merged = infoplane("merge", path, "-o", "m.json")
    assert merged.code == 0, merged.err
    assert json.loads(Path("m.json").read_text())["quantities"] == document(results)["quantities"]


def test_notebook_has_its_rows(results):
    opened = library.load(results[0])
    frame = opened.to_pandas().query("quantity == 'spread_ratio'")
    assert set(frame["unit"]) == {"dimensions"}
    assert frame["value"].between(1, 6).all()
    assert "dimensions" in opened._repr_html_()


def test_validate_says_that_nothing_is_known_of_it(site):
    done = infoplane("validate", "-e", "spread", "-n", "100", "-q", PYTHONPATH=str(site))
    assert done.code == 4
    assert "no case knows the truth about spread_ratio" in done.err


HEAD = """
from dataclasses import dataclass
from infoplane import Estimate, Estimator, Flag, Quantity
"""
CLASS = """
@dataclass(frozen=True)
class Bad(Estimator):
    "It is wrong."
    name = "bad"
    title = "bad"
    quantities = ({quantity},)
    def estimate(self, prepared, activations, rng):
        return {returned}
"""


def plugin(quantity="Quantity('own', 'O', 'units')", returned="{'own': Estimate(1.0)}"):
    return HEAD + CLASS.format(quantity=quantity, returned=returned)


def installed(folder, code, names=("bad",)):
    """Install a module as plug-ins of these names; return the environment of a command."""
    folder.mkdir(exist_ok=True)
    (folder / "bad_plugin.py").write_text(code)
    about = folder / "bad_plugin-1.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugin\nVersion: 1\n")
    lines = [f"{name} = bad_plugin:Bad\n" for name in names]
    (about / "entry_points.txt").write_text("[infoplane.estimators]\n" + "".join(lines))
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('no GPU\\nhere')", "cannot be loaded: RuntimeError: no GPU here"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        (plugin().replace("def estimate", "def other"), "defines no estimate"),
        (plugin(quantity="Quantity('own', 'O', 'u', verdict='no')"), "expected True or False as"),
        (
            plugin().replace(
                "    title", "    flags = (Flag('mine', 'IP201', 'm', 'r'),)\n    title"
            ),
            "flag mine: the code IP201 is that of saturated",
        ),
        ("import nothing_of_this_name", "cannot be loaded: ModuleNotFoundError: No module named"),
        ("Bad = 3", "expected a sub-class of Estimator, got 3"),
        (plugin(quantity="'own'"), "expected a Quantity or the name of one, got 'own'"),
        (plugin(quantity="3"), "expected a Quantity, got 3"),
        (plugin(quantity="Quantity('Own', 'O', 'u')"), "expected a name of lower-case letters"),
        (plugin(quantity="Quantity('own', '', 'u')"), "expected a symbol in words, got ''"),
        (
            plugin(quantity="Quantity('ixt', 'I(X;T)', 'nats')"),
            "quantity ixt: its unit is 'nats', but 'bits' in the register of infoplane",
        ),
        (plugin().replace('"bad"', '"other"'), "its class is named 'other'"),
    ],
)
def test_plug_in_that_cannot_be_used_is_one_line(tmp_path, monkeypatch, code, message):
    monkeypatch.chdir(tmp_path)
    environment = installed(tmp_path / "site", code)
    write_run("run")
    done = infoplane("analyze", "run", "-e", "bad", "-o", "r.json", **environment)
    assert done.code == 2
    assert message in done.err
    assert done.err.startswith("error[IP112]: plug-in bad (bad_plugin:Bad): ")
    assert "Traceback" not in done.err
    assert not Path("r.json").exists()
    listed = infoplane("estimators", **environment)
    assert listed.code == 0
    assert "binning" in listed.out
    assert message in listed.err


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("{'other': Estimate(1.0)}", "bad returned 'other', which it does not declare"),
        ("{'own': 1.0}", "bad returned float for own, expected an Estimate"),
        ("3", "bad returned int, expected estimates by quantity"),
        ("{'own': Estimate('1')}", "bad returned str as bits of own, expected a number or None"),
        ("{'own': Estimate(1.0, high=[2, 3])}", "bad returned list as high of own, expected a num"),
        ("{'own': Estimate(1.0, flags='failed')}", "bad returned 'failed' as flags of own"),
    ],
)
def test_estimate_that_was_not_declared_fails_its_cells(tmp_path, monkeypatch, returned, reason):
    monkeypatch.chdir(tmp_path)
    environment = installed(tmp_path / "site", plugin(returned=returned))
    write_run("run")
    done = infoplane("analyze", "run", "-e", "bad", "-o", "r.json", "--strict", **environment)
    assert done.code == 5
    rows = json.loads(Path("r.json").read_text())["rows"]
    assert {row["value"] for row in rows} == {None}
    assert reason in rows[0]["diag"]["reason"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("def cost(self, n, d): return 1 / 0", "cost(150, 3) failed: ZeroDivisionError: division"),
        ("def cost(self, n, d): return 3", "cost(150, 3): expected a Cost, got 3"),
    ],
)
def test_cost_that_is_none_is_one_line(tmp_path, monkeypatch, method, message):
    monkeypatch.chdir(tmp_path)
    environment = installed(tmp_path / "site", f"{plugin()}    {method}\n")
    write_run("run")
    for further in ([], ["--dry-run"]):
        done = infoplane("analyze", "run", "-e", "bad", "-o", "r.json", *further, **environment)
        assert done.code == 2
        assert f"error[IP112]: estimator bad: {message}" in done.err


def test_state_that_does_not_pickle_is_said_to_be_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    method = "def prepare_run(self, run, rng): return lambda: 0"
    environment = installed(tmp_path / "site", f"{plugin()}    {method}\n")
    write_run("run")
    done = infoplane_process(
        "analyze", "run", "-e", "bad", "-o", "r.json", "--strict", **environment
    )
    assert done.code == 5
    reason = json.loads(Path("r.json").read_text())["rows"][0]["diag"]["reason"]
    assert "a prepared state that does not pickle" in reason


def test_estimator_that_returns_nothing_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = installed(tmp_path / "site", plugin(returned="{}"))
    write_run("run")
    done = infoplane("analyze", "run", "-e", "bad", "-o", "r.json", **environment)
    assert done.code == 0
    assert "bad: returned no estimate of any cell" in done.err


def test_quantities_without_a_verdict_are_tabulated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quiet = plugin(quantity="Quantity('own', 'O', 'units', verdict=False)")
    environment = installed(tmp_path / "site", quiet)
    write_run("run")
    done = infoplane("analyze", "run", "-e", "bad", "-o", "r.json", **environment)
    assert done.code == 0
    lines = done.out.splitlines()
    head, _, *rows = lines[lines.index("") + 1 :][:4]
    assert head.split() == ["layer", "O,", "units"]
    assert [row.split() for row in rows] == [["fc1", "1.00"], ["fc2", "1.00"]]


def test_name_of_a_built_in_estimator_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = installed(tmp_path / "site", plugin(), names=("binning",))
    listed = infoplane("estimators", **environment)
    assert listed.code == 0
    assert (
        "plug-in bad_plugin:Bad is left out: the name 'binning' is that of a built-in" in listed.err
    )


def test_plug_in_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = plugin().replace("    name =", "    must: int\n    name =")
    environment = installed(tmp_path / "site", code)
    write_run("run")
    done = infoplane("analyze", "run", "-e", "bad", "-o", "r.json", **environment)
    assert done.code == 2
    assert "bad: cannot be made: TypeError" in done.err


def test_rule_on_a_flag_of_a_plug_in_holds_where_none_was_raised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = plugin().replace("    title", "    flags = (Flag('mine', None, 'm', 'r'),)\n    title")
    environment = installed(tmp_path / "site", code)
    write_run("run")
    assert infoplane("analyze", "run", "-e", "bad", "-o", "r.json", **environment).code == 0
    assert infoplane("check", "r.json", "--fail-on", "mine").code == 0
    assert infoplane("check", "r.json", "--fail-on", "mime").code == 2


def test_configuration_is_checked_beside_plug_ins_that_contradict_each_other(tmp_path):
    code = plugin() + CLASS.replace("Bad", "Two").replace('"bad"', '"two"').format(
        quantity="Quantity('own', 'O', 'other units')", returned="{}"
    )
    environment = installed(tmp_path / "site", code)
    points = tmp_path / "site" / "bad_plugin-1.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "two = bad_plugin:Two\n")
    (tmp_path / "infoplane.toml").write_text('[[check]]\nrule = "last(own) >= 0"\n')
    done = infoplane("-c", str(tmp_path / "infoplane.toml"), "config", "check", **environment)
    assert (done.code, done.err) == (0, "")
