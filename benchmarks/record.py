"""What recording costs: processor time against the forward pass and a raw write of the same bytes.

Ratios of medians, measured in turns in one process; random weights. Targets: 1.1 for the large
models, 1.6 for the 12-bit network (with loading its checkpoint); reading 1.1 of ``np.fromfile``
for layers of 17 MB or more, reduced in place.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from infoplane.data import ProbeSet
from infoplane.recording.checkpoints.find import Checkpoint
from infoplane.recording.checkpoints.replay import record_checkpoints
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.short = (
            nn.Identity() if before == after else nn.Conv2d(before, after, 1, stride, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        h = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(h)) + self.short(x))


def resnet() -> nn.Sequential:
    """Return an 18-layer residual network for images of 64 x 64."""
    widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    blocks = [
        Block(before, after, 1 if before == after else 2) for before, after in pairwise(widths)
    ]
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        *blocks,
    )


class Attention(nn.Module):
    """A block of a decoder: causal attention and a perceptron."""

    def __init__(self, width: int, heads: int = 12) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        n, length, width = x.shape
        parts = self.qkv(self.norm1(x)).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        h = nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.out(h.transpose(1, 2).reshape(n, length, width))
        return x + self.mlp(self.norm2(x))


def gpt(width: int = 768) -> nn.Sequential:
    """Return a decoder of six blocks of the width of GPT-2."""
    return nn.Sequential(nn.Embedding(5000, width), *(Attention(width) for _ in range(6)))


def mlp() -> nn.Sequential:
    """Return a wide multi-layer perceptron."""
    return nn.Sequential(
        nn.Linear(784, 1024),
        nn.ReLU(),
        nn.Linear(1024, 1024),
        nn.ReLU(),
        nn.Linear(1024, 1024),
        nn.ReLU(),
        nn.Linear(1024, 512),
    )


def tiny() -> nn.Sequential:
    """Return the 12-bit network."""
    widths = (12, 10, 7, 5, 4, 3)
    pairs = pairwise(widths)
    return nn.Sequential(*(part for pair in pairs for part in (nn.Linear(*pair), nn.Tanh())))


def median_ratio(
    ours: Callable[[], object], limit: Callable[[], object], reps: int
) -> tuple[float, float]:
    """Return the ratio of the medians, and the median of ``limit`` in seconds."""
    times: dict[str, list[float]] = {"ours": [], "limit": []}
    for rep in range(reps + 1):
        for name, function in (("ours", ours), ("limit", limit)):
            start = time.process_time()
            function()
            if rep:  # the first is to warm up
                times[name].append(time.process_time() - start)
    limits = statistics.median(times["limit"])
    return statistics.median(times["ours"]) / limits, limits


def raw(path: Path, arrays: list[np.ndarray]) -> None:
    """Write arrays to a new file, as fast as the system can."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    for array in arrays:
        os.write(descriptor, array.data)
    os.close(descriptor)


def recording(
    name: str, model: nn.Module, inputs: torch.Tensor, layers: list[str], batch: int, reps: int
) -> float:
    """Print and return the cost of a snapshot."""
    model.eval()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        place = Path(folder)
        probe = ProbeSet(inputs.numpy())
        with Recorder(model, probe, place / "run", layers=layers, batch_size=batch) as recorder:
            recorder.snapshot(0)
            run = Run(place / "run")
            arrays = [
                np.array(run.activations(0, layer.name)[row : row + batch])
                for row in range(0, len(inputs), batch)
                for layer in run.layers
            ]
            step = iter(range(1, 10**6))

            def ours() -> None:
                at = next(step)
                recorder.snapshot(at)
                run.step_file(at).unlink()

            def limit() -> None:
                with torch.no_grad():
                    for row in range(0, len(inputs), batch):
                        model(inputs[row : row + batch])
                raw(place / "raw", arrays)

            ratio, seconds = median_ratio(ours, limit, reps)
            write, _ = median_ratio(lambda: raw(place / "raw", arrays), limit, 3)
    size = sum(array.nbytes for array in arrays) / 1e6
    print(
        f"record {name:8} {size:5.1f} MB, forward + write {seconds:6.3f} s "
        f"(write {write:4.0%}), ratio {ratio:.3f}"
    )
    return ratio


def tiny_recording(reps: int, *, alike: bool = True, checkpoints: int = 20) -> float:
    """Print and return the cost of recording checkpoints of the 12-bit network.

    Both sides write a new file for each checkpoint, without fsync, and delete all in the end. Where
    checkpoints are not alike, each holds a longer note than the one before.
    """
    inputs = torch.randn(4096, 12)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        place = Path(folder)
        files = [place / f"epoch_{number}.pt" for number in range(checkpoints)]
        for number, file in enumerate(files):
            model = tiny()
            state = model.state_dict()
            torch.save(state if alike else {"model": state, "note": number * "."}, file)
        layers = [f"{index}" for index in range(1, 10, 2)]
        with Recorder(
            model, ProbeSet(inputs.numpy()), place / "run", layers=layers, batch_size=4096
        ) as recorder:
            recorder.snapshot(0)
            run = Run(place / "run")
            arrays = [np.array(run.activations(0, layer.name)) for layer in run.layers]
            step = iter(range(1, 10**6))
            written: list[Path] = []

            def ours() -> None:
                found = [Checkpoint(file, next(step)) for file in files]
                for at in record_checkpoints(recorder, found):
                    written.append(run.step_file(at))
                delete()

            def limit() -> None:
                for file in files:
                    state = torch.load(file, weights_only=True)
                    model.load_state_dict(state if alike else state["model"])
                    with torch.no_grad():
                        model(inputs)
                    written.append(place / f"raw{len(written)}")
                    raw(written[-1], arrays)
                delete()

            def delete() -> None:
                while written:
                    written.pop().unlink()

            ratio, seconds = median_ratio(ours, limit, reps)
    size = sum(array.nbytes for array in arrays) / 1e6
    each = 1e3 * seconds / checkpoints
    print(
        f"record 12-bit   {size:5.1f} MB, load + forward + write {each:.2f} ms, ratio {ratio:.2f}"
        f" (checkpoints {'of one form' if alike else 'that are not alike'})"
    )
    return ratio


def reading(reps: int, columns: int) -> float:
    """Print and return the cost of reading a layer of 4096 rows, against np.fromfile.

    Opening takes the same at every size.
    """
    values = np.random.default_rng(0).normal(size=(4096, columns)).astype(np.float32)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        place = Path(folder)
        model = nn.Sequential(nn.Identity())
        with Recorder(model, ProbeSet(values), place / "run", layers=["0"]) as recorder:
            recorder.snapshot(0)
        values.tofile(place / "raw")
        run = Run(place / "run")
        opened, whole = median_ratio(
            lambda: run.activations(0, "0"), lambda: np.fromfile(place / "raw", np.float32), reps
        )
        copied, _ = median_ratio(
            lambda: np.array(run.activations(0, "0")),
            lambda: np.fromfile(place / "raw", np.float32),
            reps,
        )
        summed, _ = median_ratio(
            lambda: run.activations(0, "0").sum(axis=0),
            lambda: np.fromfile(place / "raw", np.float32).reshape(4096, -1).sum(axis=0),
            reps,
        )
    print(
        f"read a layer of {values.nbytes / 1e6:5.1f} MB: copied {copied:.2f}, reduced {summed:.2f} "
        f"of np.fromfile; opening {1e3 * opened * whole:.2f} ms of the former's "
        f"{1e3 * copied * whole:.2f} ms"
    )
    return summed


def peak() -> int:
    """Return the peak memory of this process; ru_maxrss would include that of its parent."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def memory(samples: int, steps: int) -> None:
    """Print how much the memory of this process grows while it records."""
    inputs = np.zeros((samples, 8), np.float32)
    model = nn.Sequential(nn.Linear(8, 2048), nn.ReLU(inplace=True))
    with (
        tempfile.TemporaryDirectory(dir=".") as folder,
        Recorder(model, ProbeSet(inputs), Path(folder) / "r", batch_size=512) as recorder,
    ):
        model(torch.from_numpy(inputs[:512]))
        before = peak()
        for step in range(steps):
            recorder.snapshot(step)
        grown = peak() - before
    batch, size = 2 * 512 * 2048 * 4 / 1e6, samples * steps * 16384 / 1e6
    print(
        f"memory: {samples:6,} samples x {steps:2} steps ({size:4.0f} MB): "
        f"peak grows by {grown / 1e6:5.1f} MB (a batch: {batch:.1f} MB)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--memory", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.memory:
        return memory(*options.memory)
    reps = 3 if options.quick else 9
    few = 4 if options.quick else 1
    recording("MLP", mlp(), torch.randn(4096 // few, 784), ["0", "2", "4", "6"], 512, reps)
    images = torch.randn(64 // few, 3, 64, 64)
    recording("ResNet", resnet(), images, ["4", "5", "6", "7", "8", "9", "10", "11"], 16, reps)
    tokens = torch.randint(5000, (56 // few, 16))
    recording("GPT-2", gpt(), tokens, ["1", "2", "3", "4", "5", "6"], 28, reps)
    tiny_recording(reps)
    tiny_recording(reps, alike=False)
    for columns in (256, 1024, 4096):
        reading(3 * reps, columns)
    for samples, steps in ((4096, 8), (16384, 8), (4096, 32)):
        arguments = [sys.executable, __file__, "--memory", str(samples // few), str(steps // few)]
        subprocess.run(arguments, check=True)
    return None


if __name__ == "__main__":
    main()
