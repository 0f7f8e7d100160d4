"""Accuracy, coverage and speed of the compressed estimator, against known truths.

Information in nats here, as in the literature on these tests. Times are ratios of CPU time within
this process on one thread, interleaved; medians of some rounds.

    python benchmarks/compressed.py [--quick] [--only SECTION] [--first-seed N] [--mnist FOLDER]

Sections: images, noise, bounds, copulas, labels, layers, coverage, speed, memory. ``layers`` needs
a folder with the two idx files of MNIST test images. Tables are of seeds from ``--first-seed`` on.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402 - threads are limited before the first import
from compressed_cost import memory, speed  # noqa: E402
from compressed_tasks import (  # noqa: E402
    ARRAY,
    COPULAS,
    gaussian_images,
    gaussian_pair,
    noisy_layer,
    rectangle_images,
    tanh_truth,
)

from infoplane.estimators.estimate import Estimate  # noqa: E402
from infoplane.estimators.layers.compressed.estimates import CellOptions  # noqa: E402
from infoplane.estimators.layers.compressed.noise_estimates import noise_estimates  # noqa: E402
from infoplane.estimators.layers.compressed.two_views import view_estimate  # noqa: E402
from infoplane.numerics.codes import Code  # noqa: E402
from infoplane.numerics.intervals import (  # noqa: E402
    disjoint_folds,
    fold_interval,
    half_sampling_interval,
)
from infoplane.numerics.loss_bounds import activation_loss_bound, input_loss_bound  # noqa: E402
from infoplane.numerics.neighbors.estimates import (  # noqa: E402
    ksg_mutual_information,
    mixed_mutual_information,
    shuffle_difference,
)
from infoplane.numerics.neighbors.noise_channel import noise_information  # noqa: E402
from infoplane.numerics.networks.autoencoder import fit_autoencoder  # noqa: E402
from infoplane.numerics.projection import principal_basis  # noqa: E402

NATS = math.log(2.0)


def images(quick: bool, first_seed: int) -> None:
    """Images of prescribed information: a compressor per turn, fitted on others (6000, or 2000).

    Every turn of the hidden variables is a problem of its own, with a bias of its own. What one who
    knows the density would spread by is compared with the spread over samples of one turn, pooled
    over the turns, and with that over all.
    """
    n, turns, repeats, fitted = (1000, 2, 2, 2000) if quick else (5000, 6, 6, 6000)
    levels = (0, 2, 6) if quick else (0, 1, 2, 4, 6, 8, 10)
    print(f"{'':14s} " + " ".join(f"{f'MI {mi}':>11s}" for mi in levels))
    for name, drawn, d in (
        ("gauss 16x16", gaussian_images, 2),
        ("rect 32x32", rectangle_images, 4),
    ):
        # sqrt(Var i(x;y) / n), of one who knows the density
        oracle = np.array([math.sqrt(d * (1 - math.exp(-2 * mi / d)) / n) for mi in levels[1:]])
        errors = np.empty((turns, repeats, len(levels)))
        for turn in range(turns):
            seed = first_seed + turn
            training = drawn(np.random.default_rng([2026, seed]).normal(size=(fitted, d)))
            settings = {"steps": 100} if quick else {}
            coder = fit_autoencoder(training.astype(np.float32), d, seed=seed, **settings)
            for repeat in range(repeats):
                rng = np.random.default_rng([2027, seed, repeat])
                for place, mi in enumerate(levels):
                    a, b = (coder.encode(drawn(z)) for z in gaussian_pair(mi, d, n, rng, seed))
                    found, _, _ = view_estimate(a, b, "joint", None, 10, rng)
                    assert found.diagnostics["estimator"] == "shuffle_difference"
                    errors[turn, repeat, place] = found.bits * NATS - mi
        table = errors.reshape(-1, len(levels))
        spread = table.std(axis=0, ddof=1)
        cells = " ".join(
            f"{m:+.2f}±{s:.3f}" for m, s in zip(table.mean(axis=0), spread, strict=True)
        )
        far, near = np.abs(table).mean(), np.abs(table[:, np.array(levels) <= 6]).mean()
        print(f"{name:14s} {cells}  MAE {far:.2f}, up to 6: {near:.2f}; {len(table)} samples")
        within = np.sqrt(errors.var(axis=1, ddof=1).mean(axis=0))
        between = errors.mean(axis=1).std(axis=0, ddof=1)
        for row, values in (("one turn", within), ("all", spread), ("turns", between)):
            cells = " ".join(f"{ratio:11.1f}" for ratio in values[1:] / oracle)
            print(f"  sd / oracle, {row:12s} {cells}")


def noise(quick: bool, first_seed: int) -> None:
    """Noise mode on linear-Gaussian layers and on two tanh units; n = 3000, or 1000."""
    seeds, n = (2, 1000) if quick else (10, 3000)
    print("units noise/rms  truth   error   sd   largest")
    for q, share in ((4, 1.0), (4, 0.3), (4, 0.1), (4, 0.001), (8, 1.0), (8, 0.1), (8, 0.001)):
        errors, truths = [], []
        for seed in range(first_seed, first_seed + seeds):
            rng = np.random.default_rng([7, seed])
            _, clean, noisy, size, covariance = noisy_layer(q, share, n, rng)
            truth = 0.5 * np.linalg.slogdet(np.eye(q) + covariance / size**2)[1]
            errors.append(noise_information(noisy, size, clean=clean).bits * NATS - truth)
            truths.append(truth)
        print(f"{q:5d} {share:9g} {np.mean(truths):6.2f} {np.mean(errors):+7.3f} "
              f"{np.std(errors):.3f} {np.abs(errors).max():7.3f}")  # fmt: skip
    print(" gain  noise  truth  mean error  sd")
    weights = np.random.default_rng(5).normal(size=(2, 2)) / math.sqrt(2)
    for gain in (1, 4, 16):
        for size in (0.03, 0.1, 0.3):
            truth = tanh_truth(gain, size, weights, 1 if quick else 20)
            errors = []
            for seed in range(first_seed, first_seed + seeds):
                rng = np.random.default_rng([8, seed])
                clean = np.tanh(gain * rng.normal(size=(n, 2)) @ weights)
                noisy = clean + size * rng.normal(size=clean.shape)
                errors.append(noise_information(noisy, size, clean=clean).bits * NATS - truth)
            print(f"{gain:5d} {size:6g} {truth:6.3f} {np.mean(errors):+11.3f} {np.std(errors):.3f}")


def bounds(quick: bool, first_seed: int) -> None:
    """Loss bounds against the exact loss: linear-Gaussian layers, then tanh units 2 -> 1."""
    n = 5000 if quick else 20_000
    print("layer bound - exact loss at q = 1, 2, 4; inputs bound - exact loss at 1, 4, 10 of 20")
    for seed in range(first_seed, first_seed + (2 if quick else 5)):
        x, _, noisy, size, covariance = noisy_layer(8, 0.3, n, np.random.default_rng([9, seed]))
        basis = principal_basis(noisy, 8)
        scores, rest = basis.project(noisy)
        values, vectors = np.linalg.eigh(covariance)
        layer = []
        for q in (1, 2, 4):
            bound = activation_loss_bound(scores, q, size, n_units=8, residual_variance=rest)
            layer.append(bound * NATS - 0.5 * np.log1p(values[::-1][q:] / size**2).sum())
        code = noisy @ vectors[:, :-5:-1]
        inputs = []
        for kept in (1, 4, 10):
            slopes = np.linalg.lstsq(x[:, :20], noisy - noisy.mean(0), rcond=None)[0]
            left = slopes[kept:].T @ (slopes[kept:] / np.arange(kept + 1, 21)[:, None])
            turned = vectors[:, :-5:-1].T @ left @ vectors[:, :-5:-1]
            exact = 0.5 * np.linalg.slogdet(np.eye(4) + turned / size**2)[1]
            inputs.append(input_loss_bound(code, x[:, :kept], size) * NATS - exact)
        print(
            "  ", " ".join(f"{v:+.3f}" for v in layer), " | ", " ".join(f"{v:+.3f}" for v in inputs)
        )
    print("two tanh units, one component kept: exact loss, bound (violated if below)")
    weights = np.random.default_rng(5).normal(size=(2, 2)) / math.sqrt(2)
    for gain in (1, 4, 16):
        for size in (0.03, 0.3):
            rng = np.random.default_rng([10, gain, first_seed])
            clean = np.tanh(gain * rng.normal(size=(n, 2)) @ weights)
            noisy = clean + size * rng.normal(size=clean.shape)
            scores, rest = principal_basis(noisy, 2).project(noisy)
            whole = tanh_truth(gain, size, weights, 1 if quick else 3)
            kept = noise_information(scores[:, :1], size).bits * NATS
            bound = activation_loss_bound(scores, 1, size, n_units=2, residual_variance=rest) * NATS
            print(f"   gain {gain:2d} noise {size:4g}: {whole - kept:6.3f} {bound:6.3f}")


def copulas(quick: bool, first_seed: int) -> None:
    """Codes whose dependence is not Gaussian; n = 3000, or 1000."""
    seeds, n = (2, 1000) if quick else (5, 3000)
    levels = (1.0, 4.0) if quick else (0.0, 1.0, 4.0, 8.0)
    print("family       dims   truth  shuffle difference  mode joint          neighbour counts")
    for name, drawn in COPULAS.items():
        for d in (1, 4) if quick else (1, 2, 4):
            for level in levels:
                if name == "rings" and d > 1:
                    continue
                values, truth = [], 0.0
                for seed in range(first_seed, first_seed + seeds):
                    rng = np.random.default_rng([11, seed])
                    x, y, truth = drawn(level, d, n, rng)
                    values.append(
                        (
                            shuffle_difference(x, y, seed=seed) * NATS - truth,
                            view_estimate(x, y, "joint", None, 2, rng)[0].bits * NATS - truth,
                            ksg_mutual_information(x, y) * NATS - truth,
                        )
                    )
                mean, spread = np.mean(values, axis=0), np.std(values, axis=0, ddof=1)
                worse = [
                    abs(mean[i]) - abs(mean[2]) > 3 * math.hypot(spread[i], spread[2])
                    for i in (0, 1)
                ]
                cells = "   ".join(
                    f"{m:+7.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)
                )
                print(f"{name:12s} {x.shape[1]}+{y.shape[1]} {truth:7.2f}   {cells}"
                      f" {'WORSE' if any(worse) else ''}")  # fmt: skip


def labels(quick: bool, first_seed: int) -> None:
    """I(T;Y) of ten normal classes in 8 dimensions, n = 2000; truth by the mixture density."""
    for separation in (0.0, 1.0, 2.0, 3.0, 6.0):
        errors = []
        for seed in range(first_seed, first_seed + (3 if quick else 20)):
            rng = np.random.default_rng([12, seed])
            centers = separation * np.random.default_rng(3).normal(size=(10, 8)) / math.sqrt(2)
            y = np.arange(2000) % 10
            x = centers[y] + rng.normal(size=(2000, 8))
            distance = ((x[:, None] - centers[None]) ** 2).sum(axis=2)
            ratio = np.exp(0.5 * (distance[np.arange(2000), y][:, None] - distance)).mean(axis=1)
            value = mixed_mutual_information(x, y) * NATS
            errors.append((value + np.log(ratio).mean(), -np.log(ratio).mean()))
        (error, truth), spread = np.mean(errors, axis=0), np.std(errors, axis=0)[0]
        print(f"separation {separation:3g}: truth {truth:.3f}  error {error:+.3f} ± {spread:.3f}")


def layers(quick: bool, folder: Path | None) -> None:
    """Order of the layers of the sample network on MNIST at the last checkpoint."""
    if folder is None:
        print("skipped: give --mnist FOLDER")
        return
    import torch

    from infoplane.data import LayerInfo, ProbeSet
    from infoplane.estimators.layers.compressed.estimator import Compressed
    from infoplane.sample_runs.mnist import models
    from infoplane.sample_runs.mnist.train import read_idx

    pixels = read_idx(folder / "t10k-images-idx3-ubyte.gz")[:, None] / np.float32(255)
    y = read_idx(folder / "t10k-labels-idx1-ubyte.gz").astype(np.int64)
    torch.manual_seed(0)
    model = models.cnn()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    inputs, targets = torch.from_numpy(pixels), torch.from_numpy(y)
    names = ("relu1", "relu2", "relu3", "output")
    recorded: dict[tuple[int, str], ARRAY] = {}
    for epoch in range(2 if quick else 6):
        for batch in torch.split(torch.randperm(8000), 64) if epoch else ():
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            values = inputs
            for name, module in model.named_children():
                values = module(values)
                if name in names:
                    recorded[epoch, name] = values.reshape(len(values), -1).numpy()

    class Memory:
        probe = ProbeSet(pixels, y)
        device = None
        steps = tuple(sorted({step for step, _ in recorded}))
        layers = tuple(
            LayerInfo(name, i, "", recorded[0, name].shape[1:], "float32")
            for i, name in enumerate(names)
        )

        def activations(self, step: int, layer: str) -> ARRAY:
            return recorded[step, layer]

    estimator, run, last = Compressed(mode="neighbors"), Memory(), Memory.steps[-1]
    shared = estimator.prepare_run(run, np.random.default_rng(0))
    for layer in run.layers:
        start = time.process_time()
        prepared = estimator.prepare_layer(shared, run, layer, np.random.default_rng(0))
        ready = time.process_time()
        found = estimator.estimate(prepared, recorded[last, layer.name], np.random.default_rng(0))
        spent = time.process_time() - ready
        ixt, ity = found["ixt"], found["ity"]
        loss, se = ixt.diagnostics["loss_bound_t"], ixt.diagnostics["se"]
        print(f"{layer.name:7s} {layer.n_units:5d} units, q = {prepared.dim:2d}:"
              f" I(X;T) {ixt.bits:6.2f} ± {se:.2f} bits, loss bound {loss:7.1f},"
              f" I(T;Y) {ity.bits:.3f} ± {ity.diagnostics['se']:.3f}; basis {ready - start:.1f} s,"
              f" cell {spent:.2f} s; {', '.join(ixt.flags)}")  # fmt: skip


def coverage(quick: bool, first_seed: int) -> None:
    """How often nominal 95 % intervals hold the expectation of the estimate; n = 1000, or 300."""
    replicates, n = (8, 300) if quick else (200, 1000)
    weights = np.random.default_rng(5).normal(size=(2, 2)) / math.sqrt(2)

    def fixed(rng: np.random.Generator) -> ARRAY:
        x = rng.normal(size=(n, 4)) * [2.0, 1.0, 0.5, 0.2]
        return x + 0.3 * rng.normal(size=x.shape)

    def saturated(rng: np.random.Generator) -> ARRAY:
        clean = np.tanh(8 * rng.normal(size=(n, 2)) @ weights)
        return clean + 0.1 * rng.normal(size=clean.shape)

    points = 4 * np.random.default_rng(8).normal(size=(10, 3))

    def ring(share: ARRAY) -> ARRAY:
        return np.column_stack([np.cos(2 * np.pi * share), np.sin(2 * np.pi * share)])

    def classes(rng: np.random.Generator) -> tuple[ARRAY, ARRAY]:
        y = rng.integers(0, 5, n)
        return 1.5 * np.eye(5)[y] + rng.normal(size=(n, 5)), y

    def pair(rng: np.random.Generator) -> tuple[ARRAY, ARRAY]:
        return gaussian_pair(2.0, 2, n, rng)

    tasks: dict[str, tuple[Callable, Callable]] = {
        "noise, normal, q = 4": (fixed, lambda t: noise_information(t, 0.3).bits),
        "noise, saturated tanh, q = 2": (saturated, lambda t: noise_information(t, 0.1).bits),
        "labels, d = 5": (classes, lambda d: mixed_mutual_information(*d)),
        "shuffle difference, 2+2": (pair, lambda d: shuffle_difference(*d)),
    }
    print("estimate                       sd     folds: se/sd  coverage   halves: se/sd  coverage")
    for name, (drawn, estimate) in tasks.items():
        found = []
        for seed in range(first_seed, first_seed + replicates):
            rng = np.random.default_rng([13, seed])
            data = drawn(rng)

            def part(rows: ARRAY, data=data, estimate=estimate) -> float:
                if isinstance(data, tuple):
                    return estimate(tuple(array[rows] for array in data))
                return estimate(data[rows])

            whole = estimate(data)
            values = np.array([part(fold) for fold in disjoint_folds(n, 10, rng)])
            halves = half_sampling_interval(part, n, rng, repeats=10 if quick else 40, whole=whole)
            found.append((whole, fold_interval(whole, values), halves))
        center = float(np.mean([row[0] for row in found]))
        spread = float(np.std([row[0] for row in found], ddof=1))
        cells = []
        for scheme in (1, 2):
            size = math.sqrt(np.mean([row[scheme].standard_error ** 2 for row in found]))
            covered = np.mean([row[scheme].low <= center <= row[scheme].high for row in found])
            cells.append(f"{size / spread:10.2f} {100 * covered:8.1f} %")
        print(f"{name:29s} {spread:.4f} {cells[0]}    {cells[1]}")
    reported: dict[str, Callable[[np.random.Generator], tuple[ARRAY, float]]] = {
        "normal, q = 4": lambda rng: (fixed(rng), 0.3),
        "saturated tanh, q = 2": lambda rng: (saturated(rng), 0.1),
        "ten points, q = 3": lambda rng: (points[rng.integers(0, 10, n)], 0.5),
        "ring, q = 2": lambda rng: (ring(rng.random(n)), 0.05),
        "no signal, q = 4": lambda rng: (1e-3 * rng.normal(size=(n, 4)), 1.0),
    }
    print("as reported, three classes by the first unit")
    for name, draw in reported.items():
        cells: list[dict[str, Estimate]] = []
        for seed in range(first_seed, first_seed + replicates):
            rng = np.random.default_rng([14, seed])
            clean, share = draw(rng)
            y = np.digitize(clean[:, 0], np.quantile(clean[:, 0], [1 / 3, 2 / 3]))
            code = Code(clean, clean.shape[1], clean.shape[1], 0.0)
            cells.append(noise_estimates(code, share, y, CellOptions(), rng, noisy=False))
        for quantity in ("ixt", "ity", "ixt_given_y"):
            print_coverage(f"{name}, {quantity}", [cell[quantity] for cell in cells])
    for d, mi in ((2, 0.0), (2, 2.0), (4, 0.0), (4, 2.0)):
        pairs = []
        for seed in range(first_seed, first_seed + replicates):
            rng = np.random.default_rng([15, seed])
            pairs.append(view_estimate(*gaussian_pair(mi, d, n, rng), "joint", None, 10, rng)[0])
        print_coverage(f"joint {d}+{d}, MI {mi:g}", pairs)


def print_coverage(name: str, found: list[Estimate]) -> None:
    values = np.array([one.bits for one in found])
    center, spread = values.mean(), values.std(ddof=1)
    size = math.sqrt(np.mean([one.diagnostics["se"] ** 2 for one in found]))
    covered = np.mean([one.low <= center <= one.high for one in found])
    told = np.mean(["biased" in one.flags for one in found])
    print(f"{name:33s} {center:7.3f} bits, sd {spread:.4f}, se / sd {size / spread:.2f},"
          f" held {100 * covered:5.1f} %, biased {100 * told:3.0f} %")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--mnist", type=Path)
    sections: dict[str, Callable[[bool, int], None]] = {
        "images": images, "noise": noise, "bounds": bounds, "copulas": copulas, "labels": labels,
        "coverage": coverage, "speed": speed, "memory": memory,
    }  # fmt: skip
    parser.add_argument("--only", choices=[*sections, "layers"])
    arguments = parser.parse_args()
    run_sections(sections, arguments)


def run_sections(
    sections: dict[str, Callable[[bool, int], None]], arguments: argparse.Namespace
) -> None:
    for name, section in sections.items():
        if arguments.only in (None, name):
            print(f"\n{name}: {(section.__doc__ or '').splitlines()[0]}")
            section(arguments.quick, arguments.first_seed)
    if arguments.only in (None, "layers"):
        print("\nlayers")
        layers(arguments.quick, arguments.mnist)


if __name__ == "__main__":
    main()
