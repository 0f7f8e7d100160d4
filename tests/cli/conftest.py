import pytest

from tests.cli.analyses import write_run


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run("net-s0")
    write_run("net-s1", seed=1)
    return tmp_path
