import json
from importlib import resources
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from infoplane.gate.checks import run_checks
from infoplane.gate.comparison import compare
from infoplane.gate.reports import github
from infoplane.gate.reports.comment import comment
from infoplane.gate.reports.documents import checks_document
from infoplane.gate.reports.junit import junit
from infoplane.gate.reports.markdown import code, within
from infoplane.gate.rules import Check, parse_rule
from infoplane.text import printable, spark
from tests.gate.made import compressing, document

HOSTILE = "a]]>&<b>\x1b[31m\n::error::x%0A|`@you`"


def checked(*checks, results=None):
    results = results or compressing()
    return run_checks(results, [Check(*c) for c in checks]), results


@pytest.fixture
def three():
    return checked(
        ("keeps", parse_rule("last(ixt, fc5) >= 4"), "error", "ci", "infoplane.toml:3"),
        ("falls", parse_rule("last(ixt, fc5) >= 4.6"), "error", "value", "sub/a,b:c.toml:7"),
        ("little", parse_rule("last(ixt, conv) >= 1"), "warning", "value", None),
    )


def test_junit_counts_and_places(three):
    report, results = three
    suite = ET.fromstring(junit(report, results, "r.json", 0.5))[0]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("net", "3", "1")
    keeps, falls, little = suite.findall("testcase")
    assert (keeps.get("file"), keeps.get("line"), len(keeps)) == ("infoplane.toml", "3", 0)
    failure = falls.find("failure")
    assert failure.get("message").startswith("last(ixt, fc5) >= 4.6: fc5, binning: 4.5000")
    assert little.get("name") == "little (warning)"
    assert little.find("system-out").text.startswith("WARNING last(ixt, conv) >= 1\nunknown")


def test_junit_has_a_suite_per_group_with_the_outcome_there():
    low, high = compressing(last=4.0, name="a"), compressing(last=5.0, name="b", layers=("fc5",))
    results = document([*low["rows"], *high["rows"]])
    for recording in results["recordings"]:
        recording["group"] = recording["run"].partition("-")[0]
    report, _ = checked(
        ("keeps", parse_rule("last(ixt, fc5) >= 4.5"), "error", "value", "infoplane.toml:3"),
        ("fc4", parse_rule("last(ixt, fc4) >= 1"), "error", "value", None),
        ("nowhere", parse_rule("last(ixt, conv) >= 1"), "warning", "value", None),
        results=results,
    )
    root = ET.fromstring(junit(report, results, "r.json", 0.5))
    assert {key: root.get(key) for key in ("tests", "failures")} == {"tests": "5", "failures": "1"}
    cases = {
        suite.get("name"): {
            case.get("name"): case.find("failure") is None for case in suite.findall("testcase")
        }
        for suite in root
    }
    assert cases == {
        "a": {"keeps": False, "fc4": True, "nowhere (warning)": True},
        "b": {"keeps": True, "nowhere (warning)": True},
    }
    assert [(s.get("tests"), s.get("failures")) for s in root] == [("3", "1"), ("2", "0")]
    assert {case.get("classname") for case in root.iter("testcase")} == {
        "infoplane.a",
        "infoplane.b",
    }
    [failure] = root.iter("failure")
    assert failure.text.startswith("a, fc5, binning: 4 bits (")
    assert "b, fc5" not in failure.text
    assert sum(float(suite.get("time")) for suite in root) == pytest.approx(0.5, abs=0.01)


def test_annotations_stand_on_the_line_of_the_rule(three, monkeypatch):
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    error, warning = github.workflow_commands(three[0])
    assert error.startswith(
        "::error title=infoplane%3A falls,file=sub/a%2Cb%3Ac.toml,line=7::last(ixt, fc5) >= 4.6: "
    )
    assert warning.startswith("::warning title=infoplane%3A little::last(ixt, conv) >= 1: unknown")


def test_annotations_are_relative_to_the_checkout(three, monkeypatch, tmp_path):
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    assert ",file=inner/sub/a" in next(github.workflow_commands(three[0]))


def test_at_most_nine_annotations_and_how_many_more():
    rule = parse_rule("last(ixt) > 99")
    report, _ = checked(*[(f"c{i}", rule) for i in range(23)])
    lines = list(github.workflow_commands(report))
    assert len(lines) == 10
    assert lines[-1] == "::error title=infoplane::and 14 more"


def test_summary_shows_curves_on_the_scale_of_their_bound():
    report, results = checked(("falls", parse_rule("last(ixt, fc5) >= 4")))
    rows = [line.split(" | ") for line in github.summary(report, results).splitlines()]
    titles = next(row for row in rows if row[0] == "| layer")
    layer = next(row for row in rows if row[0] == "| `fc5`")
    # 5, 6.5, 8, 8, 8 of 12 bits are 3.3, 4.3, 5.3 of 8 bars; at the end 4.5 bits are 3.0
    assert layer[titles.index("curve")].startswith("▄▅▆▆▆▅")
    assert layer[titles.index("curve")].endswith("▄▄ of 12")
    assert "group" not in titles
    more = document([*compressing(name="a")["rows"], *compressing(name="b")["rows"]], group=None)
    assert "| group | layer |" in github.summary(report, more)


def test_summary_stays_within_its_bytes():
    rule = parse_rule("last(ixt) > 99")
    report, results = checked(*[(f"{i} " + "ü" * 5000, rule) for i in range(2000)])
    text = github.summary(report, results)
    assert len(text.encode()) <= github.SUMMARY_BYTES
    assert text.startswith("### infoplane: 2,000 checks: 2,000 failed, 0 passed\n")


def test_document_follows_its_schema(three):
    schema = json.loads(
        resources.files("infoplane.schemas").joinpath("checks.schema.json").read_text()
    )
    document = checks_document(three[0], ["r.json"])
    jsonschema.Draft202012Validator(schema).validate(document)
    assert document["status"] == "fail"
    assert document["counts"] == {"failed": 1, "warning": 1, "passed": 1}
    assert document["checks"][1]["observed"] == pytest.approx(4.5)


def test_names_are_text_everywhere(capsys):
    results = compressing(layers=(HOSTILE,))
    report, _ = checked((HOSTILE + "\ud800", parse_rule("last(ixt) > 99")), results=results)
    xml = junit(report, results, HOSTILE, 0.1)
    ET.fromstring(xml)
    [annotation] = github.workflow_commands(report)
    summary = github.summary(report, results)
    json.dumps(checks_document(report, [HOSTILE]))
    for text in (xml, annotation, summary):
        assert "\x1b" not in text
        assert "\ud800" not in text
    assert "\n" not in annotation
    assert summary.count("\n### ") == 0
    assert all(line.startswith(("#", "|")) for line in summary.splitlines() if line)


@pytest.mark.parametrize("text", ["a", "`", "``a`", "a|b", " ", "", "<b>", "@you #1"])
def test_code_spans_hold_any_text(text):
    span = code(text)
    fence = len(span) - len(span.lstrip("`"))
    inside = span[fence:-fence]
    assert "`" * fence not in inside
    assert inside.strip() == text.strip().replace("|", "\\|")


def test_folded_parts_are_closed_when_cut():
    text = within(["<details><summary>x</summary>\n\n" + "line\n" * 100 + "</details>"], 200)
    assert len(text) <= 200
    assert text.count("<details>") == text.count("</details>")


def test_sparkline_keeps_its_scale_its_ends_and_sixteen_points():
    assert spark([0.0, 6.0, 12.0, 15.0, -1.0], 12.0) == "▁▅██▁"
    assert spark([7.0], 8.0) == "█"
    assert spark([], 8.0) == ""
    long = spark([float(i) for i in range(100)], 100.0)
    assert (len(long), long[0], long[-1]) == (16, "▁", "█")
    assert list(long) == sorted(long)


@pytest.mark.parametrize("text", ["::stop-commands::x", "  ::error::x", ":::x", "a ##[error] b"])
def test_text_is_never_a_workflow_command(text):
    shown = printable(text)
    assert not shown.lstrip().startswith("::")
    assert "##[" not in shown


def test_printable_keeps_what_can_be_printed():
    assert printable("fc5::äöü 層") == "fc5::äöü 層"
    assert printable("a\x1b[31m\nb\u202e") == "a\\x1b[31m\\nb\\u202e"


def test_summary_and_comment_warn_with_what_to_do():
    rule = parse_rule("last(ixt) >= 4")
    report, results = checked(
        ("large", rule), results=compressing(estimators=("binning", "compressed"))
    )
    for one in results["rows"]:
        one["flags"] = ["saturated"] if one["estimator"] == "binning" else []
    said = "- `IP201 I(X;T) by binning is unusable in 2 of 2 layers: they are at the ceiling; use "
    assert said in github.summary(report, results)
    section = ("new.json", compare(results, results))
    assert said in comment([section], "main.json", {"new.json": results})
    for one in results["rows"]:
        one["flags"] += ["biased", "out_of_range", "upper_bound"]
    text = github.summary(report, results)
    assert "<summary>all 7 warnings</summary>" in text
    assert text.index("- `IP") < text.index("<details>")
