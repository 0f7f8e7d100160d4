"""The commands of docs/regression.md, as printed."""

import json
import math
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from tests.conftest import as_in_a_new_process, infoplane_here

PAGE = Path(__file__).parent.parent / "docs" / "regression.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    for kind, text in BLOCKS:
        if kind == "python":
            (folder / re.match(r"# (\w+\.py)\n", text)[1]).write_text(text)
    return folder, [_run(line, folder) for line in COMMANDS]


def _run(line, folder):
    program, *arguments = shlex.split(line)
    if program == "infoplane":
        more = ["-j", "1"] if arguments[0] == "analyze" else []
        done = infoplane_here(*arguments, *more, cwd=folder)
        assert done.code == 0, line + done.out + done.err
        return done
    with as_in_a_new_process(folder, {}):
        sys.path.insert(0, str(folder))
        runpy.run_path(arguments[0])
    return None


def test_every_command_of_the_page_works_as_printed(said):
    folder, done = said
    assert (folder / "figures" / "plane.png").stat().st_size > 1000
    table = done[COMMANDS.index(next(c for c in COMMANDS if "-e ksg" in c))].out
    assert "Y of 1 real target" in table
    assert re.search(r"I\(T;Y\) +ksg +probe", table)
    assert "of classes of the real targets, a lower bound" in " ".join(table.split())


def test_information_on_real_targets_stands_beside_each_other(said):
    results = json.loads((said[0] / "results.json").read_text())
    last = {
        (row["estimator"].partition(":")[0], row["quantity"]): row
        for row in results["rows"]
        if row["step"] == 30 and row["layer"] == "2"
    }
    truth = 0.5 * math.log2(0.722 / 0.04)  # variance of Y over that of its noise, if normal
    classes, counts = last["compressed", "ity"], last["ksg", "ity"]
    assert "classes_of_targets" in classes["flags"]
    assert classes["setting"].endswith("10 classes of Y")
    assert 0.6 < classes["bound_low"] <= classes["bound_high"] < truth
    assert counts["value"] == pytest.approx(truth, abs=0.3)
    assert 1.0 < last["probe", "ity_normal"]["ci_low"] < counts["ci_high"]
    assert ("compressed", "ixt_given_y") not in last


def test_settings_with_classes_are_repeated_exactly(said):
    found = [
        json.loads((said[0] / name).read_text()) for name in ("classes.json", "classes-again.json")
    ]
    first, again = ([(r["layer"], r["value"]) for r in one["rows"]] for one in found)
    assert first == again
    assert found[1]["config"]["analyze"]["label_bins"] == 4
    assert found[0]["recordings"][0]["h_y"] == pytest.approx(2.0)
