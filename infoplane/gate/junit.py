"""Checks as JUnit XML, in the dialect that all CI systems read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from infoplane.curves import group_of_runs
from infoplane.gate.checks import Outcome, Report
from infoplane.text import printable


def junit(report: Report, results: Mapping[str, Any], sources: str, seconds: float) -> str:
    """Return an XML document: one suite, a case per check.

    A failed check is a ``failure``; one of level warning is a case that passes with a note. Control
    characters, which XML cannot hold, are escaped.

    Parameters
    ----------
    report : Report
        The outcomes.
    results : mapping
        The results document they are about; its time of creation is the suite's.
    sources : str
        Where the results came from.
    seconds : float
        Time the checks took.
    """
    name = printable("+".join(dict.fromkeys(group_of_runs(results).values())))
    totals = {
        "tests": str(len(report.outcomes)),
        "failures": str(report.count("failed")),
        "errors": "0",
        "skipped": "0",
        "time": f"{seconds:.3f}",
    }
    root = ET.Element("testsuites", {"name": "infoplane", **totals})
    created = printable(results["created"])[:19]
    suite = ET.SubElement(root, "testsuite", {"name": name, "timestamp": created, **totals})
    properties = ET.SubElement(suite, "properties")
    for key, value in (("results", sources), ("config_hash", results["config_hash"])):
        ET.SubElement(properties, "property", name=key, value=printable(str(value)))
    for outcome in report.outcomes:
        _case(suite, report, outcome, name, seconds / len(report.outcomes))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


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
