"""What recording costs a training loop, as ratios of CPU time in one process.

The training with a Recorder is compared with the training alone, and with the training that sends
the probe set through the model at the same steps.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from infoplane import Recorder


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(part for _ in range(4) for part in (nn.Linear(256, 256), nn.Tanh())), nn.Linear(256, 10)
    )


def trained(x, y, steps, probe, mode, folder):
    """Return CPU seconds, and the weights, of a training that records every tenth step."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = (
        Recorder(model, (x[:probe], y[:probe]), folder, schedule="every:10")
        if mode == "record"
        else None
    )
    begin = time.process_time()
    for step in range(steps):
        if recorder:
            recorder.step(step)
        elif mode == "forward" and step % 10 == 0:
            with torch.no_grad():
                for rows in torch.arange(probe).split(512):
                    model(x[rows[0] : rows[-1] + 1])
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[:256]), y[:256]).backward()
        optimizer.step()
    seconds = time.process_time() - begin
    if recorder:
        recorder.close()
    return seconds, torch.cat([p.detach().flatten() for p in model.parameters()])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    x, y, probe = torch.randn(4096, 256), torch.randint(0, 10, (4096,)), 2048
    found = {mode: [] for mode in ("plain", "forward", "record")}
    folder = Path(tempfile.mkdtemp())
    try:
        for repetition in range(2 if quick else 7):
            for mode in found:
                path = folder / f"{mode}-{repetition}"
                seconds, weights = trained(x, y, 50 if quick else 200, probe, mode, path)
                found[mode].append(seconds)
                shutil.rmtree(path, ignore_errors=True)
                if mode == "plain":
                    expected = weights
                assert torch.equal(weights, expected), "recording changed the training"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    plain, forward, record = (float(np.median(found[mode])) for mode in found)
    print(
        f"training {plain:.2f} s CPU; with probe passes {forward / plain:.2f}x; recorded", end=" "
    )
    print(f"{record / plain:.2f}x, {record / forward:.2f}x of training with probe passes")


if __name__ == "__main__":
    main()
