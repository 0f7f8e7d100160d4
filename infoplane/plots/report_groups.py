"""The part of the report that belongs to one group of runs: figures and tables of verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from infoplane.errors import NotFoundError
from infoplane.phases import LayerVerdict, layer_verdicts
from infoplane.plots import draw, html
from infoplane.plots.compression import compression
from infoplane.plots.facets import MAX_LAYERS, plane_figure
from infoplane.plots.heat import heat
from infoplane.plots.html import Cell, table
from infoplane.plots.report_sections import Section
from infoplane.plots.steps import spectral, steps
from infoplane.plots.style import bits
from infoplane.plots.view import View, short_names
from infoplane.records import QUANTITIES

_VECTOR_LAYERS = 12
"""Figures of more layers are embedded as PNG."""


_FURTHER = {
    "agreement": (
        "Agreement of estimators",
        "Change of each layer by one estimator against another; the numbers are in the table of "
        "all estimators and quantities.",
    ),
    "gap": (
        "Compression and generalisation",
        "Change of each run against its generalisation gap, with rank correlations per layer.",
    ),
    "diagnostics": (
        "Diagnostics",
        "Share of samples with a state of their own, by training step and layer: above a half, "
        "estimates follow the number of samples.",
    ),
    "gradients": (
        "Gradient phases",
        "Mean and spread of the gradient over the norm of the weights, by training step and layer.",
    ),
}


def group_sections(view: View, group: str, number: int) -> list[Section]:
    """Return the sections of one group of runs: plane, compression, heat, steps, spectral."""
    planes = one_per_name(view.estimators("ixt", "ity", group=group))
    spectra = one_per_name(view.estimators("dse", group=group))
    mark = f"g{number}"
    colour = "Colour is the training step; labels name the layers (units)."
    many = len({run for c in view.curves.values() if c.group == group for run in c.runs}) > 1

    def embed(drawn: Figure, name: str, title: str, text: str, caption: str = "") -> str:
        vector = len(view.layers(group)) <= _VECTOR_LAYERS
        return html.figure(drawn, f"{mark}{name}", title, text, caption, vector=vector)

    found: list[tuple[str, str, list[str]]] = []
    figures = [
        embed(
            plane_figure(view, group=group, estimator=estimator), f"plane{i}",
            f"Information plane, {view.estimator_title(estimator)}",
            _in_words(view, group, estimator, "ixt"),
            f"Thick: mean over runs. {colour}" if many else colour,
        )
        for i, estimator in enumerate(planes)
    ]  # fmt: skip
    found.append(("plane", "Information plane", figures))
    found.append(("compression", "Compression by layer", _compression(view, group, embed)))
    if len(view.layers(group)) > MAX_LAYERS and (planes or spectra):
        quantity = "ixt" if planes else "dse"
        drawn = heat(view, group=group, quantity=quantity)
        title = f"{QUANTITIES[quantity]} by layer and step"
        text = "The values of all layers and steps are in the download of the curves."
        found.append(("heat", "By layer and step", [embed(drawn, "heat", title, text)]))
    figures = [
        embed(
            steps(view, group=group, estimator=estimator), f"steps{i}",
            f"Mutual information over training, {view.estimator_title(estimator)}",
            _in_words(view, group, estimator, "ity"),
        )
        for i, estimator in enumerate(one_per_name(view.estimators("ixt", group=group)))
    ]  # fmt: skip
    found.append(("steps", "Over training", figures))
    figures = [
        embed(
            spectral(view, group=group, estimator=estimator), f"spectral{i}",
            f"Diffusion spectral entropy, {view.estimator_title(estimator)}",
            _in_words(view, group, estimator, "dse"),
        )
        for i, estimator in enumerate(spectra)
    ]  # fmt: skip
    found.append(("spectral", "Diffusion spectral entropy", figures))
    for name, (heading, text) in _FURTHER.items():
        try:
            drawn = draw(view, name, group=group)
        except NotFoundError:
            continue
        found.append((name, heading, [embed(drawn, name, heading, text)]))
    found = [section for section in found if section[2]]
    if found:
        found[0][2].append(_curve_download(view, group))
    tail = f" — {group}" if len(view.groups) > 1 else ""
    return [(f"{mark}-{name}", heading + tail, "".join(parts)) for name, heading, parts in found]


def one_per_name(estimators: Iterable[str]) -> list[str]:
    """Return the first setting of each estimator: ``binning:bins=15`` and ``binning`` are one."""
    first: dict[str, str] = {}
    for estimator in estimators:
        first.setdefault(estimator.split(":")[0].split("@")[0], estimator)
    return list(first.values())


def _in_words(view: View, group: str, estimator: str, quantity: str) -> str:
    """Describe what a figure shows, as its text alternative."""
    sentences = [view.subtitle(group, estimator) + "."]
    for layer in view.layers(group, estimator)[:20]:
        p = view.phases.get((group, layer, estimator, quantity))
        if p is not None and p["last"] is not None:
            sentences.append(
                f"{layer}: {QUANTITIES[quantity]} from {bits(p['first'])} over {bits(p['peak'])} "
                f"to {bits(p['last'])} bits, {p['verdict'].replace('_', ' ')}."
            )
    return " ".join(sentences) + " The numbers are in the table of this report."


def _compression(view: View, group: str, embed: Callable[..., str]) -> list[str]:
    """Return table, figure and downloads of the verdicts; nothing without verdicts."""
    phases = [p for p in view.phases.values() if p["group"] == group]
    sizes = [p for p in phases if p["quantity"] in ("ixt", "dse") and p["last"] is not None]
    if not sizes:
        return []
    verdicts = layer_verdicts(phases)
    main = next((p["estimator"] for p in sizes if p["quantity"] == "ixt"), sizes[0]["estimator"])
    quantity = next(p["quantity"] for p in sizes if p["estimator"] == main)
    units = view.units(group)
    of_main = [p for p in sizes if (p["estimator"], p["quantity"]) == (main, quantity)]
    short = short_names([p["layer"] for p in of_main])
    rows = [
        _main_row(view, p, short[p["layer"]], units, verdicts[group, p["layer"]]) for p in of_main
    ]
    label = "I(T;Y)#" if quantity == "ixt" else "DSMI(T;Y)#"
    heads = ["Layer", "Course", "First#", "Peak#", "Last#", "Change#", "95 % interval#",
             "Onset#", label, "Verdict", "All estimators"]  # fmt: skip
    caption = f"{QUANTITIES[quantity]}, {view.estimator_title(main)}, bits"
    picture = embed(
        compression(view, group=group), "compression", f"Compression by layer, {group}",
        " ".join(
            f"{layer}: {v.verdict.replace('_', ' ')}, {v.agree} of {v.of} estimators agree."
            for (_, layer), v in list(verdicts.items())[:60]
        ),
        "A layer compresses when more than half of its unsaturated estimators say so, and at "
        "least two where there are two.",
    )  # fmt: skip
    fields = ("layer", "estimator", "quantity", "n_runs", "first", "peak", "last", "change",
              "change_low", "change_high", "interval", "onset_step", "onset_low", "onset_high",
              "score", "verdict", "agree", "of")  # fmt: skip
    every = table(
        "All estimators and quantities, bits",
        ["Layer", "Estimator", "Quantity", "Runs#", "First#", "Peak#", "Last#", "Change#",
         "95 % interval#", "Onset step#", "Verdict"],
        [_phase_row(view, p) for p in phases],
    )  # fmt: skip
    save = html.download(
        "phases", fields, ([p.get(f) for f in fields] for p in phases), "Download all verdicts"
    )
    return [
        table(caption, heads, rows),
        f"<div class=download>{save}</div>",
        picture,
        f"<details><summary>All estimators and quantities</summary>{every}</details>",
    ]


def _main_row(
    view: View, p: Mapping[str, Any], name: str, units: Mapping[str, int], joint: LayerVerdict
) -> list[Cell]:
    key = (p["group"], p["layer"], p["estimator"])
    curve = view.curves[(*key, p["quantity"])]
    partner = view.phases.get((*key, "ity" if p["quantity"] == "ixt" else "dsmi_y"), {})
    saturated = p["verdict"] == "saturated"
    high = curve.bound or float(np.nanmax(curve.mean()))
    spark = html.sparkline(curve.time, curve.mean(), high, saturated=saturated)
    together = _pill(joint.verdict)
    if joint.agree:
        together += f" {joint.agree} of {joint.of}"
    n_units = units.get(p["layer"])
    return [
        Cell(name if n_units is None else f"{name} ({n_units})", title=p["layer"]),
        Cell(markup=spark or "—"),
        *(_bits(p[name]) for name in ("first", "peak", "last")),
        *_change(p),
        _bits(partner.get("last")),
        Cell(markup=_pill(p["verdict"], p["quantity"])),
        Cell(markup=together),
    ]


def _phase_row(view: View, p: Mapping[str, Any]) -> list[Cell]:
    return [
        Cell(p["layer"]),
        Cell(view.estimator_title(p["estimator"])),
        Cell(QUANTITIES.get(p["quantity"], p["quantity"])),
        Cell(str(p["n_runs"]), p["n_runs"], number=True),
        *(_bits(p[name]) for name in ("first", "peak", "last")),
        *_change(p),
        Cell(markup=_pill(p["verdict"], p["quantity"])),
    ]


def _change(p: Mapping[str, Any]) -> list[Cell]:
    """Return change, interval and onset: nothing where the layer is saturated."""
    if p["verdict"] == "saturated" or p["change"] is None:
        return [Cell("—", number=True)] * 3
    low, high, onset = p["change_low"], p["change_high"], p["onset_step"]
    interval = "—" if low is None else f"[{bits(low)}, {bits(high)}]"
    return [
        Cell(bits(p["change"], sign=True), p["change"], number=True),
        Cell(interval, low, number=True),
        Cell("—" if onset is None else f"{onset:,}", onset, number=True),
    ]


def _bits(value: float | None) -> Cell:
    return Cell(bits(value), value, number=True)


def _pill(verdict: str, quantity: str = "ixt") -> str:
    """Return a verdict as a badge; information about labels or inputs falls or rises."""
    words = {"compresses": "falls", "expands": "rises"} if quantity not in ("ixt", "dse") else {}
    text = words.get(verdict, verdict.replace("_", " "))
    return f'<span class="verdict {escape(verdict)}">{escape(text)}</span>'


def _curve_download(view: View, group: str) -> str:
    """Return the link to the mean curves of a group, the data of the figures."""
    rows = []
    for (of, layer, estimator, quantity), curve in view.curves.items():
        if of != group:
            continue
        low, high = curve.spread() or (curve.low[0], curve.high[0])
        counts = np.isfinite(curve.values).sum(axis=0)
        means = curve.mean()
        for step, mean, a, b, n in zip(
            curve.steps.tolist(), means, low, high, counts.tolist(), strict=True
        ):
            rows.append((layer, estimator, quantity, step, n, _g(mean), _g(a), _g(b)))
    heads = ("layer", "estimator", "quantity", "step", "runs", "mean_bits", "low", "high")
    link = html.download("curves", heads, rows, "Download the curves of all figures")
    return f"<div class=download>{link}</div>"


def _g(value: float) -> str:
    return "" if not np.isfinite(value) else f"{value:.3f}"
