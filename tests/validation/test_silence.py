"""No built-in estimator may be wrong without saying so."""

import pytest

from infoplane.validation.trials import SAMPLES, chosen_estimators, names_of_trials, trial

SLOW = {"compressed", "dse", "renyi"}


def _silent(estimators, n, *, full):
    return [
        (f.estimator, f.case, f.quantity, f.truth, f.estimate, f.message)
        for estimator in estimators
        for name in names_of_trials(estimator, full=full)
        for f in trial(estimator, name, n, 0)
        if f.status in ("SILENT-FAIL", "ERROR")
    ]


def test_no_quick_estimator_is_wrong_in_silence():
    quick = [e for e in chosen_estimators() if e.name not in SLOW]
    assert {e.name for e in quick} >= {"binning", "exact", "kde"}
    assert _silent(quick, SAMPLES["quick"], full=False) == []


@pytest.mark.slow
def test_no_estimator_is_wrong_in_silence():
    assert _silent(chosen_estimators(), SAMPLES["quick"], full=False) == []


@pytest.mark.slow
def test_no_estimator_is_wrong_in_silence_on_the_full_list():
    assert _silent(chosen_estimators(full=True), SAMPLES["full"], full=True) == []
