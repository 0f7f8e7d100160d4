import json
from pathlib import Path

import pytest

from infoplane.cli.main import run
from tests.gate.made import compressing

RULES = """
[[check]]
name = "keeps"
rule = "last(ixt, fc5) >= 4"

[[check]]
rule = "last(ixt, fc4) >= 5"
level = "warning"
"""


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("r.json").write_text(json.dumps(compressing()))
    return tmp_path


def call(capsys, *arguments):
    code = run(list(arguments))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return int(code), out, err


def test_rules_of_the_configuration_file(results, capsys):
    Path("infoplane.toml").write_text(RULES)
    code, out, err = call(capsys, "check", "r.json")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("pass  keeps")
    assert out.splitlines()[1].startswith("WARN  last(ixt, fc4) >= 5")
    assert "infoplane.toml:7" in out
    assert out.splitlines()[-1] == "2 checks: 1 warning, 1 passed"


def test_groups_of_other_names_are_compared_by_hand(results, capsys):
    for name in ("a", "b"):
        Path(f"{name}.json").write_text(json.dumps(compressing(name=name)))
    assert call(capsys, "compare", "a.json", "b.json")[0] == 0
    code, out, err = call(capsys, "compare", "a.json", "b.json", "--pair", "a=b")
    assert (code, err) == (0, "")
    assert "paired: a with b" in out
    for pair, code, said in (
        ("a", 2, "--pair: expected BASELINE=CANDIDATE"),
        ("a=x", 4, "one of the candidate (b)"),
    ):
        found = call(capsys, "compare", "a.json", "b.json", "--pair", pair)
        assert (found[0], said in found[2]) == (code, True), found
    found = call(capsys, "compare", "a.json", "b.json", "--pair", "a=b", "--missing-baseline", "ok")
    assert found[0] == 0
    found = call(capsys, "compare", "a", "b", "--pair", "a=b", "--similarity")
    assert (found[0], "--pair: expected without --similarity" in found[2]) == (2, True)


def test_failing_rule_exits_with_1_and_says_why(results, capsys):
    code, out, _ = call(capsys, "check", "r.json", "--require", "last(ixt, fc5) >= 4.6")
    assert code == 1
    assert out.startswith("FAIL  last(ixt, fc5) >= 4.6\n      fc5, binning: 4.5000 ")
    assert "is less than 4.6" in out


def test_unknown_fails_unless_told_otherwise(results, capsys):
    rule = ["--require", "last(ixt, conv*) >= 4"]
    assert call(capsys, "check", "r.json", *rule)[0] == 1
    assert call(capsys, "check", "r.json", *rule, "--on-unknown", "warn")[0] == 0


def test_fail_on_a_flag(results, capsys):
    assert call(capsys, "check", "r.json", "--fail-on", "failed")[0] == 0
    document = compressing()
    document["rows"][3]["flags"] = ["failed"]
    Path("r.json").write_text(json.dumps(document))
    code, out, _ = call(capsys, "check", "r.json", "--fail-on", "failed")
    assert code == 1
    assert "FAIL  no cell is failed" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["r.json"], 4, "error[IP405]: no rule to check"),
        (["nope.json", "--require", "runs() >= 1"], 3, "error[IP303]"),
        (["r.json", "--require", "last(ixt >= 1"], 2, "error[IP501]"),
        (["r.json", "--fail-on", "faild"], 2, "did you mean 'failed'?"),
        (["r.json", "--junti", "x"], 2, "--junit"),
        (["r.json", "r.json", "--require", "runs() >= 1"], 0, ""),
        (["r.json", "copy.json", "--require", "runs() >= 1"], 3, "error[IP317]"),
    ],
)
def test_exit_codes(results, capsys, arguments, code, message):
    Path("copy.json").write_text(Path("r.json").read_text())
    found, _, err = call(capsys, "check", *arguments)
    assert found == code
    assert message in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "r.json", "--require", "runs() >= 1", "--junit", "./r.json"],
        ["check", "r.json", "--require", "runs() >= 1", "--junit", "link.json"],
        ["check", "r.json", "--require", "runs() >= 1", "--summary", "r.json"],
        ["compare", "r.json", "r.json", "--tolerance", "0", "--markdown", "r.json"],
    ],
)
def test_results_are_not_written_over_by_what_is_said_of_them(results, capsys, arguments):
    before = Path("r.json").read_bytes()
    Path("link.json").symlink_to("r.json")
    code, _, err = call(capsys, *arguments)
    assert code == 3
    assert "error[IP302]" in err
    assert f"{arguments[-1]}: is a file that this command reads" in err
    assert Path("r.json").read_bytes() == before


def test_several_files_are_taken_together(results, capsys):
    document = compressing()
    for name in ("net-s0", "net-s1", "net-s2"):
        part = {
            **document,
            "rows": [r for r in document["rows"] if r["run"] == name],
            "recordings": [r for r in document["recordings"] if r["run"] == name],
        }
        Path(f"{name}.json").write_text(json.dumps(part))
    names = ["net-s0.json", "net-s1.json", "net-s2.json"]
    code, _, _ = call(capsys, "check", *names, "--require", "runs() == 3")
    assert code == 0
    changed = json.loads(Path("net-s2.json").read_text())
    changed["estimators"][0]["params"] = {"bins": 15}
    Path("net-s2.json").write_text(json.dumps(changed))
    code, _, err = call(capsys, "check", *names, "--require", "runs() == 3")
    assert code == 3
    assert "params of estimator 'binning' differs" in err
