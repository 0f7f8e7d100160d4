import importlib

import pytest

import infoplane


@pytest.mark.parametrize("name", infoplane.__all__)
def test_public_name_resolves_and_is_documented(name):
    found = getattr(infoplane, name)
    if callable(found):
        assert found.__doc__, name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        infoplane.nonsense  # noqa: B018


def test_importing_the_package_loads_nothing_else():
    import subprocess
    import sys

    code = "import infoplane, sys; sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_commands_and_sample_runs_are_installed_as_sub_packages():
    for name in ("infoplane.cli.main", "infoplane.sample_runs.twelve_bit.model"):
        assert importlib.import_module(name)
