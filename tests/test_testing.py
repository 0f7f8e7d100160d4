"""The checks that plug-ins are offered find what breaks them."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from infoplane import testing
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.registry import parse_estimator


@dataclass(frozen=True)
class Told(Estimator):
    """Says what it is told to."""

    found: Any = None
    prepared: Any = None
    changes: bool = False

    name: ClassVar[str] = "told"
    title: ClassVar[str] = "told"
    quantities: ClassVar[tuple[str, ...]] = ("ity",)

    def prepare_run(self, run, rng):
        return self.prepared

    def estimate(self, prepared, activations, rng):
        if self.changes:
            activations += 1.0
        return {} if self.found is None else self.found()


@dataclass(frozen=True)
class Counted(Told):
    """Says another number each time."""

    calls: list[int] = field(default_factory=list)

    def estimate(self, prepared, activations, rng):
        self.calls.append(1)
        return {"ity": Estimate(float(len(self.calls)))}


def test_estimators_that_fail_nowhere_in_silence_pass():
    testing.check_estimator(parse_estimator("exact"), n_samples=200)
    testing.check_estimator(Told())


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (Told(lambda: {"ixt": Estimate(1.0)}), "ixt is not in quantities"),
        (Told(lambda: {"ity": Estimate(None)}), "no value and no flag"),
        (Told(lambda: {"ity": Estimate(float("nan"))}), "not JSON compliant"),
        (Told(lambda: {"ity": Estimate(2.0, 0.0, 1.0, "bracket")}), "outside of its bracket"),
        (Told(lambda: {"ity": Estimate(1.0)}), "1.0, expected 0"),
        (Told(lambda: {"ity": Estimate(0.0)}), "ity without labels"),
        (Told(prepared=lambda: 0), "pickle"),
        (Told(changes=True), "read-only"),
        (Counted(), "at first, then"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_breaks_the_contract_is_named(estimator, said):
    with pytest.raises(Exception, match=said):
        testing.check_estimator(estimator)


def test_what_fails_in_silence_is_named(monkeypatch):
    monkeypatch.setattr(testing, "CONTRACT", ())
    guess = Told(lambda: {"ity": Estimate(1.0)})
    with pytest.raises(AssertionError, match="SILENT-FAIL permuted labels, ity: expected 0.0, got"):
        testing.check_estimator(guess, n_samples=200)
