"""The commands of the README, as printed."""

import re
from pathlib import Path

from infoplane.estimators.registry import BUILT_IN
from tests.conftest import QUICK
from tests.pages import as_printed, blocks

PAGE = Path(__file__).parent.parent / "README.md"
README, BLOCKS = PAGE.read_text(encoding="utf-8"), blocks(PAGE)
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
            as_printed(text, tmp_path)
            ran += text.splitlines()
    assert len(ran) >= 6
    for name in ("results.json", "report.html", "figures/plane.png", "loop.json"):
        assert (tmp_path / name).stat().st_size > 1000, name
