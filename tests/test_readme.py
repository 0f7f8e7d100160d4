"""The commands of the README, as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from infoplane.estimators.registry import BUILT_IN
from tests.conftest import QUICK

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SETS_UP = ("make ", "python3 -m pip install")  # .ci/run runs these


def test_readme_names_every_command_and_the_guide_every_estimator():
    from infoplane.cli.main import _COMMANDS

    for section in _COMMANDS.values():
        for command in section:
            assert f"infoplane {command}" in README, command
    guide = (Path(__file__).parent.parent / "docs/estimators/README.md").read_text(encoding="utf-8")
    for name in BUILT_IN:
        assert re.search(rf"^\| \[?`{name}`", guide, re.MULTILINE), name


def test_no_placeholder_is_left():
    assert not re.search(r"\b[A-Z]+_[A-Z_]+\b", README.replace("GITHUB_", ""))


def test_links_lead_somewhere():
    root = Path(__file__).parent.parent
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    for link in links:
        assert link.startswith("https://") or (root / link).exists(), link


def test_commands_run_in_the_order_of_the_page(tmp_path):
    ran = []
    (tmp_path / "infoplane.toml").write_text(QUICK)
    for language, text in BLOCKS:
        first = re.match(r"# (\w+\.py)\n", text)
        if language == "python":
            assert first, f"python block without a file name: {text[:60]}"
            (tmp_path / first[1]).write_text(text)
        if language == "sh" and not text.startswith(SETS_UP):
            _bash(text, tmp_path)
            ran += text.splitlines()
    assert len(ran) >= 6
    for name in ("results.json", "report.html", "figures/plane.png", "loop.json"):
        assert (tmp_path / name).stat().st_size > 1000, name


def _bash(script: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, script + done.stdout + done.stderr
