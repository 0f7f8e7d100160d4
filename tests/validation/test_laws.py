"""Laws of a cell catch estimates that break them, and only those."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.validation.consistency import RELATIONS
from infoplane.validation.laws import LAWS
from infoplane.validation.trials import estimate_problem, trial

LAW = {law.name: law for law in LAWS}


@dataclass(frozen=True)
class Fixed(Estimator):
    """Says given numbers whatever it is shown."""

    ixt: float = 1.0
    ity: float = 0.5
    given: float = 0.5
    raised: tuple[str, ...] = ()
    null: float = 0.5
    direct: float | None = None

    name: ClassVar[str] = "fixed"
    title: ClassVar[str] = "fixed"
    quantities: ClassVar[tuple[str, ...]] = ("ixt", "ity", "ixt_given_y")

    def estimate(self, prepared, activations, rng):
        return {
            "ixt": Estimate(self.ixt, flags=self.raised),
            "ity": Estimate(self.ity, flags=self.raised, diagnostics={"null": self.null}),
            "ixt_given_y": Estimate(
                self.given, flags=self.raised, diagnostics={"direct": self.direct}
            ),
        }


def statuses(estimator, law):
    return {f.quantity: f.status for f in trial(estimator, law, 400, 0)}


def test_entropies_are_bounds():
    name = "no more than H(Y), H(X)"
    problem = LAW[name].make(400, np.random.default_rng(0))
    shares = np.unique(problem.labels, return_counts=True)[1] / 400
    h_y, h_x = -(shares * np.log2(shares)).sum(), math.log2(40)
    assert h_y < h_x
    at_the_bound = Fixed(h_x, h_y, h_x - h_y)
    assert set(statuses(at_the_bound, name).values()) == {"PASS"}
    above = statuses(Fixed(h_x + 1e-6, h_y, h_x - h_y), name)
    assert above == {"ixt": "SILENT-FAIL", "ity": "PASS", "ixt_given_y": "PASS"}
    assert statuses(Fixed(1.0, h_y + 1e-6, 1.0), name)["ity"] == "SILENT-FAIL"
    assert statuses(Fixed(1.0, 9.0, raised=("saturated",)), name)["ity"] == "KNOWN-LIMIT"


@pytest.mark.parametrize("units", [2, 20])
def test_values_near_log2_n_need_a_flag(units):
    name = f"ceiling is told, {units} units"
    near = 0.9 * math.log2(400)
    assert statuses(Fixed(near), name)["ixt"] == "SILENT-FAIL"
    assert statuses(Fixed(near, raised=("saturated",)), name)["ixt"] == "KNOWN-LIMIT"
    assert statuses(Fixed(near, raised=("subsampled",)), name)["ixt"] == "SILENT-FAIL"
    assert statuses(Fixed(0.8 * math.log2(400)), name)["ixt"] == "PASS"


def test_chain_rule_of_a_cell_is_an_identity_no_flag_excuses():
    assert statuses(Fixed(2.0, 1.2, 0.8), "chain rule") == {"ixt_given_y": "PASS"}
    broken = Fixed(2.0, 1.2, 0.81, raised=("biased",))
    assert statuses(broken, "chain rule") == {"ixt_given_y": "SILENT-FAIL"}
    second = statuses(Fixed(2.0, 1.2, 0.8, direct=1.5), "chain rule")
    assert second == {"ixt_given_y": "PASS", "ixt_given_y, by class": "SILENT-FAIL"}


def test_null_is_what_shuffled_labels_give():
    name = "null is that of shuffled labels"
    assert statuses(Fixed(ity=0.5, null=0.49), name) == {"ity": "PASS"}
    wrong = Fixed(ity=0.5, null=0.2, raised=("null_dominates",))
    assert statuses(wrong, name) == {"ity": "SILENT-FAIL"}


def test_parts_of_the_chain_over_groups_are_the_whole():
    relation = next(r for r in RELATIONS if r.name == "classes group by group")
    parts, whole = relation.make(401, np.random.default_rng(0))
    (one, group), *inside = parts
    assert one == 1.0
    assert sum(weight for weight, _ in inside) == pytest.approx(1.0)
    assert sum(len(part.labels) for _, part in inside) == 401
    for value, (_, part) in enumerate(inside):
        assert set(part.labels // 2) == {value}
    np.testing.assert_array_equal(group.activations, whole.activations)
    np.testing.assert_array_equal(group.labels, whole.labels // 2)


def test_laws_reach_an_estimator_that_knows_their_quantities_alone():
    @dataclass(frozen=True)
    class OnlyLabels(Fixed):
        quantities: ClassVar[tuple[str, ...]] = ("ity",)

        def estimate(self, prepared, activations, rng):
            raise AssertionError("not asked")

    assert trial(OnlyLabels(), "chain rule", 400, 0) == []
    assert trial(OnlyLabels(), "ceiling is told, 2 units", 400, 0) == []


def test_estimates_of_a_law_are_those_of_the_estimator():
    law = LAW["chain rule"]
    problem = law.make(300, np.random.default_rng(1))
    assert set(problem.labels) == {0, 1, 2, 3}
    cell = estimate_problem(Fixed(), problem, 0)
    assert [claim.key for claim in law.claims(problem, cell)] == ["ixt_given_y"]
