"""The code blocks of the documentation: each is run by a test, or has a reason why not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
HERE = {"quick-start.md", "python-api.md", "estimators/compressed.md", "estimators/dse.md"}
ELSEWHERE = {
    "artifacts-and-probes.md": "test_artifacts_page.py",
    "plugins.md": "test_plugins.py",
    "recording.md": "recording/test_docs.py",
}
NOT_RUN = {
    "figures-and-report.md": "draws figures of results that a reader has; plots/ tests the calls",
    "scaling.md": "needs a cluster; cli/test_executors.py runs both executors on this machine",
    "validate.md": "takes a minute; validation/test_like.py tests what it does",
}


def blocks(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    return re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_every_page_with_code_is_run_or_has_a_reason():
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert {name for name in pages if blocks(name)} == HERE | ELSEWHERE.keys() | NOT_RUN.keys()
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / "tests" / test).read_text(), test


def test_links_of_all_pages_lead_somewhere():
    for path in (ROOT / "docs").rglob("*.md"):
        text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            target = link.partition("#")[0]
            assert link.startswith("https://") or (path.parent / target).exists(), (path, link)


def test_quick_start_runs_as_printed(tmp_path):
    [(_, program), (_, commands)] = blocks("quick-start.md")
    (tmp_path / "train.py").write_text(program)
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + 5 * 2 * 3


@pytest.mark.parametrize("page", sorted(HERE - {"quick-start.md"}))
def test_python_runs_as_printed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    given = {
        "activations": labels[:, None] + rng.normal(size=(200, 4)),
        "labels": labels,
    }
    for _, text in blocks(page):
        exec(text, given)
