"""Arrays of other kinds than layers in a step: written, resumed, packed, compared."""

import numpy as np
import pytest

from infoplane.data import ProbeSet
from infoplane.errors import RunFileError
from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from infoplane.runs.verify import verify
from infoplane.runs.writer import FolderWriter

PROBE = ProbeSet(np.arange(20.0).reshape(10, 2), np.arange(10) % 2)
LAYER = np.arange(30, dtype=np.float32).reshape(10, 3)
WEIGHTS = {
    "fc.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "fc.bias": np.ones(3, dtype=np.float16),
    "large": np.arange(1 << 17, dtype=np.float64),
}


def write_step(writer, step, weights=None, layers=("fc",)):
    with writer.step(step) as one:
        for name in layers:
            for row in range(0, 10, 4):
                one.write((name, 0), name, "Linear", row, LAYER[row : row + 4] + step, "float32")
        for name, array in (WEIGHTS if weights is None else weights).items():
            one.write_whole("weight", name, "Linear", array * (step + 1), str(array.dtype), at="x")


def write_run(path, steps, **options):
    writer = FolderWriter(path, PROBE, {"run": "r"}, **options)
    for step in steps:
        write_step(writer, step)
    writer.close()
    return Run(path)


def test_weights_are_written_as_they_are(tmp_path):
    run = write_run(tmp_path / "r", [0, 3])
    assert verify(run) == []
    for step in run.steps:
        for name, array in WEIGHTS.items():
            found = run.weight(step, name, verify=True)
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array * (step + 1))
        np.testing.assert_array_equal(run.activations(step, "fc", verify=True), LAYER + step)


def test_the_same_bytes_first_later_and_resumed(tmp_path):
    first = write_run(tmp_path / "a", [3])
    later = write_run(tmp_path / "b", [0, 3])
    resumed = write_run(tmp_path / "c", [0])
    resumed = write_run(tmp_path / "c", [3], resume=True)
    reserving = FolderWriter(tmp_path / "d", PROBE, {"run": "r"})
    reserving.reserve(later.slots, 2)
    write_step(reserving, 0)
    write_step(reserving, 3)
    reserving.close()
    files = [run.step_file(3).read_bytes() for run in (first, later, resumed)]
    files.append((tmp_path / "d/steps" / first.step_file(3).name).read_bytes())
    assert len(set(files)) == 1


def test_packed(tmp_path):
    run = write_run(tmp_path / "r", [0, 3])
    pack(run, tmp_path / "r.h5")
    assert Run(tmp_path / "r.h5").content_hash() == run.content_hash()
    assert verify(Run(tmp_path / "r.h5")) == []


@pytest.mark.parametrize(
    "other",
    [
        {},
        {name: WEIGHTS[name] for name in list(WEIGHTS)[1:]},
        {**WEIGHTS, "more": np.ones(2)},
        {**WEIGHTS, "fc.weight": np.ones((4, 4), dtype=np.float32)},
        {**WEIGHTS, "fc.weight": np.ones((3, 4))},
    ],
)
def test_every_step_has_the_same_arrays(tmp_path, other):
    writer = FolderWriter(tmp_path / "r", PROBE, {"run": "r"})
    write_step(writer, 0)
    with pytest.raises(RunFileError, match="expected the layers of the run's other steps"):
        write_step(writer, 1, other)
    writer.close()
    assert Run(tmp_path / "r").steps == (0,)
