"""What an estimator says of its own values, beside the truth."""

from infoplane.cli.validation_text import findings_text
from infoplane.estimators.estimate import Estimate
from infoplane.validation.findings import judged, summary


def finding(bits, **diagnostics):
    return judged(("one", "a case", "ixt"), 1.0, Estimate(bits, diagnostics=diagnostics))


def test_values_called_reliable_are_counted_with_those_that_are_wrong():
    found = [finding(1.0, verdict="reliable"), finding(2.0, verdict="reliable"), finding(1.0)]
    found.append(finding(0.3, verdict="lower bound only"))
    text = findings_text(found, summary(found), wide=True)
    assert "2 of 3 values called reliable, 1 of them wrong" in text
    assert [one.as_row()["verdict"] for one in found[1:3]] == ["reliable", None]


def test_estimators_without_verdicts_have_no_such_line():
    found = [finding(1.0)]
    text = findings_text(found, summary(found), wide=True)
    assert "reliable" not in text
    assert "verdict" not in text
