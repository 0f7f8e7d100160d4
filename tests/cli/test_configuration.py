from pathlib import Path

import pytest

from infoplane.cli.configuration import find_configuration, read_configuration, require_version
from infoplane.errors import InputError

TEXT = """required-version = ">=0.1"
[analyze]  # a comment with [brackets]
estimators = [
  "binning",  # ]
]
text = '''
[not.a.table]
seed = 1
'''
steps = "a # no comment"

[estimator."my.own"]
"max samples" = 3
[[check]]
rule = "last(ity, fc[345]) >= 2"

[[check]]
name = "x"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    return tmp_path


def test_every_key_has_its_line(folder):
    Path("infoplane.toml").write_text(TEXT)
    configuration = read_configuration(Path("infoplane.toml"))
    lines = TEXT.splitlines()
    for key, start in {
        ("required-version",): "required-version",
        ("analyze",): "[analyze]",
        ("analyze", "estimators"): "estimators",
        ("analyze", "text"): "text",
        ("analyze", "steps"): "steps",
        ("estimator", "my.own", "max samples"): '"max samples"',
        ("check", 0, "rule"): "rule",
        ("check", 1, "name"): "name",
    }.items():
        assert lines[configuration.line(*key) - 1].startswith(start), key
    assert configuration.where("check", 1, "name") == "infoplane.toml:18"
    assert configuration.line("check", 1, "no such key") == 17  # the table around it


@pytest.mark.parametrize(
    "value",
    [
        "1",
        '"a = [ # "',
        r'"\" = [ \\"',
        r"'\'",
        "''",
        '""',
        '""""""',
        "''''''",
        r'"""' + '\n[a]\nb = 1 ""\n' + r'\""" \\"""',
        '"""a"""""',
        "'''\n\\'''",
        "'''a'''''",
        '[ # [ "\n  \'[\', "]", \n\n [\n1, 2], # ]\n]',
        "{ a = { b = '}' }, c = [\n] } # {",
        "2024-01-02 03:04:05",
        "[" + "1,\n" * 30_000 + "]",
        "'''" + "a [ \n" * 30_000 + "'''",
        '"""' + 'a "" \\\\ [ \n\n' * 30_000 + '"""',
    ],
)
@pytest.mark.parametrize("key", ["x-1", "'='", '"[#="', "a.'='.\"]\""])
def test_the_line_after_any_value(folder, key, value):
    text = f"# = [\n\n  {key} = {value}  # a = 'b\n\n[ t.'=]' ] # [\n{key}={value}\nlast = 1\n"
    Path("infoplane.toml").write_text(text)
    configuration = read_configuration(Path("infoplane.toml"))
    n = value.count("\n")
    assert configuration.line("a" if key.startswith("a.") else key.strip("'\"")) == 3
    assert configuration.line("t", "=]") == 5 + n
    assert configuration.line("t", "=]", "last") == 7 + 2 * n


def test_pyproject_counts_only_with_our_table(folder):
    Path("pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert find_configuration(folder) is None
    Path("pyproject.toml").write_text("[tool.infoplane.analyze]\nseed = 3\n")
    path = find_configuration(folder)
    assert path == folder / "pyproject.toml"
    configuration = read_configuration(path)
    assert configuration.subtable("analyze") == {"seed": 3}
    assert configuration.where("analyze", "seed") == "pyproject.toml:2"


def test_the_nearest_file_counts_up_to_the_root_of_the_repository(folder):
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    (folder / "infoplane.toml").write_text("quiet = 1\n")
    assert find_configuration(inner) == folder / "infoplane.toml"
    (folder / "a" / ".infoplane.toml").write_text("")
    assert find_configuration(inner) == folder / "a" / ".infoplane.toml"
    (inner / ".git").mkdir()
    assert find_configuration(inner) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = \n", "infoplane.toml:2: not valid TOML"),
        ("a = 1\na = 2\n", "infoplane.toml:2: not valid TOML"),
        ("a = " + "[" * 5000, "not valid TOML"),
    ],
)
def test_what_is_no_toml_is_named_with_its_line(folder, text, message):
    Path("infoplane.toml").write_text(text)
    with pytest.raises(InputError, match="infoplane.toml") as raised:
        read_configuration(Path("infoplane.toml"))
    assert raised.value.code == "IP105"
    assert message in str(raised.value)


def test_files_that_cannot_be_read(folder):
    Path("infoplane.toml").write_bytes(b"\xff\xfe")
    for path in ("infoplane.toml", "none.toml"):
        with pytest.raises(InputError, match="cannot be read"):
            read_configuration(Path(path))


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        (">=0.1,<1", True),
        ("== 0.1.0", True),
        ("==0.1", True),
        (">0.1", False),
        ("!=0.2", True),
        (">=0.10", False),
        ("<0.1.1", True),
    ],
)
def test_required_version(folder, wanted, holds):
    Path("infoplane.toml").write_text(f'required-version = "{wanted}"\n')
    configuration = read_configuration(Path("infoplane.toml"))
    if holds:
        require_version(configuration, "0.1.0")
    else:
        with pytest.raises(InputError, match="infoplane.toml:1: expected infoplane") as raised:
            require_version(configuration, "0.1.0")
        assert raised.value.code == "IP107"


@pytest.mark.parametrize("wanted", ['"latest"', '""', '">=1.x"', "3", '"~=1.0"'])
def test_required_version_that_is_no_comparison(folder, wanted):
    Path("infoplane.toml").write_text(f"required-version = {wanted}\n")
    with pytest.raises(InputError, match="expected comparisons") as raised:
        require_version(read_configuration(Path("infoplane.toml")), "0.1.0")
    assert raised.value.code == "IP106"
