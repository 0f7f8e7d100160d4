"""Input that would take all time or memory, or look like what it is not."""

import csv
import gzip
import io
import json
import re
import struct
import time
import zipfile
from collections import OrderedDict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infoplane.errors import DataError, RunFileError
from infoplane.patterns import matches
from infoplane.recording.checkpoints.archives import archive_members
from infoplane.recording.checkpoints.pickles import read_pickle
from infoplane.recording.checkpoints.read import load_weights
from infoplane.recording.manifest import without_secrets
from infoplane.results.export import _as_text
from infoplane.results.file import read_results
from infoplane.text import as_csv, printable, shown


@pytest.mark.parametrize(
    "part", ["*a", "**a", "*", "**", "***", "?*", "*?*", "a*", "[ab]*", "*.", "**."]
)
@pytest.mark.parametrize("letters", ["a", "a.", "ab", "."])
def test_globs_end(part, letters):
    start = time.process_time()
    for name, count in ((letters * 2000, 30), (letters * 30, 2000)):
        matches(name, part * count + "c")
    assert time.process_time() - start < 5


def by_definition(name, pattern):
    """Match without stars that are joined, by trying everything."""
    if not pattern:
        return not name
    if pattern.startswith("**"):
        return any(by_definition(name[i:], pattern[2:]) for i in range(len(name) + 1))
    if pattern[0] == "*":
        end = name.find(".") if "." in name else len(name)
        return any(by_definition(name[i:], pattern[1:]) for i in range(end + 1))
    fits = name[:1] == pattern[0] or (pattern[0] == "?" and name[:1] not in ("", "."))
    return fits and by_definition(name[1:], pattern[1:])


@given(st.text("ab.", max_size=7), st.text("ab.*?", max_size=6))
def test_globs_match_what_they_are_defined_to(name, pattern):
    assert matches(name, pattern) == (name == pattern or by_definition(name, pattern))


@pytest.mark.parametrize("pattern", ["[z-a]", "[", "[]", "[!]", "[[[", "]", "[a", "\\d", "(?#"])
def test_what_is_no_set_is_literal(pattern):
    assert matches(pattern, pattern)
    assert matches(f"{pattern}x", f"{pattern}?")
    assert not matches("z", pattern)


def test_names_of_many_brackets_end():
    start = time.process_time()
    matches("[0]" * 50_000 + "x]", "*" + "['" * 50_000 + "]")
    assert time.process_time() - start < 5


@pytest.mark.parametrize("members", [1, 3])
def test_gzip_that_holds_far_more_is_refused(tmp_path, members):
    path = tmp_path / "r.json.gz"
    path.write_bytes(gzip.compress(b" " * (300 << 20), 6) * members)
    with pytest.raises(RunFileError, match="hold more than"):
        read_results(path)


def ended(path):
    data = path.read_bytes()
    at = data.rindex(b"PK\5\6")
    size, offset = struct.unpack("<II", data[at + 12 : at + 20])
    return data, at, size, offset


def put_before(path):
    path.write_bytes(b"PK\3\4" + bytes(60) + path.read_bytes())


def say_another_place(path):
    data, at, _, offset = ended(path)
    path.write_bytes(data[: at + 16] + struct.pack("<I", offset - 1) + data[at + 20 :])


def comment(path):
    with zipfile.ZipFile(path, "a") as made:
        made.comment = b"PK\5\6" + bytes(18)


def put_between(path):
    data, at, _, _ = ended(path)
    path.write_bytes(data[:at] + bytes(46) + data[at:])


def far_record(path):
    """Let the record of zip64, which torch writes, be told to be elsewhere."""
    data, at, _, _ = ended(path)
    assert data[at - 20 : at - 16] == b"PK\6\7"
    path.write_bytes(data[: at - 12] + struct.pack("<Q", 0) + data[at - 4 :])


@pytest.mark.parametrize("spoil", [put_before, say_another_place, comment, put_between, far_record])
def test_archives_with_a_second_directory_are_refused(tmp_path, spoil):
    path = tmp_path / "c.pt"
    torch.save({"w": torch.zeros(4)}, path)
    assert len(archive_members(path)) >= 3
    spoil(path)
    with pytest.raises((RunFileError, DataError)):
        load_weights(path)


def test_archives_with_and_without_zip64_have_one_directory(tmp_path):
    torch.save({"w": torch.ones(4)}, tmp_path / "c.pt")
    assert b"PK\6\7" in (tmp_path / "c.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "c.pt") as big, zipfile.ZipFile(tmp_path / "d.pt", "w") as made:
        for name in big.namelist():
            made.writestr(name, big.read(name))
    assert b"PK\6\7" not in (tmp_path / "d.pt").read_bytes()
    for name in ("c.pt", "d.pt"):
        assert load_weights(tmp_path / name).state["w"].tolist() == [1, 1, 1, 1]


class Shadowed(OrderedDict):
    """Is pickled as an ``OrderedDict`` that has attributes."""

    def __init__(self, names, **entries):
        super().__init__(entries)
        self.names = names

    def __reduce__(self):
        return OrderedDict, (), dict.fromkeys(self.names, 5), None, iter(self.items())


@pytest.mark.parametrize("names", [("items",), ("keys",), ("get", "values"), ("pop", "__len__")])
@pytest.mark.parametrize("inside", [False, True])
def test_states_that_shadow_methods(tmp_path, names, inside):
    state = Shadowed(names, w=torch.ones(2))
    path = tmp_path / "c.pt"
    torch.save({"state_dict": state, "epoch": 3} if inside else state, path)
    assert load_weights(path).state["w"].tolist() == [1, 1]
    state = {"w": torch.ones(2), **{name: torch.zeros(1) for name in names}}  # entries are no harm
    torch.save(state, path)
    assert set(load_weights(path).state) == {"w", *names}


def test_content_that_holds_itself_is_gone_through_once(tmp_path):
    loop = {"w": torch.ones(1)}
    loop["self"] = [loop]
    torch.save(loop, tmp_path / "c.pt")
    assert set(read_pickle(tmp_path / "c.pt")) == {"w", "self"}


@pytest.mark.parametrize("name", ["step", "epoch", "global_step", "loss"])
@pytest.mark.parametrize(
    "value", [torch.empty((), device="meta"), torch.tensor(1j), torch.tensor([1.0]), torch.empty(0)]
)
def test_steps_without_a_number_are_none(tmp_path, name, value):
    torch.save({"model": {"w": torch.ones(1)}, name: value}, tmp_path / "c.pt")
    assert load_weights(tmp_path / "c.pt").step is None


@pytest.mark.parametrize(
    "shape", [[2**62, 2**62, 0], [0, 2**63 - 1, 2], [2**40, 0, 2**40], [2**61, 0]]
)
def test_shapes_that_overflow_are_refused(tmp_path, shape):
    head = json.dumps({"w": {"dtype": "F64", "shape": shape, "data_offsets": [0, 0]}}).encode()
    path = tmp_path / "c.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    with pytest.raises(RunFileError, match="too large"):
        load_weights(path)


@pytest.mark.parametrize(
    "field", ["\r=1+1", "a\rb", "a\nb", "a\r\nb", 'a"b', "a,b", "", " a ", "\x1b[2J"]
)
def test_fields_of_csv_read_back_the_same(field):
    rows = [["a", field, "z"], [field, field, "1"]]
    text = as_csv(rows)
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows
    assert not text.endswith("\r\n")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\n=1"])
def test_formulas_become_text(text):
    assert _as_text(text) == f"'{text}"
    assert _as_text(f"a{text}") == f"a{text}"
    assert _as_text(-1.5) == -1.5


UNSEEN = (
    "\u202e\u202a\u2066\u2069\u200b\u200d\u2060\ufeff\u00ad\u061c\u3164\u2800\u115f\uffa0\U000e0041"
    "\ufe0f\x1b\x9b\x00"
)


@pytest.mark.parametrize("char", UNSEEN)
def test_characters_that_are_not_seen_are_shown(char):
    for show in (shown, printable):
        assert char not in show(f"a{char}b")
        assert "\\" in show(f"a{char}b")
    assert shown("é 日本 ▁▂ ₂ −\n\t") == "é 日本 ▁▂ ₂ −\n\t"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("train.py --api-key X7", "train.py --api-key ***"),
        ("train.py --api_key=X7 --lr 1", "train.py --api_key=*** --lr 1"),
        ("train.py wandb.api_key=X7", "train.py wandb.api_key=***"),
        ("train.py +db.password=X7", "train.py +db.password=***"),
        ("train.py --password X7 data", "train.py --password *** data"),
        ("train.py --hf-token X7", "train.py --hf-token ***"),
        ("train.py --token --lr 1", "train.py --token --lr 1"),
        ("train.py WANDB_API_KEY=X7", "train.py WANDB_API_KEY=***"),
        ("train.py --db postgres://me:X7@host/x", "train.py --db postgres://***@host/x"),
        ("train.py sk-X7aaaaaaaaaaaaaaaaaaaaaa", "train.py ***"),
        ("train.py --client-secret X7", "train.py --client-secret ***"),
        ("train.py --auth X7", "train.py --auth ***"),
        ("train.py --epochs 3 --keys 5 --author me", "train.py --epochs 3 --keys 5 --author me"),
        ("train.py --tokenizer bert", "train.py --tokenizer bert"),
        ("train.py --max-tokens 512", "train.py --max-tokens 512"),
    ],
)
def test_secrets_are_not_kept(words, kept):
    assert " ".join(without_secrets(words.split())) == kept
    assert not re.search("X7", " ".join(without_secrets(words.split())))
