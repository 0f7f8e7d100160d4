"""Checkpoints that are read without ``torch.load``, as they differ in numbers from one before."""

import errno
import itertools
import os
import re
import shutil
import struct
import sys
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from infoplane.errors import InfoplaneError, RunFileError
from infoplane.recording.checkpoints import archives
from infoplane.recording.checkpoints.archives import Earlier, archive_members, check_sums
from infoplane.recording.checkpoints.pickles import read_pickle
from infoplane.recording.checkpoints.read import load_weights
from tests.conftest import small_net


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def values(seed):
    """Tensors of all kinds in a state dict: views, shared and empty storages, several dtypes."""
    torch.manual_seed(seed)
    whole = torch.randn(6, 4)
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16)
    return OrderedDict(
        whole=whole,
        tied=whole,
        transposed=whole.T,
        part=whole[2:5, ::2],
        once=torch.randn(4).expand(3, 4),
        scalar=torch.tensor(seed),
        empty=torch.empty(0, 3),
        grown=torch.randn(3, requires_grad=True),
        flags=torch.rand(5) > 0.5,
        **{str(kind): (100 * torch.rand(3)).to(kind) for kind in kinds},
        bytes=torch.randint(255, (7,), dtype=torch.uint8),
        signed=torch.randint(-100, 100, (7,), dtype=torch.int8),
    )


def checkpoint(seed):
    return {"epoch": 3 + seed, "loss": 0.5 / (1 + seed), "name": "adam", "model": values(seed)}


def earlier_of(path):
    earlier = Earlier()
    read_pickle(path, earlier=earlier)
    return earlier


def rewritten(path, target, **members):
    """Copy an archive with other bytes in some members; their names end in those given."""
    with zipfile.ZipFile(path) as one, zipfile.ZipFile(target, "w") as other:
        for name in one.namelist():
            other.writestr(name, members.get(name.rpartition("/")[2], one.read(name)))
    return Path(target)


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert found.stride() == expected.stride()
        assert found.requires_grad == expected.requires_grad
        assert torch.equal(found, expected)
    else:
        assert found == expected


def test_checkpoint_of_other_numbers_is_read_without_torch_load(monkeypatch):
    torch.save(checkpoint(0), "1.pt")
    torch.save(checkpoint(1), "2.pt")
    earlier, expected = earlier_of(Path("1.pt")), torch.load("2.pt")
    monkeypatch.delattr(torch, "load")
    found = read_pickle(Path("2.pt"), earlier=earlier)
    assert_same(found, expected)
    assert found["model"]["tied"].data_ptr() == found["model"]["whole"].data_ptr()


def test_version_numbers_of_a_state_dict_are_kept():
    for name in ("1.pt", "2.pt"):
        torch.save(torch.nn.BatchNorm1d(3).state_dict(), name)
    found = earlier_of(Path("1.pt")).read_alike(Path("2.pt"), archive_members(Path("2.pt")))
    assert found._metadata == torch.load("1.pt")._metadata


def change(**others):
    return {**checkpoint(1), **others}


@pytest.mark.parametrize(
    "content",
    [
        change(name="sgd!"),
        change(epoch=70_000),  # a longer number
        change(epoch=True),
        change(loss=None),
        change(more=1),
        change(model=values(1) | {"whole": torch.randn(4, 6, dtype=torch.float64)}),
        change(model=values(1) | {"whole": torch.randn(7, 4)}),
        values(1),
        change(extra=np.float64(1)),
    ],
)
def test_checkpoint_of_another_form_is_read_by_torch_load(content):
    torch.save(checkpoint(0), "1.pt")
    torch.save(content, "2.pt")
    earlier = earlier_of(Path("1.pt"))
    assert_same(read_pickle(Path("2.pt"), earlier=earlier), read_pickle(Path("2.pt")))
    # From now on, it is the one that others are compared with.
    assert_same(read_pickle(Path("2.pt"), earlier=earlier), read_pickle(Path("2.pt")))


def test_storages_of_other_lengths_are_not_taken():
    torch.save(small_net().state_dict(), "1.pt")
    earlier = earlier_of(Path("1.pt"))
    weight = zipfile.ZipFile("1.pt").read("1/data/0")
    for data in (weight[:-4], weight + bytes(4), b""):
        path = rewritten("1.pt", "2.pt", **{"0": data})
        assert earlier.read_alike(path, archive_members(path)) is None
        with pytest.raises(RunFileError, match=r"^2\.pt: not a readable PyTorch checkpoint"):
            load_weights(path, earlier=earlier)


def test_member_beyond_the_end_of_the_file_is_not_taken():
    torch.save(small_net().state_dict(), "1.pt")
    earlier, data = earlier_of(Path("1.pt")), bytearray(Path("1.pt").read_bytes())
    entries = [found.start() for found in re.finditer(b"PK\x01\x02", data)]
    for entry, size in itertools.product(entries, (len(data), 2**31)):
        name = data[
            entry + 46 : entry + 46 + int.from_bytes(data[entry + 28 : entry + 30], "little")
        ]
        if name.endswith(b"serialization_id"):
            continue  # of no meaning
        longer = data[:]
        struct.pack_into("<II", longer, entry + 20, size, size)
        Path("2.pt").write_bytes(longer)
        assert earlier.read_alike(Path("2.pt"), archive_members(Path("2.pt"))) is None


def test_truncated_file_is_refused_wherever_it_ends():
    torch.save(small_net().state_dict(), "1.pt")
    earlier, data = earlier_of(Path("1.pt")), Path("1.pt").read_bytes()
    for length in range(0, len(data), 97):
        Path("2.pt").write_bytes(data[:length])
        with pytest.raises(RunFileError, match=r"^2\.pt: (not a |an empty file)"):
            load_weights(Path("2.pt"), earlier=earlier)


@pytest.mark.parametrize("earlier", [False, True])
def test_flipped_bit_of_a_weight_is_told(earlier):
    torch.save(checkpoint(0), "good.pt")
    torch.save(checkpoint(1), "bad.pt")
    before = earlier_of(Path("good.pt")) if earlier else None
    data = bytearray(Path("bad.pt").read_bytes())
    (stored,) = (m for m in archive_members(Path("bad.pt")) if m.filename.endswith("/data/0"))
    data[data.index(stored.filename.encode()) + 64 + stored.file_size // 2] ^= 1
    Path("bad.pt").write_bytes(data)
    assert torch.load("bad.pt", weights_only=True)  # torch notices nothing
    with pytest.raises(RunFileError, match="data/0 does not match its checksum") as caught:
        read_pickle(Path("bad.pt"), earlier=before)
    assert "copy the file again" in caught.value.hint


def test_archive_saved_without_checksums_is_read():
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(checkpoint(0), "bare.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert_same(read_pickle(Path("bare.pt")), checkpoint(0))


def test_members_larger_than_their_file_are_refused():
    torch.save(checkpoint(0), "good.pt")
    members = archive_members(Path("good.pt"))
    members[0].file_size += 10**12
    with pytest.raises(RunFileError, match="larger than the file"):
        read_pickle(Path("good.pt"), members)


def test_compressed_member_is_refused():
    torch.save(small_net().state_dict(), "1.pt")
    with zipfile.ZipFile("1.pt") as one, zipfile.ZipFile("2.pt", "w") as other:
        for name in one.namelist():
            other.writestr(name, one.read(name), 8 if name.endswith("data/0") else 0)
    earlier = earlier_of(Path("1.pt"))
    assert earlier.read_alike(Path("2.pt"), archive_members(Path("2.pt"))) is None
    with pytest.raises(RunFileError, match="members are not compressed"):
        load_weights(Path("2.pt"), earlier=earlier)


def test_bytes_in_the_other_order_are_swapped():
    other = b"big" if sys.byteorder == "little" else b"little"
    torch.save(small_net().state_dict(), "1.pt")
    path = rewritten("1.pt", "2.pt", byteorder=other)
    assert_same(read_pickle(path, earlier=earlier_of(Path("1.pt"))), torch.load(path))


def test_archive_of_another_version_is_refused():
    torch.save(small_net().state_dict(), "1.pt")
    path = rewritten("1.pt", "2.pt", version=b"99\n")
    with pytest.raises(RunFileError, match=r"version 99"):
        load_weights(path, earlier=earlier_of(Path("1.pt")))


def test_pickle_that_would_take_all_memory_is_left_to_torch_load(monkeypatch):
    torch.save({"w": torch.ones(2)}, "1.pt")
    text = zipfile.ZipFile("1.pt").read("1/data.pkl")
    first = text.index(b"q\x00")  # an object is put in place 0
    far = text[:first] + b"r\xff\xff\xff\x7f" + text[first + 2 :]
    path = rewritten("1.pt", "2.pt", **{"data.pkl": far})
    earlier = earlier_of(path)
    monkeypatch.setattr(archives, "_Unpickler", lambda *_: pytest.fail("unpickled"))
    assert earlier.read_alike(path, archive_members(path)) is None
    assert_same(read_pickle(path, earlier=earlier), {"w": torch.ones(2)})


def test_members_of_two_archives_in_one_are_not_taken():
    torch.save(small_net().state_dict(), "1.pt")
    earlier = earlier_of(Path("1.pt"))
    for folder, name in (("1", "data/0"), ("2", "more")):
        shutil.copy("1.pt", "2.pt")
        with warnings.catch_warnings(), zipfile.ZipFile("2.pt", "a") as archive:
            warnings.simplefilter("ignore")  # zipfile warns of two members of one name
            archive.writestr(f"{folder}/{name}", bytes(480))
        assert earlier.read_alike(Path("2.pt"), archive_members(Path("2.pt"))) is None


def outcome(path, earlier=None):
    try:
        return re.sub(" at 0x[0-9a-f]+", "", repr(read_pickle(path, earlier=earlier)))
    except InfoplaneError as error:
        return str(error)


def test_pickle_with_any_byte_changed_reads_as_torch_load_reads_it():
    content = {"epoch": 300, "loss": 0.5, "w": torch.randn(3, 2), "n": torch.tensor(2)}
    torch.save(content, "1.pt")
    earlier, text = earlier_of(Path("1.pt")), zipfile.ZipFile("1.pt").read("1/data.pkl")
    form = earlier._form
    alike = 0
    for position in range(len(text)):
        for changed in (text[position] ^ 1, 255):
            data = bytearray(text)
            data[position] = changed
            path = rewritten("1.pt", "2.pt", **{"data.pkl": bytes(data)})
            earlier._form = form
            alike += earlier.read_alike(path, archive_members(path)) is not None
            assert outcome(path, earlier) == outcome(path)
    assert alike > 10  # the numbers


@pytest.mark.parametrize("offset", [-30, 2**40])
def test_member_that_begins_outside_of_the_file_is_told(offset):
    torch.save(small_net().state_dict(), "c.pt")
    members = archive_members(Path("c.pt"))
    members[-1].header_offset = offset
    with pytest.raises(RunFileError, match="begins outside of the file"):
        check_sums(Path("c.pt"), members)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_an_error_of_reading_is_not_taken_for_damage(monkeypatch, number):
    torch.save(small_net().state_dict(), "epoch_0.pt")

    def fail(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(zipfile, "_EndRecData", fail)  # zipfile turns it into BadZipFile
    with pytest.raises(RunFileError, match=f"cannot be read .{os.strerror(number)}.") as error:
        load_weights(Path("epoch_0.pt"))
    assert error.value.code == "IP303"
