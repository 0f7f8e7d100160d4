import re
from pathlib import Path

import pytest

from infoplane.cli.init import write_start
from infoplane.errors import RunFileError
from tests.conftest import infoplane_here as infoplane


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".git").mkdir()
    return tmp_path


def test_the_written_configuration_is_accepted(folder):
    done = infoplane("init")
    assert (done.code, done.out, done.err) == (0, "", "wrote infoplane.toml\n")
    assert not Path(".github").exists()
    checked = infoplane("config", "check")
    assert (checked.code, checked.out) == (0, "infoplane.toml: ok, 2 rules\n")


def test_every_setting_that_is_commented_out_is_accepted_too(folder):
    write_start(folder)
    path = Path("infoplane.toml")
    text = path.read_text()
    path.write_text(re.sub(r"^#(?=[\[\w])", "", text, flags=re.MULTILINE))
    assert path.read_text() != text
    checked = infoplane("config", "check")
    assert (checked.code, checked.out) == (0, "infoplane.toml: ok, 4 rules\n"), checked.err


def test_workflows_are_those_of_the_guide(folder):
    assert infoplane("init", "--github", "-q").err == ""
    shipped = Path(__file__).parents[2] / "infoplane" / "templates"
    for name in ("infoplane.yml", "infoplane-comment.yml"):
        assert (Path(".github/workflows") / name).read_bytes() == (shipped / name).read_bytes()


def test_no_file_is_replaced_or_written_beside_one_that_exists(folder):
    workflow = Path(".github/workflows/infoplane.yml")
    workflow.parent.mkdir(parents=True)
    workflow.write_text("mine")
    done = infoplane("init", "--github")
    assert done.code == 3
    assert "error[IP302]: .github/workflows/infoplane.yml: the file exists" in done.err
    assert workflow.read_text() == "mine"
    assert not Path("infoplane.toml").exists()
    assert infoplane("init", "--github", "--overwrite").code == 0
    assert workflow.read_text() != "mine"


def test_a_folder_in_the_place_of_a_file_is_named(folder):
    Path("infoplane.toml").mkdir()
    with pytest.raises(RunFileError, match="found a folder"):
        write_start(folder, overwrite=True)
