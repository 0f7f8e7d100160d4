import json

import pytest

from tests.conftest import infoplane_here as infoplane


def test_json_has_truth_estimate_interval_flags_and_status():
    done = infoplane("validate", "-e", "exact", "-n", "400", "--format", "json")
    document = json.loads(done.out)
    assert document["schema"] == "infoplane.validation/1"
    assert {finding["status"] for finding in document["findings"]} <= {"PASS", "KNOWN-LIMIT"}
    by_case = {(f["case"], f["quantity"]): f for f in document["findings"]}
    channel = by_case["discrete channel", "ity"]
    assert channel["truth"] == pytest.approx(2 - 0.811278 - 0.25 * 1.584963, abs=1e-5)
    assert channel["low"] <= channel["truth"] <= channel["high"]
    assert channel["covers"] is True
    assert done.code == 0
    assert document["summary"]["exact"]["silent_fail"] == 0


def test_wrong_without_a_flag_is_exit_1(monkeypatch):
    # 2 bins of a fixed range see nothing of classes beyond it.
    done = infoplane("validate", "-e", "binning:bins=2,permutations=0", "-n", "400")
    assert done.code == 1
    assert "SILENT-FAIL" in done.out
    assert "3 classes, 2 units" in done.out


def test_table_fits_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = infoplane("validate", "-e", "exact", "-n", "400", "-q")
    assert max(map(len, done.out.splitlines())) <= 80
    assert "a lower bound (probe) is judged from one side only" in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-e", "bining"], "did you mean 'binning'?"),
        (["-n", "10"], "--samples"),
        (["-j", "0"], "--jobs"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_bad_options_are_one_line(arguments, message):
    done = infoplane("validate", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
