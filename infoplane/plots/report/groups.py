"""The part of the report that belongs to one group of runs: figures and tables of verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape

import numpy as np
from matplotlib.figure import Figure

from infoplane.errors import NotFoundError
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.quantities import OUTPUTS, QUANTITIES, REPRESENTATION, WEIGHTS
from infoplane.plots.canvas.style import drawable
from infoplane.plots.drawing import as_note
from infoplane.plots.figures import draw_once
from infoplane.plots.labels import short_names
from infoplane.plots.plane.figure import MAX_LAYERS
from infoplane.plots.report import html
from infoplane.plots.report.html import Cell, table
from infoplane.plots.report.rows import HEADS, PARTNERS, main_row, measure_row, phase_row
from infoplane.plots.report.sections import Section, judged
from infoplane.plots.view import SIZES, View
from infoplane.results.shape_and_scale import NEEDS, splits
from infoplane.results.verdicts import VERDICTS, Phase, layer_verdicts

_LONGEST_TABLE, _LONGEST_CURVES = 200, 20_000
"""Rows; longer tables are in the download alone, longer downloads are to 0.01 bits."""

_MANY_ROWS = 24
"""Rows of a table beside a figure; longer ones are folded away."""

_VECTOR_LAYERS = 12
"""Figures of more layers, of all groups together, are embedded as PNG."""

_WAYS = {"steps": "over training", "depth": "by depth", "heat": "by layer and step"}

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
        "Share of samples with a state of their own, over training and by layer: above a half, "
        "estimates follow the number of samples.",
    ),
    "resolution": (
        "Resolution",
        "I(X;T) of each layer at several sizes of noise, last checkpoint: the structure of a layer "
        "from coarse to fine.",
    ),
    "losses": (
        "Loss curve",
        "The loss at every step, with the power law that fits it, and the area above the final "
        "loss.",
    ),
    "curvature": (
        "Curvature",
        "Largest eigenvalue and trace of the Hessian of the loss on the probe set, beside the "
        "eigenvalue at which gradient descent is stable.",
    ),
    "attention": (
        "Attention",
        "Entropy of the attention weights by layer and head, as a share of the largest that there "
        "could be; heads near both ends are marked.",
    ),
    "gradients": (
        "Gradient phases",
        "Mean and spread of the gradient over the norm of the weights, over training and by layer.",
    ),
}


def chapter_anchor(number: int) -> str:
    """Return the anchor of a group of runs by its number."""
    return f"g{number}"


@dataclass(frozen=True)
class _Group:
    """One group of runs in the report: its figures, drawn once and embedded."""

    view: View
    name: str
    number: int
    baseline: View | None

    @property
    def mark(self) -> str:
        """What its anchors begin with."""
        return chapter_anchor(self.number)

    @cached_property
    def phases(self) -> list[Phase]:
        """Its verdicts."""
        return [p for p in self.view.phases.values() if p.group == self.name]

    def drawn(self, name: str, **options: str | None) -> Figure:
        """Return a figure of the group."""
        more = {"baseline": self.baseline} if name == "compare" else {}
        group = self.name if self.number else None
        return draw_once(self.view, name, group=group, **options, **more)

    def embed(self, figure: Figure, name: str, title: str, text: str, caption: str = "") -> str:
        """Return a figure as markup, with its text alternative."""
        layers = len(self.view.layers(self.name))
        vector = layers * len(self.view.groups) <= _VECTOR_LAYERS
        return html.figure(figure, f"{self.mark}{name}", title, text, caption, vector=vector)

    def series(
        self, name: str, title: str, estimators: Sequence[str], quantity: str, caption: str = ""
    ) -> list[str]:
        """Return a figure per estimator; of the first as it is drawn by default."""
        return [
            self.embed(
                self.drawn(name, estimator=estimator if i else None), f"{name}{i}",
                f"{title}, {self.view.estimator_title(estimator)}",
                _in_words(self, estimator, quantity), caption,
            )
            for i, estimator in enumerate(estimators)
        ]  # fmt: skip

    def able(self, *quantities: str) -> list[str]:
        """Return the estimators with these quantities, the first setting of each.

        The one that says most comes first; those that say nothing are left out.
        """
        found = self.view.estimators(*quantities, group=self.name)
        if not found:
            return []
        choice = self.view.choice(self.name, *quantities)
        others = [e for e in found if e != choice.estimator and e not in choice.folded]
        return one_per_name([choice.estimator, *others])

    def shown(self, *quantities: str) -> str:
        """Return which estimator is shown first and why, as markup."""
        if not self.view.estimators(*quantities, group=self.name):
            return ""
        sentence = self.view.choice(self.name, *quantities).sentence
        return f"<p>{escape(sentence[:1].upper() + sentence[1:])}.</p>"


def group_sections(
    view: View, group: str, number: int, *, baseline: View | None = None
) -> list[Section]:
    """Return the sections of one group: plane, compression, heat, steps, spectral, others, more."""
    of = _Group(view, group, number, baseline)
    planes, sizes, spectra = of.able("ixt", "ity"), of.able("ixt"), of.able("dse")
    time = "epoch" if view.epochs else "training step"
    colour = f"Colour is the {time}; labels name the layers (units)."
    caption = f"Thick: mean over runs. {colour}" if view.n_runs(group) > 1 else colour
    heading = "Information plane"
    found: list[tuple[str, str, list[str]]] = [
        ("plane", heading, [*_said(of.shown("ixt", "ity")),
                            *of.series("plane", heading, planes, "ixt", caption)]),
        ("compression", "Compression by layer", _compression(of)),
        ("scale", "Shape and scale", _shape_and_scale(of)),
    ]  # fmt: skip
    if (sizes or spectra) and len(view.layers(group, (sizes or spectra)[0])) > MAX_LAYERS:
        title = f"{view.quantity('ixt' if sizes else 'dse').symbol} by layer and step"
        text = "The values of all layers and steps are in the download of the curves."
        heat = of.embed(of.drawn("heat"), "heat", title, text)
        found.append(("heat", "By layer and step", [heat]))
    over = of.series("steps", "Mutual information over training", sizes, "ity")
    found.append(("steps", "Over training", over))
    heading = "Diffusion spectral entropy"
    found.append(("spectral", heading, of.series("spectral", heading, spectra, "dse")))
    found.append(("representation", "Representation", _measures(of, _MEASURES, REPRESENTATION)))
    of_weights = tuple(quantity.name for quantity in WEIGHTS)
    found.append(("weights", "Weights", _measures(of, _OF_WEIGHTS, of_weights)))
    found.append(("output", "Outputs", _outputs(of)))
    for i, quantity in enumerate(view.further(group)):
        found.append((f"quantity{i}", _headed(view, quantity), _quantity(of, i, quantity)))
    parts = one_per_name(e["estimator"] for e in view.results.get("sampling") or ())
    for name, (heading, text) in _FURTHER.items():
        figures = []
        for i, estimator in enumerate(parts if name == "sampling" else [None]):
            options = {} if estimator is None else {"estimator": estimator}
            try:
                figure = of.drawn(name, **options)
            except NotFoundError as error:
                if name == "compare" and baseline is not None:
                    figures.append(f"<p>Not compared: {escape(str(error))}.</p>")
                continue
            figures.append(of.embed(figure, f"{name}{i}" if i else name, heading, text))
        found.append((name, heading, figures))
    found = [section for section in found if section[2]]
    if found:
        verdicts = "" if found[0][0] == "compression" or sizes or spectra else _verdicts(of)
        found[0][2].append(f"{verdicts}{_curve_download(view, group)}")
    return [(f"{of.mark}-{name}", title, "".join(parts)) for name, title, parts in found]


def _headed(view: View, quantity: str) -> str:
    """Return the heading of a quantity: its name in words, and how it is written."""
    words = quantity.replace("_", " ").capitalize()
    symbol = view.quantity(quantity).symbol
    return symbol if quantity in (*QUANTITIES, symbol) else f"{drawable(words)} ({symbol})"


def _quantity(of: _Group, number: int, quantity: str) -> list[str]:
    """Return verdicts and figures of a quantity that no other section shows."""
    found, about = [], of.view.quantity(quantity)
    for i, estimator in enumerate(of.able(quantity)):
        phases = [p for p in of.phases if (p.estimator, p.quantity) == (estimator, quantity)]
        title = f"{about.symbol}, {of.view.estimator_title(estimator)}"
        if phases:
            short, heads = short_names([p.layer for p in phases]), [*HEADS, "Verdict"]
            rows = [main_row(of.view, p, short[p.layer]) for p in phases]
            found.append(table(f"{title}, {about.unit}", heads, rows))
        many = len(of.view.layers(of.name, estimator, quantity)) > MAX_LAYERS
        for name in ("steps", "depth", "heat") if many else ("steps", "depth"):
            try:
                figure = of.drawn(name, quantity=quantity, estimator=estimator if i else None)
            except NotFoundError:  # by depth of a single layer
                continue
            alternative = f"{title}: {_WAYS[name]}"
            text = _in_words(of, estimator, quantity)
            found.append(of.embed(figure, f"{name}q{number}e{i}", alternative, text))
    return found


_MEASURES = {
    "representation": "Main measures of the representation, by depth and over training. Dotted: "
    "what independent units of this shape, or shuffled labels, read.",
    "collapse": "Neural collapse: 0 is a layer in which each class is one point, and the classes "
    "are the corners of a simplex. Dotted: what shuffled labels read.",
    "eigenvalues": "Eigenvalues of the covariance by rank, with the power law of the last "
    "checkpoint.",
}


_OF_WEIGHTS = {
    "weights": "Main measures of the recorded weights, by depth and over training. Dotted: what "
    "independent normal numbers in the shape of the weight read.",
}


def _measures(of: _Group, figures: Mapping[str, str], quantities: Sequence[str]) -> list[str]:
    """Return figures with their texts, and a table of what each of the measures did."""
    found = []
    for name, text in figures.items():
        try:
            figure = of.drawn(name)
        except NotFoundError:
            continue
        found.append(of.embed(figure, name, name.capitalize(), text, text))
    if not found:
        return []
    phases = [p for p in of.phases if p.quantity in quantities and p.last is not None]
    short = short_names(list(dict.fromkeys(p.layer for p in phases)))
    rows = [measure_row(of.view, p, short[p.layer]) for p in phases]
    what = "weights" if "weights" in figures else "representation"
    first = "Weight" if what == "weights" else "Layer"
    heads = [first, "Measure", "First#", "Last#", "Null#", *HEADS[5:], "What happened"]
    whole = table(f"Measures of the {what}", heads, rows)
    if len(rows) > _MANY_ROWS:
        told = f"All measures of all {first.lower()}s"
        whole = f"<details><summary>{told}</summary>{whole}</details>"
    return [*found, whole]


def _outputs(of: _Group) -> list[str]:
    """Return the figure of outputs, and a table of what each measure did."""
    try:
        figure = of.drawn("output")
    except NotFoundError:
        return []
    text = (
        "Information of a prediction that is drawn from the soft-max; H(Y) − CE, a lower bound of "
        "I(T;Y) of every layer; calibration error, dotted what chance makes of right confidences; "
        "divergence from the recorded step before."
    )
    phases = [p for p in of.phases if p.quantity in OUTPUTS and p.last is not None]
    rows = [measure_row(of.view, p, p.layer) for p in phases]
    heads = ["Layer", "Measure", "First#", "Last#", "Null#", *HEADS[5:], "What happened"]
    return [of.embed(figure, "output", "Outputs", text, text), table("Outputs", heads, rows)]


_PLANES = {
    "overlay": "The information planes of the groups of runs over one another: colour and line are "
    "the group, the mark is the layer.",
    "group": "The information plane of each group of runs, on the same axes.",
}


def overview(view: View) -> Section:
    """Return the groups of runs side by side: planes if there are any, and counts of verdicts."""
    rows = []
    about = judged(view)[0]
    for number, group in enumerate(view.groups):
        verdicts = judged(view, group)[1]
        words = Counter(verdicts.values())
        changes = [
            p.change
            for p in view.phases.values()
            if (p.group, p.quantity) == (group, about.name)
            if not p.saturated and p.change is not None
        ]
        falls = min(changes, default=None)
        runs = view.n_runs(group)
        rows.append(
            [
                Cell(group, markup=f'<a href="#{chapter_anchor(number)}">{escape(group)}</a>'),
                Cell(str(runs), runs, number=True),
                Cell(str(len(verdicts)), len(verdicts), number=True),
                *(Cell(str(words[word]), words[word], number=True) for word in VERDICTS),
                Cell(view.number(about.name, falls, sign=True), falls, number=True),
            ]
        )
    fall, rise = ("Compress", "Expand") if about.falls == "compresses" else ("Fall", "Rise")
    own = {"compresses": fall, "expands": rise}
    words_of = [own.get(word, word.replace("_", " ").capitalize()) for word in VERDICTS]
    largest = f"Largest fall of {about.symbol}"
    heads = [head + "#" for head in ("Runs", "Layers", *words_of, largest)]
    joint = "joint verdict" if about == view.quantity("ixt") else "verdict"
    caption = f"Groups of runs, by the {joint} of their layers; {about.unit}"
    markup = table(caption, ["Group", *heads], rows)
    for facet, text in _PLANES.items():
        try:
            planes = draw_once(view, "plane", facet=facet)
        except NotFoundError:
            break
        markup += html.figure(planes, f"groups-{facet}", "Planes", text, vector=False)
    return "groups", "Groups of runs", markup


def one_per_name(estimators: Iterable[str]) -> list[str]:
    """Return the first setting of each estimator: ``binning:bins=15`` and ``binning`` are one."""
    first: dict[str, str] = {}
    for estimator in estimators:
        first.setdefault(MeasureId.read(estimator).name, estimator)
    return list(first.values())


def _in_words(of: _Group, estimator: str, quantity: str) -> str:
    """Describe what a figure shows, as its text alternative."""
    view, about = of.view, of.view.quantity(quantity)
    sentences = [view.subtitle(of.name, estimator) + "."]
    if quantity in ("ixt", "ity"):
        sentences += as_note(view.about_labels(of.name, estimator))
    for layer in view.layers(of.name, estimator)[:20]:
        p = view.phases.get((of.name, layer, estimator, quantity))
        if p is not None and p.last is not None:
            first, last = (view.number(quantity, v) for v in (p.first, p.last))
            sentences.append(
                f"{layer}: {about.symbol} from {first} to {last} {about.unit}, "
                f"{about.word(p.verdict)}{p.sentence and f': {p.sentence}'}."
            )
    return " ".join(sentences) + " The numbers are in the table of this report."


def _compression(of: _Group) -> list[str]:
    """Return table, figure and downloads of the verdicts; nothing without verdicts."""
    view = of.view
    sizes = [p for p in of.phases if p.quantity in SIZES and p.last is not None]
    if not sizes:
        return []
    verdicts = layer_verdicts(of.phases)
    silent = view.silent(of.name)
    able = [(q, of.able(q)) for q in SIZES]
    main = next(((e[0], q) for q, e in able if e and e[0] not in silent), None)
    first = next((p for p in sizes if (p.estimator, p.quantity) == main), sizes[0])
    of_main = [p for p in sizes if (p.estimator, p.quantity) == (first.estimator, first.quantity)]
    short = short_names([p.layer for p in of_main])
    rows = [main_row(view, p, short[p.layer], verdicts[of.name, p.layer]) for p in of_main]
    about, partner = view.quantity(first.quantity), view.quantity(PARTNERS[first.quantity])
    heads = [*HEADS, f"{partner.symbol}#", "Verdict", "All estimators"]
    picture = of.embed(
        of.drawn("compression"), "compression", f"Compression by layer, {of.name}",
        " ".join(
            f"{layer}: {v.verdict.replace('_', ' ')}, by {v.agree} of {v.of} estimators."
            if v.agree and v.verdict != "inconclusive"
            else f"{layer}: {v.verdict.replace('_', ' ')}."
            for (_, layer), v in list(verdicts.items())[:60]
        ),
        "A layer compresses when more than half of its unsaturated estimators say so, and at "
        "least two where there are two.",
    )  # fmt: skip
    every = table(
        "All estimators and quantities, in bits where no unit is named",
        ["Layer", "Estimator", "Quantity", "Runs#", "First#", "Peak#", "Last#", "Change#",
         "95 % interval#", "Onset step#", "Verdict"],
        [phase_row(view, p) for p in of.phases if p.estimator not in silent],
    )  # fmt: skip
    aside = "".join(f"<p>{escape(text[:1].upper() + text[1:])}.</p>" for text in silent.values())
    title = f"{about.symbol}, {view.estimator_title(first.estimator)}, {about.unit}"
    told = [table(title, heads, rows), *_sentences(view, of_main, short)]
    if len(rows) > _MANY_ROWS:
        whole = f"<details><summary>Each of {len(rows)} layers</summary>{''.join(told)}</details>"
        shown = [picture, whole, _verdicts(of)]
    else:
        shown = [*told, _verdicts(of), picture]
    return [
        *shown,
        f"<details><summary>All estimators and quantities</summary>{aside}{every}</details>"
        if len(of.phases) <= _LONGEST_TABLE
        else f"<p>All {len(of.phases):,} verdicts, of every estimator, are in the download.</p>",
    ]


def _said(text: str) -> list[str]:
    return [text] if text else []


def _sentences(view: View, found: Sequence[Phase], short: Mapping[str, str]) -> list[str]:
    """Return what happened in each layer, where the results say it in a sentence."""
    told = {
        (p["group"], p["layer"], p["estimator"], p["quantity"]): p.get("sentence")
        for p in view.results["phases"]
    }
    items = "".join(
        f"<li><b>{escape(short[p.layer])}</b> {escape(str(told[p.key]))}</li>"
        for p in found
        if told.get(p.key)
    )
    return _said(items and f"<ul>{items}</ul>")


def _shape_and_scale(of: _Group) -> list[str]:
    """Return figure and table of the changes at fixed noise; nothing without it."""
    view = of.view
    able = of.able(*NEEDS)
    if not able:
        return []
    found = splits(view.curves, of.name, able[0])
    short = short_names([parts[0].layer for parts in found])
    rows = [
        [
            Cell(short[part.layer], title=part.layer),
            Cell(f"{part.start:,} … {part.end:,}", part.start),
            *(
                Cell(view.number(q, value, sign=True), value, number=True)
                for q, value in (("ixt", part.fixed), ("ixt", part.shape), ("ixt", part.scale),
                                 ("size", part.octaves))
            ),
        ]
        for parts in found
        for part in parts
    ]  # fmt: skip
    size = view.quantity("size")
    heads = ["Layer", "Steps", "At one noise#", "Shape#", "Scale#", f"{size.symbol}, {size.unit}#"]
    text = (
        "At noise relative to the size of a layer I(X;T) tells its shape alone. At one noise for "
        "all checkpoints it also grows with the layer. The change of the second is that of the "
        "first (shape) and the rest (scale)."
    )
    if not rows:
        return []
    whole = table("Changes of I(X;T) at one noise for all checkpoints, in bits", heads, rows)
    if len(rows) > _MANY_ROWS:
        whole = f"<details><summary>The changes of all layers</summary>{whole}</details>"
    figure = of.embed(of.drawn("scale"), "scale", "Shape and scale per layer", text)
    return [f"<p>{text}</p>", figure, whole]


def _verdicts(of: _Group) -> str:
    """Return the link to all verdicts of a group."""
    fields = ("layer", "estimator", "quantity", "unit", "n_runs", "first", "peak", "last",
              "change", "change_low", "change_high", "interval", "onset_step", "onset_low",
              "onset_high", "score", "verdict", "agree", "of", "rise", "about", "withheld",
              "sentence")  # fmt: skip
    rows = ([getattr(p, field) for field in fields] for p in of.phases)
    link = html.download("phases", fields, rows, "Download all verdicts")
    return f"<div class=download>{link}</div>"


def _curve_download(view: View, group: str) -> str:
    """Return the link to the mean curves of a group, the data of the figures."""
    curves = view.of_group(group)
    places = 2 if sum(len(c.steps) for c in curves) > _LONGEST_CURVES else 3
    rows = []
    for curve in curves:
        unit = curve.declared.unit
        form = f".{places}f" if unit == "bits" else ".6g"
        low, high = curve.spread() or (curve.low[0], curve.high[0])
        counts = np.isfinite(curve.values).sum(axis=0).tolist()
        numbers = zip(curve.mean(), low, high, strict=True)
        for step, n, three in zip(curve.steps.tolist(), counts, numbers, strict=True):
            written = ["" if not np.isfinite(x) else f"{x:{form}}" for x in three]
            rows.append((curve.layer, curve.estimator, curve.quantity, unit, step, n, *written))
    heads = ("layer", "estimator", "quantity", "unit", "step", "runs", "mean", "low", "high")
    link = html.download("curves", heads, rows, "Download the curves of all figures")
    return f"<div class=download>{link}</div>"
