"""The configuration file and the environment, as every command sees them."""

import json
from pathlib import Path

import pytest

from infoplane.cli.main import run
from tests.cli.analyses import rows_of, write_run
from tests.gate.made import compressing


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    return tmp_path


def call(capsys, *arguments):
    code = int(run(list(arguments)))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def shown(capsys, *arguments):
    code, out, err = call(capsys, "config", "show", "--origin", *arguments)
    assert code == 0, err
    return {line.split()[0]: line.split(None, 1)[1] for line in out.splitlines()[3:]}


def test_command_line_before_environment_before_file_before_default(capsys, monkeypatch):
    Path("infoplane.toml").write_text("[compare]\ntolerance = 0.1\n")
    assert shown(capsys, "compare")["tolerance"] == "0.1    infoplane.toml:2"
    assert shown(capsys, "compare")["test"] == "ci     default"
    monkeypatch.setenv("INFOPLANE_COMPARE_TOLERANCE", "0.2")
    assert shown(capsys, "compare")["tolerance"].split() == ["0.2", "INFOPLANE_COMPARE_TOLERANCE"]
    found = shown(capsys, "compare", "--tolerance", "0.3")["tolerance"]
    assert found.split(None, 1) == ["0.3", "command line"]


def test_each_source_is_obeyed(capsys, monkeypatch):
    write_run("net-s0", n=60)
    Path("infoplane.toml").write_text(
        '[analyze]\nestimators = ["binning"]\noutput = "r.json"\nsteps = [0, "last"]\n'
        'layers = "fc1"\n'
        "[estimator.binning]\nbins = 4\n"
    )
    assert call(capsys, "analyze", "net-s0", "-j", "1")[0] == 0
    assert {(r["step"], r["layer"], r["estimator"]) for r in rows_of("r.json")} == {
        (0, "fc1", "binning:bins=4"),
        (10, "fc1", "binning:bins=4"),
    }
    monkeypatch.setenv("INFOPLANE_ANALYZE_ESTIMATOR", "binning:bins=5")
    monkeypatch.setenv("INFOPLANE_ANALYZE_LAYERS", "fc1 fc2")
    assert call(capsys, "analyze", "net-s0", "-j", "1", "-o", "e.json", "--steps", "0")[0] == 0
    assert {(r["step"], r["layer"], r["estimator"]) for r in rows_of("e.json")} == {
        (0, "fc1", "binning:bins=5"),
        (0, "fc2", "binning:bins=5"),
    }


def test_paths_start_from_the_file(capsys, folder, monkeypatch):
    Path("infoplane.toml").write_text('[check-options]\njunit = "out/checks.xml"\n')
    Path("r.json").write_text(json.dumps(compressing()))
    (folder / "inner").mkdir()
    monkeypatch.chdir(folder / "inner")
    assert call(capsys, "check", "../r.json", "--require", "runs() == 3")[0] == 0
    assert (folder / "out" / "checks.xml").exists()


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("[analyze]\nestimater = ['x']\n", "IP102",
         "toml:2: unknown key 'estimater' in [analyze]\n  hint: did you mean 'estimator'"),
        ("[analyse]\nseed = 1\n", "IP102", "key 'analyse'\n  hint: did you mean 'analyze'?"),
        ("seed = 1\n", "IP102", "infoplane.toml:1: unknown key 'seed'"),
        ("\n[analyze]\nseed = 'x'\n", "IP106", "infoplane.toml:3: analyze.seed: expected a whole"),
        ("[analyze]\nseed = true\n", "IP106", "expected a whole number, found True"),
        ("[analyze]\nseed = 1.5\n", "IP106", "expected a whole number, found 1.5"),
        ("[analyze]\nstrict = 1\n", "IP106", "expected true or false"),
        ("[analyze]\nnan = 'maybe'\n", "IP106", "'maybe' is not one of"),
        ("[analyze]\nestimator = ['a']\nestimators = ['b']\n", "IP106", "is given twice"),
        ("analyze = 3\n", "IP106", "analyze: expected a table, found a number"),
        ("[check]\nrule = 'runs() > 0'\n", "IP106", "expected rules under [[check]]"),
        ("[[check]]\nname = 'x'\n", "IP106", "expected a key 'rule'"),
        ("[[check]]\nrule = 'runs() > 0'\nlevle = 'error'\n", "IP102", "did you mean 'level'?"),
        ("[[check]]\nrule = 'runs() > 0'\nlevel = 'fatal'\n", "IP106", "expected error or warning"),
        ("[[check]]\nrule = 'runs() >'\n", "IP501", "infoplane.toml:2: rule 'runs() >'"),
        ("[estimator.binnig]\nbins = 3\n", "IP103", "infoplane.toml:2: expected the name of an"),
        ("[estimator.binning]\nbin = 3\n", "IP103", "did you mean 'bins'?"),
        ("[estimator.binning]\nbins = 'x'\n", "IP104", "infoplane.toml:2: binning: bins: expected"),
        ("color = 'pink'\n", "IP106", "infoplane.toml:1: color: 'pink' is not one of"),
        ("required-version = '>=99'\n", "IP107", "infoplane.toml:1: expected infoplane >=99"),
        ("[analyze\n", "IP105", "infoplane.toml:1: not valid TOML"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_line(capsys, text, code, message):
    Path("infoplane.toml").write_text(text)
    found, _, err = call(capsys, "config", "check")
    assert found == 2
    assert f"error[{code}]" in err
    assert message in err


def test_a_mistake_for_one_command_stops_every_command(capsys):
    Path("infoplane.toml").write_text("[plot]\nfigur = 'plane'\n")
    assert call(capsys, "check", "r.json")[0] == 2
    assert call(capsys, "--no-config", "check", "r.json", "--require", "runs() > 0")[0] == 3
    assert call(capsys, "check", "-h")[0] == 0  # help is there when it is needed most


def test_unknown_variable_is_told_with_the_nearest(capsys, monkeypatch):
    monkeypatch.setenv("INFOPLANE_COMPARE_TOLERENCE", "1")
    code, _, err = call(capsys, "compare", "a.json", "b.json")
    assert code == 2
    assert "did you mean INFOPLANE_COMPARE_TOLERANCE?" in err


def test_named_file_before_or_after_the_command(capsys):
    Path("infoplane.toml").write_text("broken")
    Path("other.toml").write_text("[compare]\ntolerance = 0.5\n")
    for arguments in (
        ["-c", "other.toml", "config", "show", "--origin", "compare"],
        ["config", "show", "-c", "other.toml", "--origin", "compare"],
    ):
        code, out, _ = call(capsys, *arguments)
        assert code == 0
        assert "other.toml:2" in out
    assert call(capsys, "-c", "none.toml", "config", "check")[0] == 2


def test_nothing_to_check_without_a_file(capsys):
    code, _, err = call(capsys, "config", "check")
    assert code == 4
    assert "error[IP406]" in err


def test_quiet_and_color_from_the_file_yield_to_the_command_line(capsys):
    Path("infoplane.toml").write_text("color = 'always'\n")
    Path("r.json").write_text(json.dumps(compressing()))
    rule = ["--require", "runs() == 3"]
    assert "\x1b[" in call(capsys, "check", "r.json", *rule)[1]
    assert "\x1b[" not in call(capsys, "check", "r.json", *rule, "--color", "never")[1]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("c = 0.3", "compressed:c=0.3"),
        ("c = [0.2, 0.4]", "compressed:c=0.2+0.4"),
        ('mode = "bracket"\nseed = 3', "compressed:mode=bracket,seed=3"),
        ('mode = "neighbors"\ndim = 3', "compressed:mode=neighbors,dim=3"),
        ('noise = "fixed"\nc = 0.3', "compressed:noise=fixed,c=0.3"),
        # what was written for earlier releases
        ("noise_scale = [0.5, 1]", "compressed:noise_scale=0.5+1"),
        ("max-samples = 2000", "compressed:max_samples=2000"),
        ('dim = 4\nk = 15\nbasis = "checkpoint"', "compressed:dim=4,k=15,basis=checkpoint"),
        ("noise = 0.1\nfolds = 5", "compressed:noise=0.1,folds=5"),
        ('mode = "noise"\npopulation = "recorded"', "compressed:mode=noise,population=recorded"),
    ],
)
def test_parameters_of_compressed_new_and_old(capsys, settings, expected):
    write_run("net-s0", n=60)
    Path("infoplane.toml").write_text(
        f'[analyze]\nestimators = ["compressed"]\n[estimator.compressed]\n{settings}\n'
    )
    assert call(capsys, "config", "check")[0] == 0
    code, out, err = call(capsys, "analyze", "net-s0", "--dry-run")
    assert code == 0, err
    assert expected in out.replace("\n", "")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("c = -1", "infoplane.toml:4: expected c above 0, got -1"),
        ('c = "wide"', "infoplane.toml:4: compressed: c: expected a number"),
        ("c = 0.3\nnoise = 0.1", "expected c or noise=0.1, got both"),
        ('noise = "fixed"\nmode = "neighbors"', "expected mode=bracket with noise=fixed"),
    ],
)
def test_parameters_of_compressed_that_are_unfit(capsys, settings, message):
    write_run("net-s0", n=60)
    Path("infoplane.toml").write_text(
        f'[analyze]\nestimators = ["compressed"]\n[estimator.compressed]\n{settings}\n'
    )
    code, _, err = call(capsys, "analyze", "net-s0", "--dry-run")
    assert code == 2
    assert message in err
