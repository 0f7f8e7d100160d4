"""What other packages read of an array, how long they take, and how much memory.

``python benchmarks/other_packages.py ARRAYS.npz`` (``x`` and ``labels``) in an environment that
has some of ssrlib, reptrix, scikit-dimension and neural-collapse; NumPy is all it needs itself.
Prints a JSON document per line. `representation.py --others PYTHON` runs it and prints both.
``--quick`` takes a small array of random numbers.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import json  # noqa: E402
import multiprocessing  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

Measure = tuple[str, str, str, Callable[[], float]]
"""Package and its name of a measure, ours of the same number, and how it is found."""


def of_ssrlib(x: np.ndarray, labels: np.ndarray) -> Iterator[Measure]:
    from ssrlib.processing.effective_rank import EffectiveRankProcessor
    from ssrlib.processing.neural_collapse import NeuralCollapseProcessor
    from ssrlib.processing.spectral_quality import (
        AlphaReQProcessor,
        NESumProcessor,
        RankMeProcessor,
    )
    from ssrlib.processing.stable_rank import StableRankProcessor

    def first(processor: Any, **more: Any) -> Callable[[], float]:
        return lambda: float(processor.process(x, **more)[0])

    yield "ssrlib", "EffectiveRank", "effective_rank", first(EffectiveRankProcessor())
    yield "ssrlib", "RankMe (eigenvalues, centred)", "effective_rank", first(RankMeProcessor())
    yield "ssrlib", "NESum", "stable_rank", first(NESumProcessor())
    yield "ssrlib", "StableRank (not centred)", "none", first(StableRankProcessor())
    yield "ssrlib", "AlphaReQ (all ranks, unweighted)", "alpha_req", first(AlphaReQProcessor())
    yield "ssrlib", "NeuralCollapse", "nc1", first(NeuralCollapseProcessor(), labels=labels)


def of_reptrix(x: np.ndarray, labels: np.ndarray) -> Iterator[Measure]:
    import torch
    from reptrix import alpha, rankme

    torch.set_num_threads(1)
    tensor = torch.from_numpy(x)
    yield (
        "reptrix", "RankMe (eigenvalues, centred)", "effective_rank",
        lambda: float(rankme.get_rankme(tensor)),
    )  # fmt: skip
    yield (
        "reptrix", "alpha, ranks 11 to 100", "alpha_req",
        lambda: float(alpha.get_alpha(tensor)[0]),
    )  # fmt: skip


def of_skdim(x: np.ndarray, labels: np.ndarray) -> Iterator[Measure]:
    import skdim

    name = "scikit-dimension"
    yield (
        name, "TwoNN (line through 0)", "intrinsic_dimension",
        lambda: float(skdim.id.TwoNN().fit(x).dimension_),
    )  # fmt: skip
    yield (
        name, "MLE, 20 neighbours", "intrinsic_dimension_mle",
        lambda: float(skdim.id.MLE().fit(x, n_neighbors=20).dimension_),
    )  # fmt: skip


def of_neural_collapse(x: np.ndarray, labels: np.ndarray) -> Iterator[Measure]:
    import torch
    from neural_collapse.accumulate import CovarAccumulator, MeanAccumulator
    from neural_collapse.measure import covariance_ratio

    torch.set_num_threads(1)
    features, classes = torch.from_numpy(x), torch.from_numpy(labels)

    def nc1() -> float:
        k, d = int(labels.max()) + 1, x.shape[1]
        means = MeanAccumulator(k, d, "cpu")
        means.accumulate(features, classes)
        found, middle = means.compute()
        within = CovarAccumulator(k, d, "cpu", M=found)
        within.accumulate(features, classes, found)
        return float(covariance_ratio(within.compute(), found, middle))

    yield "neural-collapse", "covariance_ratio", "nc1", nc1


PACKAGES = (of_ssrlib, of_reptrix, of_skdim, of_neural_collapse)


def measured(pipe: Any, work: Callable[[], float]) -> None:
    """Send value, CPU seconds and MiB of one measure, or why there is none."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    try:
        value = work()
    except Exception as error:  # noqa: BLE001  whatever another package raises is told
        pipe.send({"error": f"{type(error).__name__}: {error}"[:100]})
        return
    seconds = time.process_time() - start
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    pipe.send({"value": value, "seconds": seconds, "MiB": peak})


def apart(work: Callable[[], float]) -> dict[str, Any]:
    """Return what one measure costs in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measured, args=(sender, work))
    process.start()
    found: dict[str, Any] = receiver.recv()
    process.join()
    return found


def main() -> None:
    if sys.argv[1:] == ["--quick"]:
        rng = np.random.default_rng(0)
        x, labels = rng.normal(size=(200, 16)), rng.integers(4, size=200)
    else:
        arrays = np.load(sys.argv[1])
        x, labels = arrays["x"], arrays["labels"]
    for of in PACKAGES:
        try:
            measures = list(of(x, labels))
        except ImportError as error:
            told = {"package": of.__name__.removeprefix("of_"), "error": str(error)}
            print(json.dumps(told), flush=True)
            continue
        for package, name, ours, work in measures:
            told = {"package": package, "name": name, "ours": ours, **apart(work)}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
