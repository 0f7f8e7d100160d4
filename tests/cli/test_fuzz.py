"""Whatever the input: a documented exit code, and no traceback.

The long run: ``pytest -m slow tests/cli/test_fuzz.py -s`` prints the number of inputs and codes.
"""

import contextlib
import io
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from infoplane.cli.main import run
from infoplane.errors import ExitCode
from tests.cli.fuzz import configurations, results_texts, rules, small

QUICK = 150
LONG = 4000
OPTIONS = settings(
    deadline=None,
    phases=[Phase.generate],
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
RULES = (
    "last(ixt) >= 1", "first(ity) < 9", "peak(ixt) > 0", "min(ixt) > 0", "max(ixt) > 0",
    "mean(ixt) > 0", "change(ixt) < 0", "onset(ixt) > 0", "at:20(ixt) > 0", "agree(ixt) >= 1",
    "verdict(ixt) == compresses", "share(failed) <= 0", "runs() >= 1",
)  # fmt: skip
codes: Counter[tuple[str, int]] = Counter()


def call(kind: str, *arguments: str) -> int:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = int(run(list(arguments)))
    assert code in set(ExitCode), (code, arguments)
    assert code != ExitCode.BUG, (err.getvalue(), arguments)
    assert "Traceback" not in err.getvalue()
    text = out.getvalue() + err.getvalue()
    assert all(char == "\n" or char.isprintable() for char in text), repr(text)
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    if code in (ExitCode.USAGE, ExitCode.DATA, ExitCode.NOTHING):
        assert err.getvalue().startswith(("error[IP", "Usage:")), err.getvalue()
    codes[kind, code] += 1
    return code


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    Path("good.json").write_text(json.dumps(small()))


def damaged_results(data: bytes) -> None:
    Path("r.json").write_bytes(data)
    options = [part for rule in RULES for part in ("--require", rule)]
    call(
        "check", "--no-config", "check", "r.json", *options, "--junit", "j.xml", "--summary", "s.md"
    )
    call("compare", "--no-config", "compare", "good.json", "r.json", "--markdown", "c.md")
    Path("s.md").unlink(missing_ok=True)


def damaged_configuration(data: bytes) -> None:
    Path("infoplane.toml").write_bytes(data)
    call("configuration", "check", "good.json")
    call("config check", "config", "check")
    call("config show", "config", "show", "--origin")


def any_rule(rule: str, use: str) -> None:
    Path("infoplane.toml").unlink(missing_ok=True)
    call("rule", "check", "good.json", "--require", rule, "--format", use)


@given(results_texts())
@settings(OPTIONS, max_examples=QUICK)
def test_damaged_results(data):
    damaged_results(data)


@given(configurations())
@settings(OPTIONS, max_examples=QUICK)
def test_damaged_configuration(data):
    damaged_configuration(data)


@given(rules, st.sampled_from(["text", "json"]))
@settings(OPTIONS, max_examples=QUICK)
def test_any_rule(rule, use):
    any_rule(rule, use)


@pytest.mark.slow
def test_many_of_each():
    """12,000 inputs, another seed than the quick tests."""
    codes.clear()
    many = settings(OPTIONS, derandomize=False, max_examples=LONG)
    many(given(results_texts())(damaged_results))()
    many(given(configurations())(damaged_configuration))()
    many(given(rules, st.sampled_from(["text", "json"]))(any_rule))()
    for (kind, code), count in sorted(codes.items()):
        print(f"{kind:14} exit {code:3}: {count:6,}")
    assert (
        sum(
            count
            for (kind, _), count in codes.items()
            if kind in ("check", "configuration", "rule")
        )
        >= 10_000
    )


@pytest.mark.slow
@given(results_texts())
@settings(OPTIONS, max_examples=200)
def test_damaged_results_are_plotted_or_refused(data):
    Path("r.json").write_bytes(data)
    call(
        "plot",
        "--no-config",
        "plot",
        "r.json",
        "-f",
        "plane",
        "-f",
        "steps",
        "--report",
        "r.html",
        "--dpi",
        "50",
    )
