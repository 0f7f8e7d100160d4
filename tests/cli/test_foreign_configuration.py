"""A configuration of another user: refused where it is found, read in part where it is named."""

import os
from pathlib import Path

import pytest

from infoplane import owners
from infoplane.cli import configuration
from infoplane.cli.configuration import find_configuration
from tests.conftest import infoplane_here as infoplane

CODE = {
    "model": ('[record]\nmodel = "{0}"\n', "record"),
    "data": ('[record]\ndata = "{0}"\n', "record"),
    "splits": ('[record]\nsplits = ["test={0}"]\n', "record"),
    "split": ('[record]\nsplit = "test={0}"\n', "record"),
    "trust_model": ("[record]\ntrust_model = true\n", "record"),
    "trust-model": ("[record]\ntrust-model = true\n", "record"),
    "dask": ('[analyze]\nexecutor = "dask=tcp://127.0.0.1:9"\n', "analyze"),
    "estimators": ('[analyze]\nestimators = ["{0}"]\n', "analyze"),
    "estimator table": ('[estimator."{0}"]\nk = 1\n', "analyze"),
}
ARGUMENTS = {
    "record": ["record", "--checkpoints", "*.pt", "-o", "out"],
    "analyze": ["analyze", "missing", "-n"],
}


@pytest.fixture
def inner(tmp_path, monkeypatch):
    """A working folder two levels below one of a stranger."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def foreign(monkeypatch):
    """Let every file belong to a stranger, as far as the commands can see."""
    monkeypatch.setattr(owners, "_trusted_owners", lambda: frozenset({987654}))


@pytest.mark.parametrize("name", ["infoplane.toml", ".infoplane.toml", "pyproject.toml"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_one_of_another_user_is_refused(inner, foreign, name, depth):
    table = "[tool.infoplane.check-options]\n" if name == "pyproject.toml" else "[check-options]\n"
    place = [inner, *inner.parents][depth] / name
    place.write_text(f'{table}junit = "{inner}/bashrc"\n')
    done = infoplane("check", "r.json")
    assert done.code == 2
    assert f"error[IP113]: {place}: expected a configuration of this user" in done.err
    assert "--no-config" in done.err
    assert f"-c {place}" in done.err
    assert infoplane("--no-config", "check", "r.json").code == 3  # there is no r.json


def test_links_count_like_what_they_lead_to(inner, tmp_path, monkeypatch):
    own = tmp_path / "own.toml"
    own.write_text("")
    (inner / "infoplane.toml").symlink_to(own)
    uid = own.stat().st_uid
    monkeypatch.setattr(owners, "_trusted_owners", lambda: frozenset({uid}))
    assert owners.stranger(inner / "infoplane.toml") is None
    real = os.lstat(inner / "infoplane.toml")
    planted = os.stat_result((*real[:4], 987654, *real[5:10]))
    monkeypatch.setattr(Path, "lstat", lambda self: planted)
    assert owners.stranger(inner / "infoplane.toml") == "user 987654"


@pytest.mark.parametrize("text", ["[project]\nname='x'\n", "infoplane = [", "\xff infoplane"])
def test_a_pyproject_of_another_user_without_our_table_is_passed_over(inner, foreign, text):
    (inner.parent / "pyproject.toml").write_text(text, encoding="latin-1")
    assert find_configuration(inner) is None


@pytest.mark.parametrize("what", CODE)
@pytest.mark.parametrize("value", ["evil.py:build", "evil:build"])
def test_code_is_not_taken_from_one_that_is_named(inner, foreign, what, value):
    text, command = CODE[what]
    if command == "analyze" and ".py" not in value and "{0}" in text:
        value = "evil.py:Class"
    Path("evil.py").write_text("open('executed', 'w')\n")
    Path("team.toml").write_text(text.format(value))
    done = infoplane("-c", "team.toml", *ARGUMENTS[command])
    assert (done.code, "IP113" in done.err) == (2, True), done.err
    assert "team.toml:" in done.err
    assert not Path("executed").exists()


def test_settings_are_taken_from_one_that_is_named(inner, foreign):
    Path("team.toml").write_text('[analyze]\nseed = 7\nexecutor = "processes"\n')
    done = infoplane("-c", "team.toml", "config", "show", "analyze")
    assert (done.code, done.err) == (0, "")
    assert " 7" in done.out


@pytest.mark.parametrize("trusted", ["{0}", "{0}/a", "elsewhere:{0}", "*"])
def test_folders_may_be_trusted(inner, foreign, monkeypatch, trusted):
    (inner / "infoplane.toml").write_text('[analyze]\nexecutor = "dask"\n')
    named = trusted.format(inner.parent.parent).replace(":", os.pathsep)
    monkeypatch.setenv("INFOPLANE_TRUST", named)
    assert infoplane("config", "show").code == 0
    monkeypatch.setenv("INFOPLANE_TRUST", str(inner / "c"))
    assert infoplane("config", "show").code == 2


@pytest.mark.parametrize(
    ("user", "sudo", "trusted"),
    [(0, None, {0}), (1000, None, {0, 1000}), (0, "1000", {0, 1000}), (1000, "5", {0, 1000}),
     (0, "x", {0}), (0, "", {0}), (0, "9" * 5000, {0})],
)  # fmt: skip
def test_trusted_users(monkeypatch, user, sudo, trusted):
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    monkeypatch.delenv("SUDO_UID", raising=False)
    if sudo is not None:
        monkeypatch.setenv("SUDO_UID", sudo)
    assert owners._trusted_owners() == trusted


def test_where_there_are_no_user_ids_all_files_are_trusted(inner, monkeypatch):
    monkeypatch.delattr(os, "geteuid", raising=False)
    assert owners.stranger(inner) is None
    assert owners.writers(inner) is None


def test_the_search_stops_at_home(inner, monkeypatch):
    (inner.parent.parent / "infoplane.toml").write_text("")
    assert find_configuration(inner) is not None
    monkeypatch.setenv("HOME", str(inner.parent))
    monkeypatch.setenv("USERPROFILE", str(inner.parent))
    assert find_configuration(inner) is None
    (inner.parent / "infoplane.toml").write_text("")
    assert find_configuration(inner) == inner.parent / "infoplane.toml"


def test_the_search_stops_at_the_file_system(inner, monkeypatch):
    (inner.parent / "infoplane.toml").write_text("")
    status = configuration._status

    def mounted(path):
        found = status(path)
        if found is None or path.is_relative_to(inner):
            return found
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:10]))

    monkeypatch.setattr(configuration, "_status", mounted)
    assert find_configuration(inner) is None


@pytest.mark.parametrize(("flags", "told"), [((), True), (("-q",), False), (("-v",), True)])
def test_a_file_of_another_folder_is_named(inner, flags, told):
    place = inner.parent / "infoplane.toml"
    place.write_text("")
    for arguments in ((*flags, "config", "show"), ("config", "show", *flags)):
        assert (f"configuration: {place}\n" in infoplane(*arguments).err) is told
    place.rename(inner / "infoplane.toml")
    assert "configuration" not in infoplane("config", "show").err
    assert "configuration" not in infoplane("-c", "infoplane.toml", "config", "show").err


@pytest.mark.parametrize(
    ("wanted", "code"),
    [(">=" + "1" * 5000, 2), ("<" + "1" * 5000, 0), ("!=0.1." + "9" * 5000, 0),
     (">=" + "0" * 5000, 0), (f"=={'0' * 5000}.1", 0), (">0.1." + "0" * 5000, 2), ("x" * 5000, 2)],
)  # fmt: skip
def test_versions_of_any_length_compare(inner, wanted, code):
    Path("infoplane.toml").write_text(f'required-version = "{wanted}"\n')
    done = infoplane("config", "show")
    assert done.code == code, done.err
    assert len(done.err) < 500


def test_a_byte_order_mark_is_no_part_of_the_file(inner):
    Path("infoplane.toml").write_bytes(b"\xef\xbb\xbf[analyze]\nseed = 1\n")
    assert infoplane("config", "check").code == 0


def test_a_file_without_end_is_refused(inner):
    with Path("infoplane.toml").open("wb") as file:
        file.truncate(10**10)
    assert "IP105" in infoplane("config", "check").err
