"""What a mistake is answered with: where, what was expected, and what to do."""

from pathlib import Path

import pytest

from infoplane.cli.main import run
from tests.cli.analyses import write_run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".git").mkdir()


def call(capsys, *arguments):
    code = int(run(list(arguments)))
    out, err = capsys.readouterr()
    assert out == ""
    return code, err


def test_misspelt_command_is_answered_with_the_nearest_one(capsys):
    code, err = call(capsys, "analyse")
    assert code == 2
    assert err.endswith("Error: No such command 'analyse'. Did you mean 'analyze'?\n")
    assert call(capsys, "qwerty")[1].endswith("Error: No such command 'qwerty'.\n")


def test_bad_value_of_a_variable_names_the_variable(capsys, monkeypatch):
    assert "environment" not in call(capsys, "analyze", "x", "-j", "two")[1]
    monkeypatch.setenv("INFOPLANE_ANALYZE_JOBS", "two")
    code, err = call(capsys, "analyze", "x")
    assert code == 2
    assert "'two' is not a valid integer.\n" in err
    assert err.endswith("environment variable INFOPLANE_ANALYZE_JOBS.\n")


@pytest.mark.parametrize("command", [("check", "--require", "runs() > 0"), ("plot",), ("export",)])
def test_a_run_in_the_place_of_results(command, capsys):
    write_run("run", n=60, steps=(0,))
    Path("packed.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    rest = ("--to", "csv", "-o", "t.csv") if command == ("export",) else ()
    code, err = call(capsys, *command, "run", *rest)
    assert code == 3
    assert err == (
        "error[IP303]: run: expected a results document, found a folder\n"
        "  hint: of a run, results are made by: infoplane analyze run -o results.json\n"
    )
    code, err = call(capsys, *command, "packed.h5", *rest)
    assert code == 3
    assert err.startswith("error[IP303]: packed.h5: expected a results document, found binary data")


def test_no_hint_asks_a_package_index_for_infoplane():
    """There is none that has it: what a name there would be is another project's."""
    root = Path(__file__).parents[2]
    for path in [
        *root.glob("infoplane/**/*.py"),
        *root.glob("cli/*.py"),
        *root.glob("docs/**/*.md"),
    ]:
        text = path.read_text(encoding="utf-8")
        for word in ("pip install infoplane", "pip install 'infoplane", "--upgrade infoplane"):
            assert word not in text, (path, word)
