"""Names in recorded files are text, wherever they are shown: never markup, never a command."""

import json
import re
from pathlib import Path

import pytest

from infoplane.cli.main import run
from tests.cli.analyses import write_run

NAMES = (
    "fc1<script>alert(1)</script>",
    "[bold red]x[/]",
    "::error::x",
    "$\\frac{1}{$",
    "a\x1b[31mred\x07",
    "two\nlines\r\n::set-output name=x::y",
    "../../etc/passwd",
    "bell \u202e right to left",
    "`@you` | ![i](http://x) #1",
)


@pytest.fixture
def analyzed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path(".git").mkdir()
    write_run("hostile", n=60, steps=(0, 10), layers=NAMES)
    assert run(["analyze", "hostile", "-e", "binning", "-j", "1", "-o", "r.json"]) == 0
    return capsys.readouterr()


def _safe(text):
    assert all(char == "\n" or char.isprintable() for char in text), repr(text)
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in text


def test_analyze_shows_them_as_text_and_writes_them_as_they_are(analyzed):
    _safe(analyzed.out + analyzed.err)
    assert "two\\nlines" in analyzed.out
    assert "[bold red]x[/]" in analyzed.out
    assert {row["layer"] for row in json.loads(Path("r.json").read_text())["rows"]} == set(NAMES)


def test_check_and_compare_show_them_as_text(analyzed, capsys):
    options = ["--junit", "c.xml", "--summary", "s.md"]
    assert run(["check", "r.json", "--require", "last(ixt) < 0", *options]) == 1
    assert run(["check", "r.json", "--require", "last(ixt, 'nope\x1b') < 0"]) == 1
    assert run(["compare", "r.json", "r.json", "--tolerance", "0", "--markdown", "m.md"]) == 0
    out, err = capsys.readouterr()
    _safe(out + err)
    for name in ("c.xml", "s.md", "m.md"):
        text = Path(name).read_text()
        _safe(text)
        outside = re.sub(r"(`+).*?\1", "", text) if name != "c.xml" else text
        assert "<script>" not in outside
        assert "@you" not in outside or name == "c.xml"


def test_plot_writes_figures_and_a_page_without_their_markup(analyzed, capsys):
    assert run(["plot", "r.json", "-f", "plane", "--dpi", "50", "--report", "r.html"]) == 0
    out, err = capsys.readouterr()
    _safe(out + err)
    page = Path("r.html").read_text()
    assert "<script>alert" not in page
    assert "\x1b" not in page
