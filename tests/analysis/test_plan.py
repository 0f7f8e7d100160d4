"""The plan of an analysis: cells, cached cells, seconds and memory."""

from pathlib import Path

import pytest

from infoplane.analysis.cache import CellCache
from infoplane.analysis.engine import analyze
from infoplane.analysis.plan import CostModel, plan, scales_of, wall_seconds
from infoplane.analysis.selection import select_cells
from infoplane.data import LayerInfo
from infoplane.errors import InputError
from infoplane.estimators.estimate import Measurement
from infoplane.estimators.registry import parse_estimator
from infoplane.runs.run import Run
from tests.cli.analyses import write_run
from tests.workers import Serial

LAYER = LayerInfo("fc", 0, "Tanh", (64,), "float32")


def finished(seconds, *, cached=False, error=None):
    return Measurement("r", 0, LAYER, "binning", {}, seconds, error, cached=cached)


def test_scale_is_the_median_of_measured_by_predicted_seconds():
    binning = parse_estimator("binning")
    predicted = CostModel().predict(binning, 1000, 64).seconds
    model = CostModel()
    for factor in (2.0, 3.0, 50.0):
        model.observe(binning, 1000, finished(factor * predicted))
    model.observe(binning, 1000, finished(1e6, cached=True))
    model.observe(binning, 1000, finished(1e6, error="NaN"))
    assert model.fitted() == {"binning": {"scale": pytest.approx(3.0), "cells": 3}}
    scaled = CostModel(scales_of(model.fitted())).predict(binning, 1000, 64)
    assert scaled.seconds == pytest.approx(3 * predicted)


def test_every_built_in_estimator_costs_more_with_more_samples_and_units():
    for name in ("binning", "exact", "kde", "compressed", "dse"):
        estimator = parse_estimator(name)
        small, tall, wide = (estimator.cost(*size) for size in ((500, 8), (1500, 8), (500, 800)))
        assert small.seconds < tall.seconds
        assert small.seconds < wide.seconds
        assert small.bytes <= tall.bytes


def test_plan_refuses_what_the_analysis_will(tmp_path):
    write_run(tmp_path / "net")
    cells = select_cells([Run(tmp_path / "net")])
    twice = [parse_estimator("binning:bins=15+30"), parse_estimator("binning:bins=15")]
    with pytest.raises(InputError, match="'binning:bins=15' twice"):
        plan(cells, twice, seed=0, model=CostModel())


def test_plan_counts_what_is_cached_and_how_long_the_rest_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run("net", steps=range(5))
    cells = select_cells([Run(Path("net"))])
    estimators = [parse_estimator("binning"), parse_estimator("dse")]
    first = plan(cells, estimators, seed=0, model=CostModel())
    assert [(work.cells, work.cached) for work in first] == [(10, 0), (10, 0)]
    assert first[1].torch
    assert first[1].seconds == pytest.approx(10 * first[1].seconds_each)
    one, two = (wall_seconds(first, jobs) for jobs in (1, 2))
    assert one - two == pytest.approx(sum(work.seconds for work in first) / 2)

    with CellCache(tmp_path / "full") as full:
        list(analyze(cells, estimators, Serial(), cache=full))
        done = plan(cells, estimators, seed=0, model=CostModel(), cache=full)
    assert [(work.cells, work.cached, work.seconds) for work in done] == [(10, 10, 0.0)] * 2
    assert wall_seconds(done, 1) == 0.0
    with CellCache(tmp_path / "cache") as empty:
        assert plan(cells, estimators, seed=0, model=CostModel(), cache=empty) == first
