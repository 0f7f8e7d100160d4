"""The part of the report that belongs to one group of runs: figures and tables of verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from infoplane.errors import NotFoundError
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.quantities import IXT, Quantity
from infoplane.plots.canvas.style import bits
from infoplane.plots.figures import draw_once
from infoplane.plots.plane.figure import MAX_LAYERS
from infoplane.plots.report import html
from infoplane.plots.report.html import Cell, table
from infoplane.plots.report.sections import Section
from infoplane.plots.view import View, short_names
from infoplane.results.phases import LayerVerdict, layer_verdicts

_LONGEST_TABLE, _LONGEST_CURVES = 200, 20_000
"""Rows; longer tables are in the download alone, longer downloads are to 0.01 bits."""

_VECTOR_LAYERS = 12
"""Figures of more layers are embedded as PNG."""


_FURTHER = {
    "bound": (
        "Information bottleneck bound",
        "The plane under the most I(T;Y) that any T can have at its I(X;T), exact for the recorded "
        "inputs and labels; what lies above is bias of the estimate.",
    ),
    "agreement": (
        "Agreement of estimators",
        "Change of each layer by one estimator against another; the numbers are in the table of "
        "all estimators and quantities.",
    ),
    "sampling": (
        "Number of samples",
        "Estimates on parts of the samples: a curve along log2 N measures the number of samples.",
    ),
    "compare": (
        "Comparison with the baseline",
        "Both planes, and the difference of the last checkpoint of each layer with its interval.",
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


def group_sections(
    view: View, group: str, number: int, *, baseline: View | None = None
) -> list[Section]:
    """Return the sections of one group of runs: plane, compression, heat, steps, spectral, more."""
    planes = one_per_name(view.estimators("ixt", "ity", group=group))
    spectra = one_per_name(view.estimators("dse", group=group))
    mark = f"g{number}"
    colour = "Colour is the training step; labels name the layers (units)."
    many = len({run for c in view.curves.values() if c.group == group for run in c.runs}) > 1

    def drawn(name: str, estimator: str | None = None) -> Figure:
        more = {"baseline": baseline} if name == "compare" else {}
        return draw_once(view, name, group=group if number else None, estimator=estimator, **more)

    def embed(figure: Figure, name: str, title: str, text: str, caption: str = "") -> str:
        vector = len(view.layers(group)) <= _VECTOR_LAYERS
        return html.figure(figure, f"{mark}{name}", title, text, caption, vector=vector)

    def series(name: str, title: str, estimators: list[str], quantity: str) -> list[str]:
        return [
            embed(
                drawn(name, estimator if i else None), f"{name}{i}",
                f"{title}, {view.estimator_title(estimator)}",
                _in_words(view, group, estimator, quantity), captions.get(name, ""),
            )
            for i, estimator in enumerate(estimators)
        ]  # fmt: skip

    captions = {"plane": f"Thick: mean over runs. {colour}" if many else colour}
    sizes = one_per_name(view.estimators("ixt", group=group))
    found: list[tuple[str, str, list[str]]] = [
        ("plane", "Information plane", series("plane", "Information plane", planes, "ixt")),
        ("compression", "Compression by layer", _compression(view, group, drawn, embed)),
    ]
    if len(view.layers(group)) > MAX_LAYERS and (sizes or spectra):
        title = f"{view.quantity('ixt' if sizes else 'dse').symbol} by layer and step"
        text = "The values of all layers and steps are in the download of the curves."
        found.append(("heat", "By layer and step", [embed(drawn("heat"), "heat", title, text)]))
    over = series("steps", "Mutual information over training", sizes, "ity")
    found.append(("steps", "Over training", over))
    heading = "Diffusion spectral entropy"
    found.append(("spectral", heading, series("spectral", heading, spectra, "dse")))
    parts = [e["estimator"] for e in view.results.get("sampling") or ()]
    for name, (heading, text) in _FURTHER.items():
        figures = []
        for i, estimator in enumerate(one_per_name(parts) if name == "sampling" else [None]):
            try:
                figure = drawn(name, estimator)
            except NotFoundError:
                continue
            figures.append(embed(figure, f"{name}{i}" if i else name, heading, text))
        found.append((name, heading, figures))
    found = [section for section in found if section[2]]
    if found:
        found[0][2].append(_curve_download(view, group))
    tail = f" — {group}" if len(view.groups) > 1 else ""
    return [(f"{mark}-{name}", heading + tail, "".join(parts)) for name, heading, parts in found]


def overview(view: View) -> Section:
    """Return the groups of runs side by side: planes if there are any, and counts of verdicts."""
    rows = []
    for group in view.groups:
        phases = [p for p in view.phases.values() if p["group"] == group]
        verdicts = layer_verdicts(phases)
        words = Counter(v.verdict for v in verdicts.values())
        runs = {run for c in view.curves.values() if c.group == group for run in c.runs}
        changes = [
            p["change"]
            for p in phases
            if p["quantity"] == "ixt" and p["verdict"] != "saturated" and p["change"] is not None
        ]
        falls = min(changes, default=None)
        rows.append(
            [
                Cell(group),
                Cell(str(len(runs)), len(runs), number=True),
                Cell(str(len(verdicts)), len(verdicts), number=True),
                *(
                    Cell(str(words[word]), words[word], number=True)
                    for word in ("compresses", "no_change", "expands", "inconclusive", "saturated")
                ),
                Cell(bits(falls, sign=True), falls, number=True),
            ]
        )
    heads = ["Group", "Runs#", "Layers#", "Compress#", "No change#", "Expand#", "Inconclusive#",
             "Saturated#", "Largest fall of I(X;T)#"]  # fmt: skip
    markup = table("Groups of runs, by the joint verdict of their layers; bits", heads, rows)
    try:
        planes = draw_once(view, "plane", facet="group")
    except NotFoundError:
        return "groups", "Groups of runs", markup
    text = "The information plane of each group of runs, on the same axes."
    return "groups", "Groups of runs", markup + html.figure(planes, "groups", "Planes", text)


def one_per_name(estimators: Iterable[str]) -> list[str]:
    """Return the first setting of each estimator: ``binning:bins=15`` and ``binning`` are one."""
    first: dict[str, str] = {}
    for estimator in estimators:
        first.setdefault(MeasureId.read(estimator).name, estimator)
    return list(first.values())


def _in_words(view: View, group: str, estimator: str, quantity: str) -> str:
    """Describe what a figure shows, as its text alternative."""
    sentences, about = [view.subtitle(group, estimator) + "."], view.quantity(quantity)
    for layer in view.layers(group, estimator)[:20]:
        p = view.phases.get((group, layer, estimator, quantity))
        if p is not None and p["last"] is not None:
            sentences.append(
                f"{layer}: {about.symbol} from {bits(p['first'])} over {bits(p['peak'])} "
                f"to {bits(p['last'])} {about.unit}, {about.word(p['verdict'])}."
            )
    return " ".join(sentences) + " The numbers are in the table of this report."


def _compression(
    view: View, group: str, drawn: Callable[..., Figure], embed: Callable[..., str]
) -> list[str]:
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
    about = view.quantity(quantity)
    caption = f"{about.symbol}, {view.estimator_title(main)}, {about.unit}"
    picture = embed(
        drawn("compression"), "compression", f"Compression by layer, {group}",
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
    rest = f"<p>All {len(phases):,} verdicts, of every estimator, are in the download.</p>"
    every = table(
        "All estimators and quantities, in bits where no unit is named",
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
        f"<details><summary>All estimators and quantities</summary>{every}</details>"
        if len(phases) <= _LONGEST_TABLE
        else rest,
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
        Cell(markup=_pill(p["verdict"], view.quantity(p["quantity"]))),
        Cell(markup=together),
    ]


def _phase_row(view: View, p: Mapping[str, Any]) -> list[Cell]:
    return [
        Cell(p["layer"]),
        Cell(view.estimator_title(p["estimator"])),
        Cell(_named(view.quantity(p["quantity"]))),
        Cell(str(p["n_runs"]), p["n_runs"], number=True),
        *(_bits(p[name]) for name in ("first", "peak", "last")),
        *_change(p),
        Cell(markup=_pill(p["verdict"], view.quantity(p["quantity"]))),
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


def _pill(verdict: str, quantity: Quantity = IXT) -> str:
    """Return a verdict as a badge, in the words of the quantity."""
    return f'<span class="verdict {escape(verdict)}">{escape(quantity.word(verdict))}</span>'


def _named(quantity: Quantity) -> str:
    """Return a quantity, its unit with it unless it is bits."""
    return quantity.symbol if quantity.unit == "bits" else f"{quantity.symbol}, {quantity.unit}"


def _curve_download(view: View, group: str) -> str:
    """Return the link to the mean curves of a group, the data of the figures."""
    curves = {key[1:]: curve for key, curve in view.curves.items() if key[0] == group}
    places = 2 if sum(len(c.steps) for c in curves.values()) > _LONGEST_CURVES else 3
    rows = []
    for key, curve in curves.items():
        low, high = curve.spread() or (curve.low[0], curve.high[0])
        counts = np.isfinite(curve.values).sum(axis=0).tolist()
        numbers = zip(curve.mean(), low, high, strict=True)
        for step, n, three in zip(curve.steps.tolist(), counts, numbers, strict=True):
            written = ["" if not np.isfinite(x) else f"{x:.{places}f}" for x in three]
            rows.append((*key, step, n, *written))
    heads = ("layer", "estimator", "quantity", "step", "runs", "mean", "low", "high")
    link = html.download("curves", heads, rows, "Download the curves of all figures")
    return f"<div class=download>{link}</div>"
