"""Streams of samples whose length is not known, and that may have no end."""

from pathlib import Path

import numpy as np
import pytest

from infoplane.errors import DataError
from infoplane.recording.probes import from_datasets
from infoplane.recording.probes.named import load_probe, load_splits

CODE = """
import itertools
import numpy as np, torch
from torch.utils.data import DataLoader, IterableDataset

X = np.arange(3000, dtype="f4").reshape(600, 5)

class Endless(IterableDataset):
    def __iter__(self):
        return ((X[i % 300], i % 2) for i in itertools.count())

class Finite(IterableDataset):
    def __iter__(self):
        return ((X[i], i // 300) for i in range(600))

class Drawn(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.rand(5), 0

class Large(IterableDataset):
    def __iter__(self):
        while True:
            yield np.zeros(2**20, "f4"), 0

def dataset(): return Endless()
def loader(): return DataLoader(Endless(), batch_size=32)
def generator(): return iter(Endless())
def mappings(): return ({"inputs": x, "label": y} for x, y in Endless())
def inputs(): return (x for x, _ in Endless())
def cycle(): return itertools.cycle([(X[0], 0), (X[1], 1)])
def drawn(): return DataLoader(Drawn(), batch_size=8)
def large(): return Large()
def finite(): return DataLoader(Finite(), batch_size=32)
"""
ENDLESS = ["dataset", "loader", "generator", "mappings", "inputs", "cycle", "drawn"]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data.py").write_text(CODE)


@pytest.mark.parametrize("name", ENDLESS)
def test_samples_of_a_stream_without_end_are_taken_from_its_beginning(name, caplog):
    probe, again = (load_probe(f"data.py:{name}", 100, 3) for _ in range(2))
    assert probe.n_samples == 100
    np.testing.assert_array_equal(probe.inputs, again.inputs)
    assert probe.ids.max() < 1000 + 32
    assert "no end after" in caplog.text
    assert "are chosen among these" in caplog.text
    if name in ("dataset", "loader", "generator", "mappings"):
        assert np.bincount(probe.labels).tolist() == [50, 50]


@pytest.mark.parametrize("name", ENDLESS)
def test_stream_without_end_is_refused_without_samples(name, monkeypatch):
    monkeypatch.setattr(from_datasets, "_MOST", 2000)
    with pytest.raises(DataError, match=rf"data\.py:{name}: no end after 2,0\d\d samples") as error:
        load_probe(f"data.py:{name}")
    assert "--samples N" in error.value.hint


def test_stream_of_large_samples_is_refused_before_memory_is_full(monkeypatch):
    monkeypatch.setattr(from_datasets, "_MOST_BYTES", 2**25)
    with pytest.raises(DataError, match="no end after 8 samples of 33,554,432 bytes"):
        load_probe("data.py:large")
    assert load_probe("data.py:large", 10).n_samples == 10


def test_stream_that_ends_is_read_to_its_end(caplog):
    assert load_probe("data.py:finite").n_samples == 600
    probe = load_probe("data.py:finite", 100)
    assert np.bincount(probe.labels).tolist() == [50, 50]
    assert not caplog.text


def test_splits_without_end():
    probe = load_splits({"train": "data.py:dataset", "test": "data.py:loader"}, 20)
    assert probe.splits == {"train": 20, "test": 20}
