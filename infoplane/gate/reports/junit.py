"""Checks as JUnit XML, in the dialect that all CI systems read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from infoplane.gate.checks import Outcome, Report
from infoplane.results.curves import groups_of
from infoplane.text import printable


def junit(report: Report, results: Mapping[str, Any], sources: str, seconds: float) -> str:
    """Return an XML document: a suite per group of runs, in it a case per check.

    A failed check is a ``failure``; one of level warning is a case that passes with a note. A check
    that is not about a group is no case of it; one that matched nothing is a case of each. Control
    characters, which XML cannot hold, are escaped.

    Parameters
    ----------
    report : Report
        The outcomes.
    results : mapping
        The results document they are about; its time of creation is that of the suites.
    sources : str
        Where the results came from.
    seconds : float
        Time the checks took.
    """
    suites = {
        group: [found for outcome in report.outcomes if (found := outcome.within(group))]
        for group in groups_of(results)
    }
    cases = sum(map(len, suites.values()))
    everything = [outcome for outcomes in suites.values() for outcome in outcomes]
    root = ET.Element("testsuites", {"name": "infoplane", **_totals(report, everything, seconds)})
    created = printable(results["created"])[:19]
    for group, outcomes in suites.items():
        name = printable(group)
        totals = _totals(report, outcomes, seconds * len(outcomes) / cases)
        suite = ET.SubElement(root, "testsuite", {"name": name, "timestamp": created, **totals})
        properties = ET.SubElement(suite, "properties")
        for key, value in (("results", sources), ("config_hash", results["config_hash"])):
            ET.SubElement(properties, "property", name=key, value=printable(str(value)))
        for outcome in outcomes:
            _case(suite, report, outcome, name, seconds / cases)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _totals(report: Report, outcomes: Sequence[Outcome], seconds: float) -> dict[str, str]:
    failed = sum(report.result(outcome) == "failed" for outcome in outcomes)
    return {
        "tests": str(len(outcomes)),
        "failures": str(failed),
        "errors": "0",
        "skipped": "0",
        "time": f"{seconds:.3f}",
    }


def _case(suite: ET.Element, report: Report, outcome: Outcome, group: str, seconds: float) -> None:
    check, result = outcome.check, report.result(outcome)
    title = printable(check.name) + (" (warning)" if result == "warning" else "")
    place = {}
    if check.source:
        file, _, line = check.source.rpartition(":")
        place = {"file": printable(file), "line": line}
    about = {"classname": f"infoplane.{group}", "name": title, "time": f"{seconds:.3f}", **place}
    case = ET.SubElement(suite, "testcase", about)
    rule = printable(check.rule.text)
    places = "\n".join(o.message for o in outcome.observations if o.status != "pass")
    if result == "failed":
        failure = ET.SubElement(
            case, "failure", type=outcome.status, message=f"{rule}: {outcome.message}"
        )
        failure.text = places
    elif result == "warning":
        ET.SubElement(case, "system-out").text = f"WARNING {rule}\n{places}"
