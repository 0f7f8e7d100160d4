"""The report: its text, and its behaviour in a browser."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from infoplane.errors import NotFoundError, RunFileError
from infoplane.plots.report.page import render_report, write_report
from infoplane.results.notebook import load
from infoplane.results.verdicts import VERDICTS, layer_verdicts
from tests.plots import synthetic
from tests.plots.browser import EXECUTABLE, Page, browser


class Checker(HTMLParser):
    """Collects ids, links and the nesting of elements."""

    void = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in ("href", "src", "xlink:href"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def small() -> dict[str, Any]:
    """Results of which a report is soon drawn."""
    return synthetic.results(n_layers=2, n_steps=5, n_seeds=1, estimators=("binning",))


@pytest.fixture(scope="module")
def pages(shapes: dict[str, dict[str, Any]]) -> dict[str, str]:
    names = ("five", "single", "one_checkpoint", "odd_names", "binning_only")
    return {name: render_report(shapes[name]) for name in names}


def test_the_page_refers_to_nothing_outside_itself(pages: dict[str, str]) -> None:
    for page in pages.values():
        checker = parsed(page)
        assert [i for i, n in Counter(checker.ids).items() if n > 1] == []
        for link in checker.links:
            assert link.startswith(("data:", "#"))
            assert not link.startswith("#") or link[1:] in checker.ids
        assert "default-src 'none'" in page
        assert not re.search(r"url\((?!#)", page)


def test_names_are_escaped(pages: dict[str, str]) -> None:
    page = pages["odd_names"]
    assert "<script>alert(1)</script>" not in page
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "$x_1$" in page


def test_sections_come_in_order(pages: dict[str, str]) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", pages["five"])
    assert headings == [
        "Information plane", "Compression by layer", "Over training",
        "Diffusion spectral entropy", "Information bottleneck bound", "Agreement of estimators",
        "Number of samples", "Compression and generalisation", "Diagnostics", "Gradient phases",
        "Warnings", "Provenance",
    ]  # fmt: skip
    assert "Diffusion spectral entropy" not in pages["binning_only"]


def test_the_caution_and_the_single_run_are_said(pages: dict[str, str]) -> None:
    for page in pages.values():
        assert "geometric compression" in page
    assert "<b>One run.</b>" in pages["single"]
    assert "<b>One run.</b>" not in pages["five"]


def test_the_table_holds_the_numbers_of_the_phases(
    pages: dict[str, str], shapes: dict[str, dict[str, Any]]
) -> None:
    phase = next(
        p
        for p in shapes["five"]["phases"]
        if (p["layer"], p["estimator"], p["quantity"]) == ("fc5", "compressed", "ixt")
    )
    row = re.search(r'<tr><th scope="row" title="fc5">fc5 \(64\)</th>.*?</tr>', pages["five"])
    assert row is not None
    assert f"{phase['peak']:.2f}" in row[0]
    assert f"{phase['change']:+.2f}".replace("-", "−") in row[0]
    assert f"{phase['onset_step']:,}" in row[0]
    assert "compresses</span> 3 of 3" in row[0]


def test_downloads_hold_the_data_of_the_figures(
    pages: dict[str, str], shapes: dict[str, dict[str, Any]]
) -> None:
    links = dict(re.findall(r'download="([^"]+)" href="data:[^,]+,([^"]+)"', pages["five"]))
    packed = gzip.decompress(base64.b64decode(links["curves.csv.gz"])).decode()
    curves = list(csv.DictReader(io.StringIO(packed)))
    assert len(curves) == len(shapes["five"]["rows"]) / 8
    verdicts = list(csv.DictReader(io.StringIO(unquote(links["phases.csv"]))))
    assert len(verdicts) == len(shapes["five"]["phases"])
    assert {row["verdict"] for row in verdicts} >= {"compresses", "saturated"}


def test_figures_have_text_alternatives(pages: dict[str, str]) -> None:
    for page in pages.values():
        figures = re.findall(r"<figure>.*?</figure>", page, flags=re.DOTALL)
        assert figures
        for figure in figures:
            assert '<title id="' in figure or ' alt="' in figure
        assert all(f"{m}" in page for m in re.findall(r'aria-labelledby="(\S+)', page))


def test_groups_get_sections_of_their_own() -> None:
    one = synthetic.results(n_layers=3, n_steps=8, n_seeds=2, group="relu", estimators=("binning",))
    two = synthetic.results(n_layers=3, n_steps=8, n_seeds=2, estimators=("binning",), seed=1)
    both = {
        **one,
        "recordings": one["recordings"] + two["recordings"],
        "rows": one["rows"] + two["rows"],
        "phases": one["phases"] + two["phases"],
    }
    page = render_report(both)
    assert "Information plane — relu</h2>" in page
    assert "Information plane — tanh</h2>" in page
    assert [i for i, n in Counter(parsed(page).ids).items() if n > 1] == []


def test_groups_stand_side_by_side_first(tmp_path: Path) -> None:
    other = synthetic.results(
        n_layers=3, n_steps=8, n_seeds=2, group="relu", estimators=("binning",), seed=1
    )
    one = synthetic.results(n_layers=3, n_steps=8, n_seeds=2, estimators=("binning",))
    for name, document in (("a.json", one), ("b.json", other)):
        (tmp_path / name).write_text(json.dumps(document))
    both = load(tmp_path / "a.json", tmp_path / "b.json")
    page = render_report(both)
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings[0] == "Groups of runs"
    row = re.search(r'<tr><th scope="row"><a href="#g1">relu</a></th>.*?</tr>', page)
    assert row is not None
    cells = re.findall(r'data-value="([^"]+)"', row[0])
    verdicts = layer_verdicts([p for p in both["phases"] if p["group"] == "relu"])
    words = Counter(v.verdict for v in verdicts.values())
    assert cells[: 2 + len(VERDICTS)] == ["2", "3", *(str(words[word]) for word in VERDICTS)]
    heads = re.findall(r"<th.*?</th>", page[page.index("<table") : page.index("</thead>")])
    assert len(heads) == len(cells) + 1 == len(VERDICTS) + 4
    # The contents have a line for each group, and each begins with a head that leads on.
    contents = re.search(r'<nav class="chapters" id="contents">.*?</nav>', page)
    assert contents is not None
    lines = contents[0].split("<div>")[2:]
    assert [re.findall(r"<b>(.*?)</b>", line) for line in lines] == [["tanh"], ["relu"]]
    assert all("Over training</a>" in line for line in lines)
    chapters = re.findall(r'<header class="chapter" id="(g\d)"><strong>(.*?)</strong>', page)
    assert chapters == [("g0", "tanh"), ("g1", "relu")]
    checker = parsed(page)
    assert {link[1:] for link in checker.links if link.startswith("#")} <= set(checker.ids)


def test_checks_are_listed_with_rule_status_and_source() -> None:
    check = {
        "name": "keeps <b>labels</b>",
        "rule": "last(ity, fc5) >= 2.8",
        "level": "error",
        "status": "unknown",
        "observed": None,
        "expected": ">= 2.8",
        "message": "fc5 is saturated",
        "source": "infoplane.toml:33",
    }
    page = render_report({**small(), "checks": [check, {**check, "status": "pass"}]})
    section = page[page.index('<section id="checks">') :]
    section = section[: section.index("</section>")]
    for text in ("keeps &lt;b&gt;", "last(ity, fc5) &gt;= 2.8", "infoplane.toml:33", "saturated"):
        assert text in section
    assert section.count('<span class="unknown">unknown</span>') == 1
    assert "<strong>1 / 2</strong><span>checks pass</span>" in page


def test_a_network_with_noise_of_its_own_needs_no_caution() -> None:
    noisy = [
        {**r, "layers": [{**layer, "noise": 0.1} for layer in r["layers"]]}
        for r in small()["recordings"]
    ]
    assert "Read with care" in render_report(small())
    assert "Read with care" not in render_report({**small(), "recordings": noisy})


def test_the_same_results_give_the_same_page(
    pages: dict[str, str], shapes: dict[str, dict[str, Any]]
) -> None:
    assert render_report(shapes["single"]) == pages["single"]


def test_a_report_without_rows_or_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="hold no rows"):
        render_report({**small(), "rows": []})
    with pytest.raises(RunFileError, match="cannot be written"):
        (tmp_path / "file").touch()
        write_report(small(), tmp_path / "file" / "report.html")


@pytest.mark.slow
def test_the_report_of_a_large_network_stays_small() -> None:
    names = [f"backbone.layer{i // 15}.{i % 15}.conv" for i in range(60)]
    large = synthetic.sampled(synthetic.results(names=names, n_steps=100, n_seeds=8))
    assert len(render_report(large, baseline=large)) < 2_000_000


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    if EXECUTABLE is None:
        if os.environ.get("INFOPLANE_REQUIRE_BROWSER"):
            pytest.fail("no chromium on the path, and INFOPLANE_REQUIRE_BROWSER is set")
        pytest.skip("no chromium on the path")
    with browser() as page:
        yield page


@pytest.fixture
def report(pages: dict[str, str], tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(pages["odd_names"], encoding="utf-8")
    return path


def test_a_browser_makes_no_request_and_reports_no_error(tab: Page, report: Path) -> None:
    tab.open(report)
    requested = [
        e["params"]["request"]["url"]
        for e in tab.events
        if e.get("method") == "Network.requestWillBeSent"
    ]
    assert [u for u in requested if not u.startswith(("file:", "data:"))] == []
    wrong = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert [e for e in tab.events if e.get("method") in wrong] == []
    assert tab.run("[...document.images].filter(i => !i.complete || !i.naturalWidth).length") == 0
    assert tab.run("document.querySelectorAll('figure').length") >= 5


@pytest.mark.parametrize("width", [1100, 390])
def test_the_page_does_not_overflow_sideways(tab: Page, report: Path, width: int) -> None:
    tab.open(report, width)
    assert tab.run("document.documentElement.scrollWidth") <= width


BOXES = """[...document.querySelectorAll('h1, h2, nav, p, figure, details, table')]
    .filter(e => e.offsetParent && !e.parentElement.closest('figure, details, table'))
    .map(e => [e, e.getBoundingClientRect()]).filter(([e, r]) => r.width && r.height)
    .map(([e, r]) => [e.tagName, r.left, r.top, r.right, r.bottom])"""
"""What stands on the page: name, left, top, right and bottom of each."""


def test_the_report_of_sixty_layers_is_in_order_wide_and_narrow(tab: Page, tmp_path: Path) -> None:
    names = [f"transformer.h.{i // 2}.{('attn', 'mlp')[i % 2]}" for i in range(60)]
    large = synthetic.results(
        names=names, n_seeds=1, n_steps=3, saturated_layers=20, estimators=("binning", "dse")
    )
    path = tmp_path / "large.html"
    path.write_text(render_report(large), encoding="utf-8")
    for width in (1200, 390):
        tab.open(path, width)
        assert tab.run("document.documentElement.scrollWidth") <= width
        boxes = tab.run(BOXES)
        assert sum(name == "FIGURE" for name, *_ in boxes) >= 5
        for name, left, _, right, _ in boxes:
            wide = name == "TABLE"  # it scrolls within its frame
            assert left >= 0, (name, width)
            assert right <= width or wide, (name, width)
        for (name, left, top, right, bottom), (other, *box) in combinations(boxes, 2):
            apart = left >= box[2] or box[0] >= right or top >= box[3] or box[1] >= bottom
            assert apart or abs(bottom - box[1]) < 1, (name, other, width)
        height = tab.run("document.documentElement.scrollHeight")
        assert height < 12_000, width


def test_tables_sort_up_down_and_back(tab: Page, pages: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(pages["binning_only"], encoding="utf-8")
    tab.open(path)
    tab.run(
        "window.head = [...document.querySelectorAll('th')].find(h => h.textContent === 'Change');"
        "window.names = () => [...head.closest('table').tBodies[0].rows]"
        ".map(r => r.cells[0].textContent.slice(0, 3)).join(' ')"
    )
    click = "head.querySelector('button').click(); [head.getAttribute('aria-sort'), names()]"
    # the changes fall from fc2 to fc5; fc1 is saturated and has none, so it stays last
    assert tab.run(click) == ["ascending", "fc5 fc4 fc3 fc2 fc1"]
    assert tab.run(click) == ["descending", "fc2 fc3 fc4 fc5 fc1"]
    assert tab.run(click) == [None, "fc1 fc2 fc3 fc4 fc5"]


def test_an_injected_script_does_not_run(tab: Page, report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    report.write_text(
        page.replace("</main>", "<script>window.owned = 1</script><img src=x onerror='owned=1'>"),
        encoding="utf-8",
    )
    tab.open(report)
    assert tab.run("window.owned === undefined") is True


def test_the_page_prints(tab: Page, report: Path) -> None:
    tab.open(report)
    pdf = base64.b64decode(tab.call("Page.printToPDF")["data"])
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000


def test_dark_mode_changes_the_ground_but_not_the_figures(tab: Page, report: Path) -> None:
    colours = (
        "['body', 'figure'].map(s => getComputedStyle(document.querySelector(s)).backgroundColor)"
    )
    tab.open(report)
    light = tab.run(colours)
    tab.call(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )
    dark = tab.run(colours)
    tab.call("Emulation.setEmulatedMedia", features=[])
    assert light == ["rgb(255, 255, 255)", "rgb(255, 255, 255)"]
    assert dark == ["rgb(13, 17, 23)", "rgb(255, 255, 255)"]


def test_noise_that_was_added_is_told_with_its_size(pages: dict[str, str]) -> None:
    results = small()
    assert "T + noise" not in pages["binning_only"]
    diag = {"noise_source": "added", "noise": 0.0512}
    rows = [{**row, "diag": {**row["diag"], **diag}} for row in results["rows"]]
    assert "I(X; T + noise): Gaussian noise of standard deviation σ = 0.0512 is" in render_report(
        {**results, "rows": rows}
    )
