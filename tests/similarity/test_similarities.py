"""Similarities of recorded runs: what is compared, cached, refused; ceilings and settling."""

import concurrent.futures
import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import infoplane
from infoplane.errors import DataError, EstimationError, InputError, NotFoundError
from infoplane.runs.run import Run
from infoplane.similarity import engine
from infoplane.similarity.measure import Cka, PairMeasure
from infoplane.similarity.registry import DEFAULT, MEASURES, parse_measure
from infoplane.similarity.session import SimilarityAnalysis
from tests.similarity.made import N, network, probe, write_run
from tests.workers import Serial


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return [write_run(f"s{seed}", network(seed), seed=seed) for seed in range(3)]


def measured(runs, measures="cka", **options):
    found = infoplane.similarities(runs, measures, executor=Serial(), **options)
    return found["similarities"]


def without_time(rows):
    return [{k: v for k, v in row.items() if k not in ("seconds", "cached")} for row in rows]


def test_every_pair_is_compared_along_each_axis(runs):
    rows = measured(runs)["rows"]
    by_axis = {axis: sum(row["axis"] == axis for row in rows) for axis in ("layers", "steps")}
    assert by_axis == {"layers": 3 * 3, "steps": 3 * 2 * 3}  # runs x steps, runs x layers x pairs
    assert sum(row["axis"] == "seeds" for row in rows) == 2 * 3 * 3  # layers x steps x pairs
    assert len(rows) == SimilarityAnalysis(runs, "cka").n_pairs


def test_a_value_is_that_of_the_function(runs):
    run = Run(runs[0])
    x, y = run.activations(20, "fc1"), run.activations(20, "fc2")
    of = {
        "cka": infoplane.cka(x, y),
        "cka_without_top": infoplane.cka_without_top(x, y),
        "cka_biased": infoplane.cka(x, y, debiased=False),
        "cka_rbf:width=0.5": infoplane.cka(x, y, kernel="rbf", width=0.5),
        "procrustes": infoplane.procrustes_distance(x, y),
        "mutual_neighbors:k=5": infoplane.mutual_neighbors(x, y, 5),
        "rsa": infoplane.rsa(x, y),
        "rsa:metric=cosine,correlation=pearson": infoplane.rsa(
            x, y, metric="cosine", correlation="pearson"
        ),
        "svcca:variance=0.9": infoplane.svcca(x, y, 0.9),
        "pwcca": infoplane.pwcca(x, y),
    }
    rows = measured(runs[0], list(of), axes="layers", steps="last")["rows"]
    assert {row["measure"]: row["value"] for row in rows} == pytest.approx(of, abs=1e-9)
    for row in rows:
        assert row["ci_low"] < row["value"] < row["ci_high"]
        assert row["null_sd"] > 0


def test_workers_and_order_do_not_matter(runs):
    options = {"measures": DEFAULT, "steps": "0,last"}
    one = measured(runs, **options)
    assert without_time(measured(runs[::-1], **options)["rows"]) != []
    by_pair = {
        frozenset(((r["run_a"], r["step_a"], r["layer_a"]), (r["run_b"], r["step_b"], r["layer_b"]))
                  ) | {r["measure"], r["axis"]}: r["value"]
        for r in measured(runs[::-1], **options)["rows"]
    }  # fmt: skip
    for r in one["rows"]:
        a, b = (r["run_a"], r["step_a"], r["layer_a"]), (r["run_b"], r["step_b"], r["layer_b"])
        assert by_pair[frozenset((a, b)) | {r["measure"], r["axis"]}] == r["value"]
    with ThreadPoolExecutor(3) as pool:
        threads = infoplane.similarities(runs, executor=pool, **options)["similarities"]
    assert without_time(threads["rows"]) == without_time(one["rows"])
    processes = infoplane.similarities(runs, jobs=2, **options)["similarities"]
    assert without_time(processes["rows"]) == without_time(one["rows"])


def test_little_memory_changes_nothing(runs):
    whole = SimilarityAnalysis(runs, ("cka", "rsa"), executor=Serial())
    little = SimilarityAnalysis(runs, ("cka", "rsa"), executor=Serial())
    little.views_bytes = 1  # two views at a time
    pieces = little._compare(None).pieces
    assert max(len(piece.cells) for piece in pieces) == 2
    keys = [key for piece in pieces for of in piece.wanted.values() for _, _, key in of]
    assert len(keys) == len(set(keys)) == little.n_pairs
    assert without_time(little.run()["similarities"]["rows"]) == without_time(
        whole.run()["similarities"]["rows"]
    )


@pytest.fixture
def read(monkeypatch):
    """What is read of the files, in order."""
    found = []
    before = Run.activations
    monkeypatch.setattr(
        Run, "activations",
        lambda self, step, layer, **more: found.append((self.name, step, layer))
        or before(self, step, layer, **more),
    )  # fmt: skip
    return found


@pytest.mark.parametrize("axes", [("layers",), ("layers", "steps"), ("layers", "steps", "runs")])
def test_each_layer_is_read_once_per_step_whatever_the_axes(runs, read, axes):
    write_run("other", network(5), group="other")
    measured([*runs, "other"], DEFAULT, axes=axes)
    assert len(read) == len(set(read)) == 4 * 3 * 2


def test_in_a_large_analysis_it_is_read_for_its_step_and_for_its_training(runs, read, monkeypatch):
    small = measured(runs, DEFAULT)
    read.clear()
    monkeypatch.setattr(engine, "_SHORT", 0)
    assert without_time(measured(runs, DEFAULT)["rows"]) == without_time(small["rows"])
    assert {read.count(cell) for cell in read} == {2}
    read.clear()
    measured(runs, DEFAULT, axes=("layers", "runs"))
    assert {read.count(cell) for cell in read} == {1}


def test_m_cells_cost_m_views(runs, monkeypatch):
    viewed, compared = [], []
    view, compare = Cka.view, Cka.compare
    monkeypatch.setattr(Cka, "view", lambda *of: viewed.append(1) or view(*of))
    monkeypatch.setattr(Cka, "compare", lambda *of: compared.append(1) or compare(*of))
    measured(runs[0], axes="steps", layers="fc1")
    assert (len(viewed), len(compared)) == (3, 3)


def test_known_pairs_are_not_compared_again(runs, tmp_path):
    options = {"cache": tmp_path / "cache"}
    first = measured(runs[:2], **options)
    again = SimilarityAnalysis(runs[:2], "cka", executor=Serial(), **options)
    assert [work.cells - work.cached for work in again.plan()] == [0]
    found = again.run()["similarities"]
    assert all(row["cached"] for row in found["rows"])
    assert without_time(found["rows"]) == without_time(first["rows"])
    grown = SimilarityAnalysis(runs, "cka", executor=Serial(), **options)
    assert 0 < grown.plan()[0].cells - grown.plan()[0].cached < grown.n_pairs


def test_a_pair_is_known_under_another_name(tmp_path):
    """Content counts: a copy of a run, and the same layer of another run."""
    write_run(tmp_path / "one", network(0), group="one")
    write_run(tmp_path / "copy", network(0), group="copy")
    options = {"cache": tmp_path / "cache", "axes": "layers"}
    measured(tmp_path / "one", **options)
    assert all(row["cached"] for row in measured(tmp_path / "copy", **options)["rows"])


@pytest.mark.parametrize("change", [{"seed": 1}, {"measures": "cka_biased"}])
def test_another_seed_or_measure_is_another_pair(runs, tmp_path, change):
    measured(runs[0], cache=tmp_path / "cache")
    given = {"measures": "cka", "cache": tmp_path / "cache", **change}
    assert not any(row["cached"] for row in measured(runs[0], **given)["rows"])


def test_versions_are_part_of_the_key(runs, tmp_path, monkeypatch):
    measured(runs[0], cache=tmp_path / "cache")
    monkeypatch.setattr(Cka, "version", "next")
    assert not any(row["cached"] for row in measured(runs[0], cache=tmp_path / "cache")["rows"])


def test_models_of_other_widths_and_names(tmp_path):
    """The same functions of the samples in two models, in wider layers of other names."""
    a = network(0)
    onto = np.random.default_rng(5).normal(size=(8, 40))
    onto = np.linalg.qr(onto.T)[0].T
    b = {step: {"wide": layers["fc1"] @ onto, "fc2": layers["fc2"]} for step, layers in a.items()}
    write_run(tmp_path / "a", a, group="a")
    write_run(tmp_path / "b", b, group="b")
    rows = measured([tmp_path / "a", tmp_path / "b"], axes="runs")["rows"]
    found = {(row["layer_a"], row["layer_b"]): row["value"] for row in rows}
    assert len(found) == 4
    assert found["fc1", "wide"] == pytest.approx(1.0, abs=1e-5)
    assert found["fc2", "fc2"] == pytest.approx(1.0, abs=1e-5)
    assert {row["step_a"] for row in rows} == {20}


def test_ceilings_are_the_values_of_other_seeds(runs):
    rows = measured(runs)["rows"]
    seeds = [
        r["value"] for r in rows
        if r["axis"] == "seeds" and r["layer_a"] == "fc1" and r["step_a"] == 20
    ]  # fmt: skip
    for row in rows:
        if row["axis"] == "steps" and row["layer_a"] == "fc1" and row["step_b"] == 20:
            assert (row["ceiling_low"], row["ceiling_high"]) == (min(seeds), max(seeds))
    both = [r["ceiling_low"] for r in rows if r["axis"] == "layers" and r["step_a"] == 20]
    assert max(both) <= min(seeds)


def test_one_run_has_no_ceiling_and_does_not_settle(runs):
    found = measured(runs[0])
    assert all(row["ceiling"] is None for row in found["rows"])
    assert all("another seed" in one["withheld"] for one in found["settling"])


def test_settling_is_where_the_band_is_entered_for_good(runs):
    found = {one["layer"]: one for one in measured(runs)["settling"]}
    assert found["fc1"]["step"] is None  # only the last state is as alike as two seeds
    assert found["fc1"]["withheld"] == "not before the last step"
    assert found["fc1"]["ceiling"] is not None
    assert found["fc1"]["lazy"] < 0.3


STATES = {  # by step, which of some independent layers a run is in: the first and last step at
    "never": ([[0, 1, 2, 3, 4]] * 3, None),  # which it settles
    "back in the band, and out again": ([[4, 4, 1, 2, 4]] * 3, None),
    "midway": ([[0, 1, 4, 4, 4]] * 3, (20, 20, 20)),
    "before the last step": ([[0, 1, 2, 4, 4]] * 3, (30, 30, 30)),
    "from the first step": ([[4, 4, 4, 4, 4]] * 3, (0, 0, 0)),
    "two of three runs": ([[0, 1, 4, 4, 4], [0, 4, 4, 4, 4], [0, 1, 2, 3, 4]], (20, 10, None)),
    "one of three runs": ([[0, 1, 4, 4, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]], None),
}


@pytest.mark.parametrize("measures", ["cka", "procrustes"])
@pytest.mark.parametrize("case", STATES)
def test_a_layer_settles_where_it_stays_and_the_last_step_alone_does_not_count(
    tmp_path, case, measures
):
    states, expected = STATES[case]
    layers = [np.random.default_rng(1000 + state).normal(size=(N, 8)) for state in range(5)]
    for seed, of_run in enumerate(states):
        noise = np.random.default_rng(seed)
        own = 0.05 * noise.normal(size=(N, 8))  # the runs differ, the steps of one state less
        steps = {
            10 * at: {"fc": layers[state] + own + 0.001 * noise.normal(size=(N, 8))}
            for at, state in enumerate(of_run)
        }
        write_run(tmp_path / f"s{seed}", steps, seed=seed)
    (found,) = measured([tmp_path / f"s{seed}" for seed in range(3)], measures)["settling"]
    assert found["ceiling"] is not None
    told = found["step"], found["step_low"], found["step_high"]
    assert told == (expected or (None, None, None))
    if expected is None:
        assert found["withheld"].startswith("not before the last step")
        assert ("in 2 of 3 runs" in found["withheld"]) == (case == "one of three runs")


def test_a_layer_that_never_moves_is_lazy_and_settled_from_the_start(tmp_path):
    for seed in range(2):
        last = network(seed)[20]
        noise = np.random.default_rng(seed + 50)
        steps = {
            s: {k: v + 0.01 * noise.normal(size=v.shape) for k, v in last.items()}
            for s in (0, 5, 20)
        }
        write_run(tmp_path / f"s{seed}", steps)
    for one in measured([tmp_path / "s0", tmp_path / "s1"])["settling"]:
        assert one["step"] == one["step_high"] == 0
        assert one["lazy"] > 0.99


def test_independent_layers_are_at_chance(tmp_path):
    rng = np.random.default_rng(0)
    layers = {"a": rng.normal(size=(N, 20)), "b": rng.normal(size=(N, 300))}
    write_run(tmp_path / "run", {0: layers})
    found = infoplane.similarities(tmp_path / "run", [*DEFAULT, "cka_biased"], executor=Serial())
    assert {tuple(row["flags"]) for row in found["similarities"]["rows"]} == {("at_chance",)}
    (warning,) = found["warnings"]
    assert (warning["flag"], warning["count"]) == ("at_chance", 6)


BAD = {
    "another number": (lambda: probe(n=100), 100, "expected 120 samples, found 100"),
    "another order": (lambda: probe(order=np.arange(N)[::-1]), N, "in another order"),
    "none in common": (lambda: probe(seed=7), N, "no sample in common"),
    "some in common": (
        lambda: probe(order=np.r_[0:60, 0:60]), N, "only 60 of 120 samples are the same",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_runs_of_other_samples_are_refused_with_the_reason(tmp_path, case):
    other, n, told = BAD[case]
    write_run(tmp_path / "a", network(0))
    write_run(tmp_path / "b", network(1, n=n), of=other())
    with pytest.raises(DataError, match=told) as caught:
        measured([tmp_path / "a", tmp_path / "b"])
    assert caught.value.code == "IP319"
    assert "\n" not in str(caught.value)


def test_cells_without_a_value_say_why(tmp_path):
    rng = np.random.default_rng(0)
    layers = {
        "good": rng.normal(size=(N, 5)),
        "constant": np.full((N, 3), 2.0),
        "one": rng.normal(size=(N, 1)),
        "nan": np.where(np.arange(N)[:, None] == 3, np.nan, rng.normal(size=(N, 2))),
        "wide": rng.normal(size=(N, 200)),
    }
    write_run(tmp_path / "run", {0: layers})
    measures = [*DEFAULT, "svcca", "pwcca"]
    found = infoplane.similarities(tmp_path / "run", measures, executor=Serial())
    assert found["status"] == "partial"
    rows = {(r["measure"], r["layer_a"], r["layer_b"]): r for r in found["similarities"]["rows"]}
    for row in rows.values():
        assert (row["value"] is None) == ("reason" in row) == ("failed" in row["flags"])
    assert "constant" in rows["cka", "good", "constant"]["reason"]
    assert "NaN or inf in 1 of 120" in rows["rsa", "good", "nan"]["reason"]
    assert "one component only" in rows["cka_without_top", "good", "one"]["reason"]
    assert "expected more than" in rows["pwcca", "good", "wide"]["reason"]
    assert rows["cka", "good", "one"]["value"] is not None


def test_nan_rows_can_be_left_out(tmp_path):
    a, b = network(0), network(1)
    a[5]["fc1"][7] = np.nan
    write_run(tmp_path / "a", a, group="a")
    write_run(tmp_path / "b", b, group="b")
    found = infoplane.similarities([tmp_path / "a", tmp_path / "b"], "cka", executor=Serial(),
                                   nan="drop")  # fmt: skip
    assert found["status"] == "complete"
    assert {row["n"] for row in found["similarities"]["rows"]} == {N - 1}


def test_against_a_baseline_layers_of_one_name_are_compared(tmp_path):
    main, moved = network(0), network(0, shift=2.0)
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    write_run(tmp_path / "before" / "s0", main)
    write_run(tmp_path / "after" / "s0", moved)
    found = measured(tmp_path / "after" / "s0", baseline=tmp_path / "before" / "s0")
    values = {row["layer_a"]: row["value"] for row in found["rows"]}
    assert {row["run_b"] for row in found["rows"]} == {"baseline/s0"}
    assert values["fc2"] == pytest.approx(1.0)
    assert values["fc1"] < 0.5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ckka", "did you mean 'cka'"),
        ("cka:k=1", "parameter once"),
        ("mutual_neighbors:k=ten", "expected a whole number"),
        ("mutual_neighbors:k=0", "at least 1"),
        ("rsa:metric=miles", "metric"),
        ("cka_rbf:width=-1", "positive"),
        ("", "measure"),
    ],
)
def test_unfit_measures_are_refused(text, told):
    with pytest.raises(InputError, match=told):
        parse_measure(text)


def test_unfit_arguments_are_named(runs):
    for options, told in (
        ({"axes": "rows"}, "axes"), ({"measures": []}, "measures"),
        ({"measures": ["cka", "cka"]}, "measures"), ({"jobs": 0}, "jobs"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"^{told}: expected"):
            measured(runs[0], **options)
    with pytest.raises(NotFoundError, match="nothing to compare"):
        measured(runs[0], layers="fc1", steps="last")


def test_every_measure_declares_what_it_is():
    for name, cls in MEASURES.items():
        measure = cls()
        assert measure.id == name == parse_measure(name).id
        assert measure.identical in (0.0, 1.0)
        assert measure.view_bytes(100, 50) > 0
        assert all(seconds > 0 for seconds in measure.seconds(100, 50))


@dataclass(frozen=True)
class Deadly(PairMeasure):
    """Breaks its pool."""

    name: ClassVar[str] = "deadly"
    title = symbol = family = "deadly"

    def view(self, activations, bounds):
        raise concurrent.futures.BrokenExecutor("gone")

    def compare(self, x, y, rng):
        raise AssertionError


def test_a_worker_that_dies_again_and_again_is_told(runs):
    analysis = SimilarityAnalysis(runs[0], "cka", executor=Serial())
    analysis.measures = [Deadly()]
    with pytest.raises(infoplane.WorkerError, match="died"):
        analysis.run()


def test_a_broken_pool_is_renewed(runs, monkeypatch):
    analysis = SimilarityAnalysis(runs[0], "cka", executor=Serial())
    monkeypatch.setattr(engine, "_SHORT", 0)
    pieces = analysis._compare(None).pieces
    assert len(pieces) > 2

    class Fragile(Serial):
        calls = 0

        def submit(self, function, /, *args, **kwargs):
            Fragile.calls += 1
            if Fragile.calls == 2:
                raise concurrent.futures.BrokenExecutor("gone")
            return super().submit(function, *args, **kwargs)

        executor = property(lambda self: self)
        exchange = None

        def renew(self):
            return self

    found = [key for piece in engine._finished(pieces, Fragile()) for key, _ in piece]
    assert len(found) == len(set(found)) == analysis.n_pairs


UNFIT = {
    "svcca:variance=2": "variance: expected a share of at most 1",
    "svcca:variance=1.0001": "variance: expected a share of at most 1",
    "svcca:variance=0": "variance: expected a positive number",
    "svcca:variance=-1": "variance: expected a positive number",
    "svcca:variance=nan": "variance: expected a positive number",
    "svcca:variance=most": "variance: expected a number, got 'most'",
    "cka_rbf:width=0": "width: expected a positive number",
    "cka_rbf:width=inf": "width: expected a positive number",
    "cka_rbf:width=1e300": "width: expected a number from 1e-06 to 1e+06",
    "cka_rbf:width=1e-300": "width: expected a number from 1e-06 to 1e+06",
    "mutual_neighbors:k=0": "k: expected a number of at least 1",
    "mutual_neighbors:k=-3": "k: expected a number of at least 1",
    "mutual_neighbors:k=2.5": "k: expected a whole number, got '2.5'",
    "rsa:metric=angle": "metric: expected 'sqeuclidean' or",
    "rsa:correlation=kendall": "correlation: expected 'spearman' or 'pearson'",
    "rsa:splits=3": "expected each parameter once, as K=V, got 'splits'",
    "cka:width=1": "expected each parameter once, as K=V, got 'width'",
}


@pytest.mark.parametrize("text", UNFIT)
def test_a_parameter_that_does_not_fit_is_refused_in_one_line(text):
    with pytest.raises(InputError) as caught:
        parse_measure(text)
    assert UNFIT[text] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("of_functions", "of_measures"),
    [
        (lambda x: infoplane.svcca(x, x, 2), "svcca:variance=2"),
        (lambda x: infoplane.cka(x, x, kernel="rbf", width=1e300), "cka_rbf:width=1e300"),
        (lambda x: infoplane.mutual_neighbors(x, x, 0), "mutual_neighbors:k=0"),
        (lambda x: infoplane.rsa(x, x, metric="angle"), "rsa:metric=angle"),
    ],
)
def test_a_function_refuses_what_its_measure_refuses(of_functions, of_measures):
    with pytest.raises(InputError) as of_measure:
        parse_measure(of_measures)
    with pytest.raises(InputError) as of_function:
        of_functions(np.random.default_rng(0).normal(size=(40, 4)))
    told = [str(e.value).partition(", got")[0] for e in (of_function, of_measure)]
    assert told[0] == told[1]


@pytest.mark.parametrize("width", [1e-6, 1e6])
def test_the_widest_and_narrowest_kernels_are_numbers_or_refused_with_a_reason(width):
    x = np.random.default_rng(0).normal(size=(40, 4))
    with contextlib.suppress(EstimationError):
        assert np.isfinite(infoplane.cka(x, x[::-1], kernel="rbf", width=width))
