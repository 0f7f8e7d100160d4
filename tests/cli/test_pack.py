from pathlib import Path

import pytest

from tests.cli.analyses import rows_of
from tests.conftest import infoplane_here as infoplane


def test_packed_run_is_analyzed_to_the_same_numbers(runs):
    done = infoplane("pack", "net-s0", "s0.h5")
    assert done.code == 0
    assert "packed 3 steps x 2 layers of net-s0 in s0.h5" in done.out
    for run, results in (("net-s0", "folder.json"), ("s0.h5", "packed.json")):
        assert infoplane("analyze", run, "-o", results, "--no-cache").code == 0
    assert rows_of("packed.json") == rows_of("folder.json")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing", "x.h5"], 3, "missing: no such run"),
        (["net-s0", "exists.h5"], 3, "exists.h5: the file exists"),
        (["exists.h5", "x.h5"], 3, "exists.h5: expected a run folder, or a run packed into one"),
        (["net-s0", "net-s0/x.h5"], 2, "outside the run's folder"),
        (["net-s0", "nowhere/x.h5"], 3, "nowhere/x.h5: cannot be written"),
        (["net-s0"], 2, "Missing argument"),
    ],
)
def test_bad_input(runs, arguments, code, message):
    Path("exists.h5").write_text("{}")
    done = infoplane("pack", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert not Path("x.h5").exists()
