"""The plug-in of docs/plugins.md, installed as an entry point and used as the page says."""

import os
import re
from pathlib import Path

import pytest

from tests.cli.test_analyze import write_run
from tests.conftest import infoplane_here as infoplane

PAGE = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    found = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    plugin, *further = [text for kind, text in found if kind == "python"]
    for text in further:
        exec(text, {})
    blocks = dict(found)
    (tmp_path / "argmax_information.py").write_text(plugin)
    about = tmp_path / "argmax_information-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: argmax-information\nVersion: 1\n")
    (name,) = re.findall(r'^(argmax) = "(.*)"$', blocks["toml"], re.MULTILINE)
    (about / "entry_points.txt").write_text(f"[infoplane.estimators]\n{name[0]} = {name[1]}\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.chdir(tmp_path)
    write_run("runs/s0")
    return [line.split()[1:] for line in blocks["sh"].splitlines()]


def test_commands_of_the_page(installed):
    describe, analyze, validate = (infoplane(*arguments) for arguments in installed)
    assert describe.code == 0
    assert "ignore=0" in describe.out
    assert analyze.code == 0
    assert '"argmax:ignore=1"' in Path("argmax.json").read_text()
    assert validate.code == 1  # as the page says
    assert "SILENT-FAIL" in validate.out
    assert "ERROR" not in re.findall(
        r"  (PASS|KNOWN-LIMIT|SILENT-FAIL|ERROR)(?:  |$)", validate.out
    )
    assert "argmax" in infoplane("estimators").out
