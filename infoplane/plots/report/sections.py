"""The sections of the report, each an anchor, a heading and markup."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any, TypeAlias

from infoplane.estimators.quantities import Quantity
from infoplane.plots.labels import short_names
from infoplane.plots.report.html import Cell, table
from infoplane.plots.view import SIZES, View
from infoplane.results.cautions import MOST, cautions, shortest
from infoplane.results.reliability import reliability
from infoplane.results.verdicts import layer_verdicts

Section: TypeAlias = tuple[str, str, str]

_CAUTION = (
    "For a deterministic network with continuous activations, I(X;T) is infinite or constant. "
    "What is shown is an entropy at the resolution of the estimator: a fall means that the "
    "activations gather into fewer cells of that size (geometric compression), not that "
    "information was lost. DSE is not Shannon mutual information."
)


def provenance_line(view: View) -> str:
    """Return the line under the heading."""
    results = view.results
    recordings = results["recordings"]
    layers = {(key[0], key[1]) for key in view.curves}
    created = str(results["created"]).replace("T", " ").removesuffix("Z")[:16]
    parts = [
        f"infoplane {results['tool']['version']}",
        _count(len(recordings), "run"),
        _count(
            len({step for c in view.curves.values() for step in c.steps.tolist()}), "checkpoint"
        ),
        _count(len(layers), "layer"),
        _count(len(results["estimators"]), "estimator"),
    ]
    if any(r["n"] for r in recordings):
        parts += _shared("N = {:,}", {r["n"] for r in recordings})
        parts += _shared("H(Y) = {:.2f} bits", {r["h_y"] for r in recordings})
        parts += _shared("log₂ N = {:.2f} bits", {r["log2_n"] for r in recordings})
    return " · ".join([*parts, f"{created} UTC"])


def _shared(form: str, values: set[Any]) -> list[str]:
    """Format a value that all runs share, if they do."""
    return [form.format(*values)] if len(values) == 1 and None not in values else []


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def key_cards(view: View) -> str:
    """Return the key figures of the first group of runs, or of all if there are several."""
    about, verdicts = judged(view)
    words = Counter(verdicts.values())
    compress = about.falls == "compresses"
    text = "layers compress" if compress else f"layers in which {about.symbol} {about.falls}"
    cards = [(f"{words['compresses']} of {len(verdicts)}", text)]
    sizes = SIZES if compress else (about.name,)
    silent = {(group, e) for group in view.groups for e in view.silent(group)}
    judged_phases = [
        p for p in view.phases.values()
        if p.quantity in sizes and (p.group, p.estimator) not in silent
    ]  # fmt: skip
    saturated = list(dict.fromkeys(p.layer for p in judged_phases if p.saturated))
    if saturated:
        short = [*short_names(saturated).values()]
        shown = ", ".join(short[:3]) + (" …" if len(saturated) > 3 else "")
        cards.append((f"{len(saturated)} saturated", f"{shown}: at the ceiling of an estimator"))
    else:
        cards.append(("0 saturated", "no layer is at its ceiling"))
    onsets = [
        p.onset_step
        for p in judged_phases
        if p.quantity == about.name and p.verdict == "compresses" and p.onset_step is not None
    ]
    fall = "compression" if compress else "a fall"
    if onsets:
        low, high = min(onsets), max(onsets)
        text = f"{low:,}" if low == high else f"{low:,} … {high:,}"
        cards.append((text, f"onset of {fall} [step], {about.symbol}"))
    else:
        cards.append(("—", f"no onset of {fall} in {about.symbol}"))
    checks = view.results["checks"]
    if checks:
        passed = sum(c["status"] == "pass" for c in checks)
        cards.append((f"{passed} / {len(checks)}", "checks pass"))
    else:
        failed = sum(row["value"] is None for row in view.results["rows"])
        total = len(view.results["rows"])
        cards.append((f"{total - failed:,}", f"values, {failed:,} missing"))
    items = "".join(
        f'<div class="card"><strong>{escape(a)}</strong><span>{escape(b)}</span></div>'
        for a, b in cards
    )
    return f'<div class="cards">{items}</div>'


def judged(view: View, group: str | None = None) -> tuple[Quantity, dict[tuple[str, str], str]]:
    """Return the quantity that a report judges layers by, and the verdict per group and layer.

    The joint verdict on I(X;T) and DSE; without those the verdict on what there is.
    """
    phases = [p for p in view.phases.values() if group in (None, p.group)]
    joint = {key: v.verdict for key, v in layer_verdicts(phases).items()}
    names = {p.quantity for p in view.phases.values()}
    if not names.isdisjoint(SIZES) or not names:
        return view.quantity("ixt"), joint
    name = min(names, key=view.vocabulary.order)
    first: dict[tuple[str, str], str] = {}
    for p in phases:
        if p.quantity == name:
            first.setdefault((p.group, p.layer), p.verdict)
    return view.quantity(name), first


def notes(view: View) -> list[str]:
    """Return what a reader must know before the first figure."""
    found = []
    noises = [layer.get("noise") for r in view.results["recordings"] for layer in r["layers"]]
    if None in noises and any(key[3] in SIZES for key in view.curves):
        found.append(("Read with care.", _CAUTION))
    if sizes := _added_noise(view):
        found.append(
            (
                "Added noise.",
                "I(X;T) of compressed is I(X; T + noise): Gaussian noise of standard deviation "
                f"{sizes} is added to every unit as recorded. Other noise, other bits.",
            )
        )
    apart = [text for group in view.groups for text in view.not_averaged(group)]
    if apart:
        found.append(("Runs that differ.", f"{'; '.join(apart)}."))
    few = [group for group in view.groups if view.n_runs(group) < 3]
    claim = "compression" if judged(view)[0].falls == "compresses" else "a change"
    if few and any(0 < p.n_runs < 3 for p in view.phases.values()):
        alone = all(view.n_runs(group) == 1 for group in few)
        found.append(
            (
                "One run." if alone else "Two runs." if len(few) == 1 else "One run or two.",
                f"{', '.join(few[:6])}: intervals and verdicts hold for "
                f"{'this run' if alone else 'these runs'} only and say nothing about other seeds: "
                "about the network they are inconclusive. Record three or more before claiming "
                f"{claim}.",
            )
        )
    if view.results["status"] != "complete":
        found.append(("Not complete.", f"The analysis is {view.results['status']}."))
    return [f'<p class="note"><b>{escape(b)}</b> {escape(text)}</p>' for b, text in found]


def _added_noise(view: View) -> str:
    """Return what noise the compressed estimator added, in a sentence; nothing without any."""
    relative, absolute = set(), set()
    for row in view.results["rows"]:
        if row["quantity"] != "ixt" or row["diag"].get("noise_source") != "added":
            continue
        if str(row.get("setting") or "").startswith("c="):
            relative.add(float(row["diag"]["c"]))
        else:
            absolute.add(row["diag"]["noise"])
    parts = []
    for sizes, symbol, unit in (
        (relative, "c", " median distances of the layer at that checkpoint"),
        (absolute, "σ", ""),
    ):
        texts = [f"{symbol} = {size:.3g}" for size in sorted(sizes)]
        few = texts if len(texts) <= 4 else [texts[0], "…", texts[-1]]
        parts += [f"{', '.join(few)}{unit}"] if few else []
    return " or ".join(parts)


def closing_sections(view: View) -> list[Section]:
    """Return checks, warnings and provenance."""
    results = view.results
    found: list[Section] = []
    if results["checks"]:
        rows = [
            [
                Cell(c["name"]),
                Cell(markup=f"<code>{escape(c['rule'])}</code>", wrap=True),
                Cell(markup=f'<span class="{escape(c["status"])}">{escape(c["status"])}</span>'),
                Cell(c["level"]),
                Cell(c["message"], wrap=True),
                Cell(c.get("source") or ""),
            ]
            for c in results["checks"]
        ]
        heads = ["Check", "Rule", "Status", "Level", "Message", "Source"]
        found.append(("checks", "Checks", table("Rules tested on these results", heads, rows)))
    if trusted := reliability(results):
        items = "".join(f"<li>{escape(text)}</li>" for text in trusted)
        found.append(("reliability", "Reliability", f"<ul>{items}</ul>"))
    if results["warnings"]:
        rows = [
            [
                Cell(w["code"]),
                Cell(w["message"], wrap=True),
                Cell(f"{w['count']:,}", w["count"], number=True),
                Cell(", ".join(w.get("layers") or []), wrap=True),
                Cell(w.get("hint") or "", wrap=True),
            ]
            for w in results["warnings"]
        ]
        heads = ["Code", "Warning", "Cells#", "Layers", "What to do"]
        counted = table("Counted over all values", heads, rows)
        told = cautions(results, view.curves)
        if how := shortest(told, "counted below"):
            items = "".join(f"<li>{escape(text)}</li>" for text in how)
            others = "".join(f"<li>{escape(text)}</li>" for text in told[MOST - 1 :])
            more = f"<ul>{others}</ul>" if len(told) > MOST else ""
            counted = (
                f"<ul>{items}</ul><details><summary>All warnings</summary>{more}{counted}</details>"
            )
        found.append(("warnings", "Warnings", counted))
    found.append(("provenance", "Provenance", _provenance(results)))
    return found


def _reduced(recording: Mapping[str, Any]) -> str:
    """Return which layers were reduced when they were recorded, and how."""
    kinds = {layer["name"]: layer.get("reduction") or "none" for layer in recording["layers"]}
    return ", ".join(f"{name} {kind}" for name, kind in kinds.items() if kind != "none")


def _provenance(results: Mapping[str, Any]) -> str:
    runs = [
        [
            Cell(r["run"]),
            Cell(r.get("group") or ""),
            Cell("" if r.get("seed") is None else str(r["seed"]), r.get("seed"), number=True),
            Cell(f"{r['n']:,}", r["n"], number=True),
            Cell(f"{len(r['steps']):,}", len(r["steps"]), number=True),
            Cell(str(r.get("split") or "")),
            Cell(_reduced(r), wrap=True),
            Cell(r["path"], wrap=True),
            Cell(markup=f"<code>{escape(r['content_hash'][:23])}</code>"),
        ]
        for r in results["recordings"]
    ]
    estimators = [
        [
            Cell(e["id"]),
            Cell(e["name"]),
            Cell(str(e["version"])),
            Cell(", ".join(f"{k}={v}" for k, v in e["params"].items()), wrap=True),
        ]
        for e in results["estimators"]
    ]
    environment, timing = results["environment"], results["timing"]
    facts = {
        "Tool": f"infoplane {results['tool']['version']}",
        "Created": results["created"],
        "Status": results["status"],
        "Configuration hash": results["config_hash"],
        "Python": environment["python"],
        "Platform": environment["platform"],
        "Packages": ", ".join(f"{k} {v}" for k, v in environment["packages"].items()),
        "Time": ", ".join(
            f"{k.replace('_', ' ')} {v:g}" for k, v in timing.items() if isinstance(v, int | float)
        ),
    }
    settings = json.dumps(results["config"], indent=2, ensure_ascii=False)
    return (
        table(
            "Runs",
            ["Run", "Group", "Seed#", "N#", "Checkpoints#", "Split", "Reduced layers", "Path",
             "Content"],
            runs,
        )
        + table("Estimators", ["Id", "Name", "Version", "Parameters"], estimators)
        + "<details><summary>Configuration, versions, hashes</summary>"
        + table(
            "Environment", ["What", ""],
            [[Cell(k), Cell(str(v), wrap=True)] for k, v in facts.items()], sortable=False,
        )
        + f"<pre>{escape(settings)}</pre></details>"
    )  # fmt: skip
