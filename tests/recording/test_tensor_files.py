"""The ``.safetensors`` reader against the library that defines the format, and against damage."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from infoplane.errors import RunFileError
from infoplane.recording.checkpoints.safetensors import is_safetensors, read_safetensors


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(header, data=b"", name="m.safetensors"):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    Path(name).write_bytes(struct.pack("<Q", len(text)) + text + data)
    return Path(name)


def test_what_the_library_wrote():
    library = pytest.importorskip("safetensors.torch")
    dtypes = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn]
    dtypes += [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool]
    torch.manual_seed(0)
    saved = {str(dtype): (9 * torch.randn(3, 5)).to(dtype) for dtype in dtypes}
    saved |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}
    library.save_file(saved, "m.safetensors", metadata={"step": "12"})
    found, metadata = read_safetensors(Path("m.safetensors"))
    assert metadata == {"step": "12"}
    assert found.keys() == saved.keys()
    for name, tensor in saved.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        raw = (one.reshape(-1).view(torch.uint8) for one in (found[name], tensor))
        assert torch.equal(*raw) if tensor.numel() else True


def test_tensors_that_are_not_aligned():
    entries = {
        "a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [3, 11]},
    }
    path = write(entries, b"\1\2\3" + np.array([1.5, -2.0], np.float32).tobytes())
    found, _ = read_safetensors(path)
    assert found["a"].tolist() == [1, 2, 3]
    assert found["b"].tolist() == [1.5, -2.0]


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"w": {**F32, "shape": [2**40]}}, bytes(8), "needs 4,398,046,511,104 bytes"),
        ({"w": {**F32, "shape": [2**62, 2**62]}}, bytes(8), "needs"),
        ({"w": {**F32, "shape": [-2]}}, bytes(8), "no proper shape"),
        ({"w": {**F32, "shape": [2.0]}}, bytes(8), "no proper shape"),
        ({"w": {**F32, "shape": "2"}}, bytes(8), "no proper shape"),
        ({"w": {**F32, "shape": [True, 2]}}, bytes(8), "no proper shape"),
        ({"w": {**F32, "shape": [1] * 99 + [2]}}, bytes(8), "no proper shape"),
        ({"w": {**F32, "data_offsets": [8, 0]}}, bytes(8), "hold -8"),
        ({"w": {**F32, "data_offsets": [0]}}, bytes(8), "no proper shape"),
        ({"w": {**F32, "data_offsets": [-8, 0]}}, bytes(8), "no proper shape"),
        ({"w": {**F32, "dtype": "OBJECT"}}, bytes(8), "unknown dtype 'OBJECT'"),
        ({"w": {**F32, "dtype": ["F32"]}}, bytes(8), "unknown dtype"),
        ({"w": 3}, bytes(8), "not described by an object"),
        ({"w": F32}, bytes(4), "take 8 bytes, the file holds 4"),
        ({"w": F32}, bytes(12), "take 8 bytes, the file holds 12"),
        ({"w": F32, "v": F32}, bytes(8), "gap or overlap"),
        ({"w": F32, "v": {**F32, "data_offsets": [12, 20]}}, bytes(20), "gap or overlap"),
        (b"{" * 10, b"", "JSON|property name"),
        (b"[" * 100_000, b"", "recursion|JSON|Expecting"),
        (b"{}\xff\xfe", b"", "codec"),
        (b"[]", b"", "no JSON object"),
    ],
)
def test_headers_that_do_not_describe_the_file(header, data, message):
    with pytest.raises(RunFileError, match=message) as error:
        read_safetensors(write(header, data))
    assert str(error.value).startswith("m.safetensors: not a readable .safetensors file: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("length", [2**62, 2**63, 2**64 - 1, 10**9, 4])
def test_header_longer_than_the_file(length):
    Path("m.safetensors").write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(RunFileError, match="ends beyond the file"):
        read_safetensors(Path("m.safetensors"))


def test_header_of_gigabytes_is_not_read():
    with Path("m.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", 2**31) + b"{")
        file.truncate(2**31 + 8)  # sparse
    with pytest.raises(RunFileError, match="at most 32 MiB"):
        read_safetensors(Path("m.safetensors"))


def test_truncation_at_every_byte():
    data = write({"w": F32}, bytes(8)).read_bytes()
    for size in range(len(data)):
        Path("m.safetensors").write_bytes(data[:size])
        with pytest.raises(RunFileError, match=r"m\.safetensors"):
            read_safetensors(Path("m.safetensors"))


def test_told_apart_by_content():
    assert is_safetensors(write({"w": F32}, bytes(8)))
    torch.save({"w": torch.zeros(2)}, "a.safetensors")
    assert not is_safetensors(Path("a.safetensors"))
    Path("b").write_bytes(b"")
    assert not is_safetensors(Path("b"))
