"""Calls that a type checker passes, and calls that it must not; `make lint` checks both.

Nothing here is run. A wrong call that passes is an "unused type: ignore".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import infoplane
from infoplane import Estimate, Estimator, Progress, Quantity, Results, Run


@dataclass(frozen=True)
class Mean(Estimator):
    power: float = 1.0
    name: ClassVar[str] = "mean"
    title: ClassVar[str] = "mean"
    quantities = (Quantity(name="mean", symbol="M", unit="units"),)

    def estimate(
        self, prepared: Any, activations: Any, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        return {"mean": Estimate(float(activations.mean()))}


def show(now: Progress) -> None:
    assert now.done <= now.total


def whole(folder: str) -> bool:
    run: Run = infoplane.record("net.py:build", "ckpt/*.pt", "probe.npz", folder, progress=show)
    results: Results = infoplane.analyze(
        [run, "runs/s1"],
        ["binning:bins=30", Mean(2.0), infoplane.parse_estimator("dse")],
        layers="fc*",
        steps=[0, "last"],
        jobs=2,
        cache=".cache",
        seed=1,
    )
    results.save("results.json")
    again: Results = infoplane.load("results.json", "more.json")
    again.draw("plane")
    again.report("report.html")
    report = infoplane.check(again, ["last(ity, fc5) >= 2.8"], fail_on="failed")
    names: list[str] = infoplane.estimator_names()
    bits: float = infoplane.binned_information(np.zeros((9, 2)), np.zeros(9), bins=3).ixt
    works = infoplane.Analysis(run, "exact").plan()
    seconds: float = sum(work.seconds for work in works)
    agrees: bool = infoplane.compare(again, results).agrees
    try:
        infoplane.load("nothing.json")
    except infoplane.InfoplaneError as error:
        names.append(error.code)
    return report.passes and agrees and bool(names) and bits >= seconds


def wrong() -> None:
    infoplane.load(3, bogus=1)  # type: ignore
    infoplane.analyze(3)  # type: ignore
    infoplane.analyze("run", estimators=5)  # type: ignore
    infoplane.analyze("run", nan="perhaps")  # type: ignore
    infoplane.analyze("run", seed="1")  # type: ignore
    infoplane.analyze("run", bogus=1)  # type: ignore
    infoplane.analyze("run").saved("x.json")  # type: ignore
    infoplane.record("net.py:build", "ckpt", "probe.npz")  # type: ignore
    infoplane.record("net.py:build", "ckpt", "probe.npz", "run", layers=7)  # type: ignore
    infoplane.Run("run").layer(3)  # type: ignore
    infoplane.check({}, 3)  # type: ignore
    infoplane.compare({})  # type: ignore
    infoplane.Quantity(symbol="PR")  # type: ignore
    infoplane.estimator_names()[0] + 1  # type: ignore
    infoplane.nonsense  # type: ignore  # noqa: B018
    infoplane.InputError("text", hints="more")  # type: ignore
