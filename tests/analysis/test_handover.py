"""What cells share reaches every worker, once, and leaves nothing behind."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from infoplane.analysis import handover
from infoplane.analysis import worker as cells
from infoplane.analysis.engine import analyze
from infoplane.analysis.handover import Address, Handover, OutOfReachError, taken
from infoplane.analysis.selection import select_cells
from infoplane.errors import WorkerError
from infoplane.estimators.registry import parse_estimator
from infoplane.runs import files as run_files
from infoplane.runs.run import Run
from infoplane.runs.step_info import read_meta
from tests.analysis.test_engine import numbers
from tests.cli.analyses import write_run
from tests.workers import Serial

STATE = {"values": np.arange(1000.0)}


def test_state_is_one_file_as_long_as_something_refers_to_it(tmp_path):
    with Handover(tmp_path) as parent:
        first, second = parent.give(STATE), parent.give(pickle.loads(pickle.dumps(STATE)))
        assert first is second
        assert Path(first.path).read_bytes() == pickle.dumps(STATE, pickle.HIGHEST_PROTOCOL)
        np.testing.assert_array_equal(taken(first)["values"], STATE["values"])
        assert taken(first) is taken(pickle.loads(pickle.dumps(first)))  # read once
        path = Path(first.path)
        del first
        assert path.exists()
        del second
        assert not path.exists()
        kept = parent.give(STATE)
    assert not list(tmp_path.iterdir())
    assert kept.path


def test_small_states_and_those_that_cannot_be_kept_travel_themselves(tmp_path):
    with Handover(tmp_path) as parent:
        small = [1, 2, 3]
        assert parent.give(small) is small
        parent.in_full = True
        assert parent.give(STATE) is STATE
    (tmp_path / "file").write_text("")
    with Handover(tmp_path / "file") as parent:
        assert parent.give(STATE) is STATE


def test_other_bytes_are_not_unpickled(tmp_path):
    with Handover(tmp_path) as parent:
        address = parent.give(STATE)
        Path(address.path).write_bytes(pickle.dumps("another"))
        with pytest.raises(OutOfReachError, match="another file"):
            taken(address)
    with pytest.raises(WorkerError, match="No such file"):
        taken(address)


class Counting(Serial):
    """Counts the bytes that go to workers."""

    def __init__(self):
        self.sizes = []

    def submit(self, function, /, *args):
        self.sizes.append(len(pickle.dumps((function, args))))
        return super().submit(function, *args)


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run("net", n=2000, units=4)
    return select_cells([Run(Path("net"))])


def test_no_piece_of_work_carries_what_cells_share(chosen, tmp_path, monkeypatch):
    reads = []
    read = handover._read
    read.cache_clear()
    monkeypatch.setattr(handover, "_read", lambda path, key: reads.append(key) or read(path, key))
    executor = Counting()
    found = list(analyze(chosen, [parse_estimator("binning")], executor, exchange=tmp_path / "x"))
    assert len(found) == 6
    assert max(executor.sizes) < 4000  # 2000 labels alone are 16 kB
    assert read.cache_info().misses == len(set(reads)) == 1  # layers add nothing to that of the run
    assert not list((tmp_path / "x").iterdir())


def test_workers_that_do_not_see_the_folder_get_the_state_itself(chosen, monkeypatch):
    expected = numbers(analyze(chosen, [parse_estimator("binning")], Serial()))

    def blind(state):
        if isinstance(state, Address):
            raise OutOfReachError("no such folder here")
        return state

    monkeypatch.setattr(cells, "taken", blind)
    executor = Counting()
    assert numbers(analyze(chosen, [parse_estimator("binning")], executor)) == expected
    assert max(executor.sizes) > 16_000


def test_run_is_found_by_workers_in_other_folders(chosen, tmp_path, monkeypatch):
    sent = pickle.dumps(next(iter(chosen)))
    monkeypatch.chdir("/")
    assert pickle.loads(sent).steps == (0, 1, 10)


class Remote(Serial):
    """Does the work on copies, as another process would."""

    def submit(self, function, /, *args):
        function, args = pickle.loads(pickle.dumps((function, args)))
        return super().submit(function, *args)


def test_worker_reads_the_metadata_of_a_step_once_in_an_analysis(chosen, monkeypatch):
    list(analyze(chosen, [parse_estimator("binning")], Serial()))  # the parent knows it by now
    read = []
    monkeypatch.setattr(
        run_files, "read_meta", lambda *args: read.append(args[1]) or read_meta(*args)
    )
    first = numbers(analyze(chosen, [parse_estimator("kde")], Remote()))
    # What is prepared reads it apart: here once for the run and once for each layer.
    assert len(first) == 6
    assert max(map(read.count, read)) <= 1 + 3
    path = next(iter(chosen)).path
    for step in path.glob("steps/*"):
        step.unlink()
    write_run("net2", n=2000, units=4, sharper=3)
    for step in Path("net2/steps").glob("*"):
        step.rename(path / "steps" / step.name)
    # The same path, another analysis: nothing is taken for known.
    again = numbers(analyze(select_cells([Run(path)]), [parse_estimator("kde")], Remote()))
    assert all(again[cell] != first[cell] for cell in first)
