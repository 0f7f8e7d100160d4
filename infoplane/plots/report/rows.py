"""Rows of the tables of verdicts in the report."""

from __future__ import annotations

from html import escape

import numpy as np

from infoplane.estimators.quantities import IXT, Quantity
from infoplane.plots.report import html
from infoplane.plots.report.html import Cell
from infoplane.plots.view import View
from infoplane.results.curves import mean_over_runs
from infoplane.results.verdicts import LayerVerdict, Phase

HEADS = ("Layer", "Course", "First#", "Peak#", "Last#", "Change#", "95 % interval#", "Onset#")

PARTNERS = {"ixt": "ity", "dse": "dsmi_y"}
"""What is told of the labels beside the size of a layer."""


def main_row(view: View, p: Phase, name: str, joint: LayerVerdict | None = None) -> list[Cell]:
    """Return a layer by the main estimator, and, of the size of a layer, what all say together."""
    curve, n_units = view.curves[p.key], view.units(p.group).get(p.layer)
    high = curve.bound or float(np.nanmax(curve.mean()))
    spark = html.sparkline(curve.time, curve.mean(), high, saturated=p.saturated)
    verdict = Cell(markup=pill(p.verdict, view.quantity(p.quantity)))
    row = [
        Cell(name if n_units is None else f"{name} ({n_units})", title=p.layer),
        Cell(markup=spark or "—"),
        *(number(view, p, value) for value in (p.first, p.peak, p.last)),
        *change(view, p),
    ]
    if joint is None:
        return [*row, verdict]
    partner = view.phases.get((*p.key[:3], PARTNERS[p.quantity]))
    together = pill(joint.verdict)
    if joint.agree and joint.verdict != "inconclusive":
        together += f" {joint.agree} of {joint.of}"
    last = Cell("—", number=True) if partner is None else number(view, partner, partner.last)
    return [*row, last, verdict, Cell(markup=together)]


def phase_row(view: View, p: Phase) -> list[Cell]:
    """Return a layer by one estimator and quantity."""
    return [
        Cell(p.layer),
        Cell(view.estimator_title(p.estimator)),
        Cell(_named(view.quantity(p.quantity))),
        Cell(str(p.n_runs), p.n_runs, number=True),
        *(number(view, p, value) for value in (p.first, p.peak, p.last)),
        *change(view, p),
        Cell(markup=pill(p.verdict, view.quantity(p.quantity))),
    ]


def measure_row(view: View, p: Phase, name: str) -> list[Cell]:
    """Return a layer by one measure of its representation, beside the null of that."""
    null = mean_over_runs(view.curves[p.key].null)
    there = null[np.isfinite(null)]
    numbers = (p.first, p.last, float(there[-1]) if len(there) else None)
    return [
        Cell(name, title=p.layer),
        Cell(_named(view.quantity(p.quantity))),
        *(number(view, p, value) for value in numbers),
        *change(view, p),
        Cell(p.sentence, wrap=True),
    ]


def change(view: View, p: Phase) -> list[Cell]:
    """Return change, interval and onset: nothing where the layer is saturated."""
    if p.saturated or p.change is None:
        return [Cell("—", number=True)] * 3
    low, high = (view.number(p.quantity, end) for end in (p.change_low, p.change_high))
    onset = p.onset_step
    return [
        Cell(view.number(p.quantity, p.change, sign=True), p.change, number=True),
        Cell("—" if p.change_low is None else f"[{low}, {high}]", p.change_low, number=True),
        Cell("—" if onset is None else f"{onset:,}", onset, number=True),
    ]


def number(view: View, p: Phase, value: float | None) -> Cell:
    """Return a value of a curve."""
    return Cell(view.number(p.quantity, value), value, number=True)


def pill(verdict: str, quantity: Quantity = IXT) -> str:
    """Return a verdict as a badge, in the words of the quantity."""
    return f'<span class="verdict {escape(verdict)}">{escape(quantity.word(verdict))}</span>'


def _named(quantity: Quantity) -> str:
    """Return a quantity, its unit with it unless it is bits."""
    return quantity.symbol if quantity.unit == "bits" else f"{quantity.symbol}, {quantity.unit}"
