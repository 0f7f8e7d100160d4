"""The per-layer summary on the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infoplane.cli.measures_table import measures_table
from infoplane.cli.output import bars, plain, printable, width
from infoplane.cli.output_table import output_table
from infoplane.cli.table_columns import Column, render
from infoplane.cli.training_table import training_table
from infoplane.data import FloatArray
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.quantities import OUTPUTS, QUANTITIES, TRAINING, Quantity
from infoplane.results.cautions import cautions, shortest
from infoplane.results.choice import SIZES, Choice, best_estimator
from infoplane.results.curves import CurveKey, Curves, curves, group_of, group_of_runs, groups_of
from infoplane.results.reliability import reliability
from infoplane.results.settings import in_words
from infoplane.results.shape_and_scale import splits
from infoplane.results.verdicts import Phase
from infoplane.text import change_between, counted, cut_names, decimal, in_lines, spark

_FAR = 3  # times the highest value: a bound under which curves would be flat

_FEW = 12
_SMALL_BITS = 0.5  # highest value up to which hundredths of a bit hide a curve
"""Layers; of more, only --wide tells each one's story."""


def summary(
    results: Mapping[str, Any],
    *,
    wide: bool = False,
    known: Mapping[CurveKey, Curves] | None = None,
    estimator: str | None = None,
) -> str:
    """Return what was measured: a header, one table per group of runs, notes on warnings.

    Parameters
    ----------
    results : mapping
        A results document.
    wide : bool, default False
        Show all columns, all warnings, and what happened in each of many layers.
    known : mapping, optional
        The curves of the results, where they have been found.
    estimator : str, optional
        The one whose numbers are shown; by default the one that says most.
    """
    limit = None if wide else width()
    every = curves(results) if known is None else known
    unlike = {key: c.settings_differ for key, c in every.items() if c.settings_differ}
    drawn = {key: curve for key, curve in every.items() if key not in unlike}
    phases = [p for p in results["phases"] if Phase.of_entry(p).key not in unlike]
    results = {**results, "phases": phases}
    lines = [part for line in _header(results) for part in _wrapped(line, limit or 200)]
    groups = groups_of(results)
    for group in groups:
        tables, choice = _tables(results, drawn, group, estimator)
        for shown, *quantities in tables:
            lines += ["", *([printable(group)] if len(groups) > 1 else [])]
            followed = len(quantities) == 1 and _phases(results, group, shown, quantities[0])
            table = _group_table if followed else _last_values
            lines += render(table(results, drawn, group, shown, *quantities), limit=limit)
            if choice is not None and (shown, *quantities) == tables[0]:
                lines += _wrapped(f"{printable(choice.sentence)}.", limit)
            lines += _wrapped(_caption(results, drawn, group, shown, quantities), limit)
            lines += _what_happened(results, group, shown, quantities, wide=wide)
            if "ixt" in quantities:
                lines += _fixed_noise(drawn, group, shown, wide=wide)
        beside = measures_table(results, drawn, group, limit)
        beside += output_table(results, drawn, group, limit)
        beside += training_table(drawn, group, limit)
        if beside and not tables and len(groups) > 1:
            beside[:1] = ["", printable(group)]
        lines += beside
        apart = in_words({key[1:]: said for key, said in unlike.items() if key[0] == group})
        for sentence in apart:
            lines += ["", *_wrapped(f"not averaged: {sentence}", limit)]
        for sentence in reliability(results, group):
            lines += ["", *_wrapped(printable(sentence), limit)]
    found = cautions(results, drawn)
    told = found if wide else shortest(found, "--wide shows them")
    lines += [""] if told else []
    for number, text in enumerate(told, 1):
        lines += _wrapped(text, limit, first=f"[{number}] " if text in found else "    ")
    return plain("\n".join(lines))


def _wrapped(text: str, limit: int | None, *, first: str = "") -> list[str]:
    return in_lines(text, limit or 100, first=first)


def _header(results: Mapping[str, Any]) -> list[str]:
    lines = []
    by_group: dict[str, list[Mapping[str, Any]]] = {}
    for recording in results["recordings"]:
        by_group.setdefault(group_of(recording), []).append(recording)
    for group, recordings in by_group.items():
        first = recordings[0]
        steps = first["steps"]
        unknown = ", no inputs" if first.get("inputs") is False else ""
        entropy = f", H(Y) = {first['h_y']:.2f} bits" if first["h_y"] is not None else ""
        if first.get("label_bins"):
            entropy += f" ({counted(first['n_classes'], 'class')} of the real targets)"
        elif first.get("n_targets"):
            entropy = f", Y of {counted(first['n_targets'], 'real target')}"
        runs = counted(len(recordings), "run")
        span = f"{len(steps)} steps {steps[0]:,}..{steps[-1]:,}" if len(steps) > 1 else "1 step"
        layers = counted(len(first["layers"]), "layer")
        if of := first.get("n_sequences"):
            unknown = f", rows are tokens of {counted(of, 'sequence')}"
        samples = f"N = {first['n']:,}{entropy}, log₂ N = {first['log2_n']:.2f} bits{unknown}"
        about = f"{layers}, {samples}" if first["n"] else "weights alone"
        lines.append(f"{printable(group)}: {runs}, {span}, {about}")
    return lines


def _caption(
    results: Mapping[str, Any],
    drawn: Mapping[CurveKey, Curves],
    group: str,
    estimator: str,
    quantities: Sequence[str],
) -> str:
    entry = next(e for e in results["estimators"] if e["id"] == estimator)
    size = len(quantities) == 1 and quantities[0] in SIZES
    least = _of_labels(drawn, group, estimator) if size else ""
    phases = [p for q in quantities for p in _phases(results, group, estimator, q).values()]
    agree = "; n/m: estimators that agree" if any(map(_voted, phases)) else ""
    runs = sum(group_of(recording) == group for recording in results["recordings"])
    over = f"mean of {runs} runs" if runs > 1 else "one run: the interval is not about other seeds"
    about = {
        curve.declared.name: curve.declared
        for key, curve in drawn.items()
        if (key[0], key[2]) == (group, estimator) and key[3] in quantities
    }
    units = ", ".join(sorted({one.unit for one in about.values()}))
    if len(about) == 1:  # where the column of curves is hidden, no title names it
        units = f"{printable(next(iter(about.values())).symbol)} in {units}"
    of = group_of_runs(results)
    settings = {
        str(row["setting"])
        for row in results["rows"]
        if row["estimator"] == estimator and row["quantity"] in quantities and row.get("setting")
        if of.get(row["run"]) == group
    }
    at = f", {printable(settings.pop())}" if len(settings) == 1 else ""
    return (
        f"{units}, {printable(entry['name'])} ({printable(estimator)}{at}), "
        f"{over}; change = last - peak, the peak "
        f"chosen on other data (docs/figures-and-report.md){agree}{least}"
    )


def _tables(
    results: Mapping[str, Any], drawn: Mapping[CurveKey, Curves], group: str, wanted: str | None
) -> tuple[list[tuple[str, ...]], Choice | None]:
    """Return what to tabulate, each an estimator id and its quantities; and how the first came.

    I(X;T) before DSE, unless all of its layers are at a ceiling, or whatever else was measured;
    then, apart, what estimators measure beyond the register, and what gets no verdict of estimators
    without any.
    """
    phases = [phase for phase in results["phases"] if phase["group"] == group]
    own: dict[str, dict[str, None]] = {}
    found: dict[str, set[str]] = {}
    for phase in phases:
        if phase["quantity"] in QUANTITIES:
            found.setdefault(phase["quantity"], set()).add(phase["estimator"])
        else:
            own.setdefault(phase["estimator"], {})[phase["quantity"]] = None
    judged = {phase["estimator"] for phase in phases}
    for of, _, estimator, quantity in drawn:
        if of == group and estimator not in judged and quantity not in TRAINING:
            own.setdefault(estimator, {})[quantity] = None
    if wanted is not None and any(wanted in able for able in found.values()):
        found = {quantity: able & {wanted} for quantity, able in found.items() if wanted in able}
    sizes = [quantity for quantity in SIZES if quantity in found]
    choices = {
        quantity: choice
        for quantity in sizes or [q for q in QUANTITIES if q in found and q not in OUTPUTS][:1]
        if (choice := best_estimator(results, drawn, group, quantity, among=found[quantity]))
    }
    telling = [quantity for quantity, choice in choices.items() if not choice.says_nothing]
    tables = [(e, *quantities) for e, quantities in own.items()]
    if not choices:
        return tables, None
    quantity = next(iter(telling or choices))
    choice = choices[quantity]
    return [(choice.estimator, quantity), *tables], None if wanted else choice


def _what_happened(
    results: Mapping[str, Any], group: str, estimator: str, quantities: Sequence[str], *, wide: bool
) -> list[str]:
    """Return one sentence per layer on what its curve did, where the results hold them."""
    found = {
        layer: phase["sentence"]
        for quantity in quantities
        for layer, phase in _phases(results, group, estimator, quantity).items()
        if phase.get("sentence")
    }
    if not found or (len(found) > _FEW and not wide):
        return []
    limit = None if wide else width()
    names = [printable(layer) for layer in found]
    if limit is not None:
        names = cut_names(names, max(limit // 2, 8))
    indent = max(map(len, names)) + 2
    lines = [""]
    for name, sentence in zip(names, found.values(), strict=True):
        lines += textwrap.wrap(
            printable(str(sentence)), max(limit or 200, indent + 20),
            initial_indent=name.ljust(indent), subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )  # fmt: skip
    return lines


def _fixed_noise(
    drawn: Mapping[CurveKey, Curves], group: str, estimator: str, *, wide: bool
) -> list[str]:
    """Return the changes at fixed noise, split into shape and scale, a row per layer."""
    found = splits(drawn, group, estimator)
    if not found:
        return []
    limit = None if wide else width()
    if len(found) > _FEW and not wide:
        text = "shape and scale at fixed noise: --wide, or infoplane plot -f scale"
        return ["", *_wrapped(text, limit)]
    columns = [Column("layer", [printable(parts[0].layer) for parts in found], names=True)]
    for i, end in enumerate(found[0]):
        heads = {"fixed": f"steps {end.start:,}-{end.end:,}", "shape": "shape", "scale": "scale",
                 "octaves": QUANTITIES["size"].symbol}  # fmt: skip
        for name, title in heads.items():
            cells = [decimal(getattr(parts[i], name), sign=True) for parts in found]
            columns.append(Column(title, cells, right=True, drop=2 if name == "octaves" else 0))
    caption = (
        "change of I(X;T) at one noise for all checkpoints = shape + scale, in bits; "
        f"{QUANTITIES['size'].symbol}: size of the layer, in octaves"
    )
    return ["", *render(columns, limit=limit), *_wrapped(caption, limit)]


def _group_table(
    results: Mapping[str, Any],
    drawn: Mapping[CurveKey, Curves],
    group: str,
    estimator: str,
    quantity: str,
) -> list[Column]:
    phases = _phases(results, group, estimator, quantity)
    units = {
        layer["name"]: _units(layer)
        for recording in results["recordings"]
        if group_of(recording) == group
        for layer in recording["layers"]
    }
    layers = [name for name in units if name in phases]
    layers += [name for name in phases if name not in units]  # pairs, weights, runs
    found = {name: drawn[group, name, estimator, quantity] for name in layers}
    means = {name: curve.mean() for name, curve in found.items()}
    about = next((curve.declared for curve in found.values()), QUANTITIES["ixt"])
    top = _top(list(found.values()), about.unit)
    small = about.unit == "bits" and about.smallest_change is None and top < _SMALL_BITS
    places = 4 if small else 2
    columns = [
        Column("layer", [printable(layer) for layer in layers], names=True),
        Column("units", [units.get(layer, "") for layer in layers], right=True, drop=4),
        Column(
            f"{printable(about.symbol)}, 0 to {top:.3g} {printable(about.unit)}",
            [_spark(means[layer], top) for layer in layers],
            drop=5,
            called="curve",
        ),
    ]
    chosen = [phases[layer] for layer in layers]
    for key in ("first", "peak", "last"):
        cells = [decimal(phase[key], places) for phase in chosen]
        if key != "peak":
            ends = [_bounds(found[layer], -1 if key == "last" else 0) for layer in layers]
            cells = [cell or end for cell, end in zip(cells, ends, strict=True)]
        columns.append(Column(key, cells, right=True, drop=3 if key == "first" else 0))
    changes = [decimal(p["change"], places, sign=True) for p in chosen]
    columns.append(Column("change", changes, right=True))
    ranges = [change_between(p["change_low"], p["change_high"], places) for p in chosen]
    columns.append(Column("95% CI", ranges, drop=1))
    onsets = ["" if phase["onset_step"] is None else f"{phase['onset_step']:,}" for phase in chosen]
    if any(onsets):
        columns.append(Column("onset", onsets, right=True, drop=6))
    label = _phases(results, group, estimator, "ity")
    if label and quantity in ("ixt", "dse"):
        last = [decimal(label[layer]["last"]) if layer in label else "" for layer in layers]
        columns.append(Column(QUANTITIES["ity"].symbol, last, right=True))
    for name in _BESIDE if quantity in SIZES else ():
        if (told := _told_by(name, drawn, group, estimator, layers)) is not None:
            columns.append(Column(name, told, right=True, drop=2))
    alone = [bool(found[layer].bounds_alone[-1]) for layer in layers]
    verdicts = [_verdict(p, about, alone=a) for p, a in zip(chosen, alone, strict=True)]
    columns.append(Column("verdict", verdicts))
    return columns


def _top(found: Sequence[Curves], unit: str) -> float:
    """Return what the highest bar stands for: the bound, or the highest value where it is far.

    Bits are read against their bound in any case.
    """
    means = [curve.mean() for curve in found]
    highest = max((float(m[np.isfinite(m)].max(initial=0.0)) for m in means), default=0.0)
    bound = max((curve.bound for curve in found if curve.bound is not None), default=0.0)
    far = unit != "bits" and bound > _FAR * highest > 0.0
    return max(highest, 0.0 if far else bound)


def _last_values(
    results: Mapping[str, Any],
    drawn: Mapping[CurveKey, Curves],
    group: str,
    estimator: str,
    *quantities: str,
) -> list[Column]:
    """Return the last value and the change of several quantities by layer."""
    phases = {
        (phase["layer"], phase["quantity"]): phase
        for phase in results["phases"]
        if (phase["group"], phase["estimator"]) == (group, estimator)
    }
    curves_of = {
        (key[1], key[3]): curve
        for key, curve in drawn.items()
        if (key[0], key[2]) == (group, estimator) and key[3] in quantities
    }
    layers = list(dict.fromkeys(layer for layer, _ in curves_of))
    columns = [Column("layer", [printable(layer) for layer in layers], names=True)]
    for number, quantity in enumerate(quantities):
        about = next(c.declared for (_, name), c in curves_of.items() if name == quantity)
        last = [_last(curves_of.get((layer, quantity))) for layer in layers]
        title = about.symbol if about.unit == "bits" else f"{about.symbol}, {about.unit}"
        columns.append(Column(printable(title), last, right=True, drop=2 * number))
        found = [phases.get((layer, quantity)) for layer in layers]
        if any(found):
            change = [decimal(phase["change"], sign=True) if phase else "" for phase in found]
            columns.append(Column("change", change, right=True, drop=2 * number + 1))
    return columns


def _last(curve: Curves | None) -> str:
    """Return the mean over runs at the last step that has one."""
    mean = np.empty(0) if curve is None else curve.mean()
    finite = mean[np.isfinite(mean)]
    return decimal(float(finite[-1])) if finite.size else ""


def _of_labels(drawn: Mapping[CurveKey, Curves], group: str, estimator: str) -> str:
    """Say how I(T;Y) is measured, by this estimator and by those beside it."""
    of_classes = any(
        "classes_of_targets" in curve.flags
        for key, curve in drawn.items()
        if (key[0], *key[2:]) == (group, estimator, "ity")
    )
    symbol = QUANTITIES["ity"].symbol
    told = [f"; {symbol}: of classes of the real targets, a lower bound"] if of_classes else []
    for name, how in _BESIDE.items():
        if _told_by(name, drawn, group, estimator, ()) is not None:
            told.append(f"; {name}: {symbol} {how}")
    return "".join(told)


_BESIDE = {"ksg": "by neighbour counts, without noise", "probe": "that a held-out probe reads"}
"""Estimators of I(T;Y) that stand beside another one, and how they measure it."""


def _told_by(
    name: str, drawn: Mapping[CurveKey, Curves], group: str, estimator: str, layers: Sequence[str]
) -> list[str] | None:
    """Return I(T;Y) at the end by another estimator, by layer; None without it."""
    ids = {key[2] for key in drawn if key[0] == group and MeasureId.read(key[2]).name == name}
    if len(ids) != 1 or estimator in ids:
        return None
    other = ids.pop()
    names = ("ity", "ity_normal")  # the latter of real targets
    found = [[_last(drawn.get((group, x, other, name))) for name in names] for x in layers]
    return [next(filter(None, one), "") for one in found]


def _bounds(curve: Curves, at: int) -> str:
    """Return the bounds at a checkpoint that has no value; nothing if it has one."""
    bracket = curve.bracket()
    if bracket is None or not curve.bounds_alone[at]:
        return ""
    return " .. ".join(decimal(float(end[at])) for end in bracket)


def _phases(
    results: Mapping[str, Any], group: str, estimator: str, quantity: str
) -> dict[str, Mapping[str, Any]]:
    """Return the phases of a quantity by layer."""
    key = group, estimator, quantity
    return {
        phase["layer"]: phase
        for phase in results["phases"]
        if (phase["group"], phase["estimator"], phase["quantity"]) == key
    }


def _units(layer: Mapping[str, Any]) -> str:
    """Return the units of a layer, and how they were made of more when it was recorded."""
    reduction = layer.get("reduction") or "none"
    return str(layer["units"]) if reduction == "none" else f"{layer['units']} ({reduction})"


def _spark(mean: FloatArray, top: float) -> str:
    """Return a curve (n_steps,) as bars on the scale 0 to ``top``, the same for every row."""
    return spark(mean[np.isfinite(mean)].tolist(), top or 1.0, bars())


def _verdict(phase: Mapping[str, Any], about: Quantity, *, alone: bool) -> str:
    if phase["last"] is None and phase["peak"] is None:
        return "bounds alone" if alone else "no value"
    text = about.word(str(phase["verdict"]))
    return f"{text} {phase['agree']}/{phase['of']}" if _voted(phase) else text


def _voted(phase: Mapping[str, Any]) -> bool:
    """Return whether the estimators that agree with a verdict are worth counting."""
    concludes = phase["verdict"] not in ("inconclusive", "saturated")
    return concludes and phase.get("agree") is not None and phase["of"] > 1
