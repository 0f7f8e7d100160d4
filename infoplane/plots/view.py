"""The view of a results document that figures read: selections, titles and names."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from infoplane import layer_patterns
from infoplane.calls import document_of
from infoplane.data import IntArray
from infoplane.errors import NotFoundError
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.quantities import OUTPUTS, QUANTITIES, REPRESENTATION, WEIGHTS, Quantity
from infoplane.plots.canvas.clock import whole_epochs
from infoplane.plots.canvas.style import bits, drawable, readable
from infoplane.results.absent import why_absent
from infoplane.results.choice import SIZES as SIZES
from infoplane.results.choice import Choice, best_estimator, silent_estimators
from infoplane.results.curves import CurveKey, Curves, curves, group_of_runs
from infoplane.results.layer_names import LayerNames
from infoplane.results.names import names_of_estimators, title_of_estimator
from infoplane.results.settings import difference, in_words
from infoplane.results.shape_and_scale import NEEDS
from infoplane.results.verdicts import Phase
from infoplane.results.vocabulary import Vocabulary
from infoplane.text import counted

_SMALL_BITS = 0.5  # largest value up to which hundredths of a bit hide a curve

SPECTRAL = ("dse", "dsmi_y", "dsmi_x")


@dataclass(frozen=True, eq=False, repr=False)
class View:
    """A results document with its curves and phases; build it once for several figures."""

    results: Mapping[str, Any]
    vocabulary: Vocabulary
    curves: Mapping[CurveKey, Curves]
    phases: Mapping[CurveKey, Phase]
    unlike: Mapping[CurveKey, str] = field(default_factory=dict)
    """Curves that are not drawn, since settings of their runs differ: what does."""
    drawn: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    beside: IntArray | None = None
    """Steps of all groups that are drawn side by side."""

    @classmethod
    def of(cls, results: Mapping[str, Any] | View) -> View:
        """Return the view of a results document, or the view itself.

        Raises
        ------
        NotFoundError
            If the results hold no rows, or the runs of every curve differ in their settings.
        """
        if isinstance(results, View):
            return results
        document = document_of(results, "results")
        if not document["rows"] and document.get("similarities"):
            return cls(results, Vocabulary.of(results), {}, {})
        if not document["rows"]:
            raise NotFoundError("the results hold no rows: there is nothing to draw")
        made = curves(results)
        unlike = {key: c.settings_differ for key, c in made.items() if c.settings_differ}
        kept = {key: curve for key, curve in made.items() if key not in unlike}
        if not kept:
            first = in_words({key[1:]: said for key, said in unlike.items()})[0]
            raise NotFoundError(f"there is nothing to draw: {first}: not averaged")
        entries = [Phase.of_entry(entry) for entry in results["phases"]]
        phases = {phase.key: phase for phase in entries if phase.key not in unlike}
        return cls(results, Vocabulary.of(results), kept, phases, unlike)

    def quantity(self, name: str) -> Quantity:
        """Return what the document declares of a quantity, in texts and colour for figures."""
        found = self.vocabulary.quantity(name)
        if name in QUANTITIES:
            return found
        return replace(
            found,
            symbol=drawable(found.symbol),
            unit=drawable(found.unit),
            colour=readable(found.colour),
        )

    def number(self, quantity: str, value: float | None, *, sign: bool = False) -> str:
        """Return a value of a quantity as text: bits to 0.01, others to a 100th of their size.

        Bits that are small and have no smallest change of their own are read by their size as well.
        """
        declared, largest = self.vocabulary.quantity(quantity), self._largest[quantity]
        small = declared.smallest_change is None and 0.0 < largest < _SMALL_BITS
        if value is None or (declared.unit == "bits" and not small):
            return bits(value, sign=sign)
        if not 1e-4 <= largest < 1e6:
            text = f"{value:{'+' if sign else ''}.3g}"
            return (text.lstrip("+-") if value == 0 else text).replace("-", "−")
        places = 2 if 1 <= largest < 1000 else max(0, 2 - math.floor(math.log10(largest)))
        return bits(value, places, sign=sign)

    def bound(self, quantity: str, value: float) -> str:
        """Return an upper bound as text: of what is counted it is mostly a whole number."""
        in_bits = self.vocabulary.quantity(quantity).unit == "bits"
        return bits(value) if in_bits else f"{value:,.5g}"

    @cached_property
    def _largest(self) -> dict[str, float]:
        """The largest absolute value of each quantity."""
        largest: dict[str, float] = defaultdict(float)
        for curve in self.curves.values():
            finite = np.abs(curve.values[np.isfinite(curve.values)])
            largest[curve.quantity] = max(largest[curve.quantity], finite.max(initial=0.0))
        return largest

    @cached_property
    def groups(self) -> list[str]:
        """Groups of runs, in the order of the document."""
        return list(dict.fromkeys(key[0] for key in self.curves))

    @property
    def one_of_groups(self) -> list[str]:
        """What is said where one group is drawn and there are others."""
        return [f"1 of {len(self.groups)} groups drawn"] if len(self.groups) > 1 else []

    def only(self, *groups: str, of: Sequence[str] = ()) -> View:
        """Return the view of some groups alone.

        Parameters
        ----------
        *groups : str
            The groups.
        of : sequence of str
            The groups beside which they are drawn: axes of time hold the steps of all of them.
        """
        every = [self.steps(group) for group in of or groups]
        return View(
            self.results,
            self.vocabulary,
            {key: curve for key, curve in self.curves.items() if key[0] in groups},
            {key: phase for key, phase in self.phases.items() if key[0] in groups},
            {key: said for key, said in self.unlike.items() if key[0] in groups},
            beside=np.unique(np.concatenate(every)),
        )

    def not_averaged(
        self, group: str, estimator: str | None = None, quantity: str | None = None
    ) -> list[str]:
        """Return what is not drawn of a group, since settings of its runs differ, in words."""
        unlike = {
            key[1:]: said
            for key, said in self.unlike.items()
            if key[0] == group and estimator in (None, key[2]) and quantity in (None, key[3])
        }
        return [f"not averaged: {sentence}" for sentence in in_words(unlike)]

    def groups_differ(self, estimators: Mapping[str, str], *quantities: str) -> str:
        """Return what differs between groups in the settings of the estimator of each, in words."""
        groups = group_of_runs(self.results)
        rows: dict[str, list[Mapping[str, Any]]] = {group: [] for group in estimators}
        for row in self.results["rows"]:
            group = groups.get(row["run"], row["run"])
            if row["quantity"] in quantities and estimators.get(group) == row["estimator"]:
                rows[group].append(row)
        differ = difference(rows)
        return f"groups differ: {differ}" if differ else ""

    def group(self, wanted: str | None) -> str:
        """Return the wanted group, or the first.

        Raises
        ------
        NotFoundError
            If there is no such group, or no estimate at all.
        """
        if not self.groups:
            pairs = "" if not self.results.get("similarities") else ", but similarities"
            raise NotFoundError(
                f"the results hold no estimates{pairs}",
                hint="infoplane analyze RUN... makes estimates; similarities have the figures "
                "similarity, similarity-training, similarity-steps and similarity-models",
                code="IP404",
            )
        if wanted is None:
            return self.groups[0]
        if wanted not in self.groups:
            raise NotFoundError(f"no group {wanted!r}; there are {', '.join(self.groups)}")
        return wanted

    def estimators(self, *quantities: str, group: str | None = None) -> list[str]:
        """Return the ids of the estimators that have numbers for all these quantities."""
        have: dict[str, set[str]] = {}
        for curve in self.curves.values() if group is None else self.of_group(group):
            if curve.says_something:
                have.setdefault(curve.estimator, set()).add(curve.quantity)
        order = {e["id"]: i for i, e in enumerate(self.results["estimators"])}
        found = [e for e, present in have.items() if present.issuperset(quantities)]
        return sorted(found, key=lambda e: (order.get(e, len(order)), e))

    def _why_absent(self, quantity: str, group: str) -> str:
        if self.estimators(quantity, group=group):
            return ""
        why = why_absent(self.results, quantity)
        return why and f"no {self.quantity(quantity).symbol}: {why}"

    def estimator(self, wanted: str | None, *quantities: str, group: str) -> str:
        """Return the wanted estimator, or the one that says most about these quantities.

        Raises
        ------
        NotFoundError
            If none has them, or the wanted one has not.
        """
        able = self.estimators(*quantities, group=group)
        if wanted is not None and (found := named(wanted, able)) is not None:
            return found
        asked = " and ".join(self.quantity(q).symbol for q in quantities)
        have = ", ".join(self.estimators(group=group)) or "none"
        if wanted is not None:
            raise NotFoundError(
                f"estimator {wanted!r} has no numbers for {asked} in {group!r}; there are {have}"
            )
        if not able:
            apart = [text for q in quantities for text in self.not_averaged(group, quantity=q)]
            if apart:
                raise NotFoundError(
                    f"{group!r} has no mean of {asked}: {apart[0]}",
                    hint="analyze its runs together, or each with --settings-from the first",
                )
            why = "".join(f"; {text}" for q in quantities if (text := self._why_absent(q, group)))
            raise NotFoundError(
                f"this figure needs an estimator with {asked}; {group!r} has {have}{why}",
                hint="analyze with -e binning or -e compressed"
                if "ixt" in quantities
                else "analyze with -e dse"
                if "dse" in quantities
                else None,
            )
        return self.choice(group, *quantities).estimator

    def choice(self, group: str, *quantities: str) -> Choice:
        """Return the estimator that says most about quantities that one of them has."""
        key = ("choice", group, *quantities)
        if key not in self.drawn:
            self.drawn[key] = best_estimator(self.results, self.curves, group, *quantities)
        choice: Choice | None = self.drawn[key]
        assert choice is not None, quantities
        return choice

    def silent(self, group: str) -> dict[str, str]:
        """Return the estimators of a group that no figure shows, with a text that says why."""
        key = ("silent", group)
        if key not in self.drawn:
            self.drawn[key] = silent_estimators(self.results, self.curves, group, *SIZES, "ity")
        found: dict[str, str] = self.drawn[key]
        return found

    def about_labels(self, group: str, estimator: str) -> str:
        """Say what I(T;Y) of an estimator leaves out; "" if nothing is known of that."""
        shown = [c for c in self.of_group(group, estimator) if c.quantity == "ity"]
        found = [self._of_classes(group, shown), self._below_probe(group, shown)]
        return "; ".join(filter(None, found))

    def _of_classes(self, group: str, shown: Sequence[Curves]) -> str:
        """Say that I(T;Y) is that of classes of real targets."""
        if not any(curve.flags.get("classes_of_targets", np.zeros(1)).any() for curve in shown):
            return ""
        more = named("ksg", self.estimators("ity", group=group))
        how = "; plane --ity ksg draws that of the targets, without noise" if more else ""
        return f"I(T;Y) is that of classes of the real targets, a lower bound{how}"

    def _below_probe(self, group: str, shown: Sequence[Curves]) -> str:
        """Say that a held-out probe reads more of the label than I(T;Y)."""
        there = sum(int(np.isfinite(c.values).sum()) for c in shown)
        below = sum(int(c.flags["below_probe"].sum()) for c in shown if "below_probe" in c.flags)
        if not below:
            return ""
        probe = named("probe", self.estimators("ity", group=group))
        how = "; plane --ity probe draws it" if probe else ""
        of = f"{below:,} of {counted(there, 'point')}"
        return f"a held-out probe reads more of the label than shown ({of}){how}"

    def further(self, group: str) -> list[str]:
        """Return the quantities that the figures of information do not show.

        Those beyond the register, and of it those that stand alone: I(T;Y) without I(X;T), say.
        """
        shown = {"ixt", "ity"} if self.estimators("ixt", group=group) else set()
        shown |= set(SPECTRAL) if self.estimators("dse", group=group) else set()
        shown |= {*REPRESENTATION, *OUTPUTS, *(one.name for one in WEIGHTS)}
        shown |= set(NEEDS) if self.estimators(*NEEDS, group=group) else set()
        return [
            quantity
            for quantity in self.quantities(group)
            if quantity not in QUANTITIES
            or (quantity not in shown and QUANTITIES[quantity].verdict)
        ]

    def quantities(self, group: str, estimator: str | None = None) -> list[str]:
        """Return the quantities that have numbers, in the order of the vocabulary."""
        have = {c.quantity for c in self.of_group(group, estimator) if c.says_something}
        return sorted(have, key=self.vocabulary.order)

    def main_quantity(
        self, wanted: str | None, first: Sequence[str], group: str, estimator: str | None = None
    ) -> str:
        """Return the wanted quantity; or the first of ``first`` that is there, or what there is.

        Raises
        ------
        InputError
            If no quantity is called like the wanted one.
        """
        if wanted is not None:
            self.vocabulary.check(wanted)
        there = self.quantities(group, estimator)
        able = [q for q in (*first, *self.further(group), *there) if q in there]
        return wanted or [*able, *first][0]

    def layers(
        self,
        group: str,
        estimator: str | None = None,
        quantity: str | None = None,
        *,
        among: Sequence[str] | None = None,
    ) -> list[str]:
        """Return the layers of a group in order of the forward pass, or those ``among`` patterns.

        Raises
        ------
        NotFoundError
            If one of ``among`` means none.
        """
        asked = (group, estimator, quantity)
        have = list(
            dict.fromkeys(
                layer
                for of, layer, *by in self.curves
                if all(want in (None, got) for want, got in zip(asked, (of, *by), strict=True))
            )
        )
        about = self.layer_names.about(group, have)
        layer_patterns.check(among or (), about, f" in {group!r}")
        return layer_patterns.chosen(among or (), about)

    @cached_property
    def layer_names(self) -> LayerNames:
        """What patterns mean, of each group."""
        groups = group_of_runs(self.results)
        return LayerNames((groups[one["run"]], one) for one in self.results["recordings"])

    def check_names(self, **wanted: str | Sequence[str]) -> None:
        """Refuse ``group``, ``layers``, ``estimator`` or ``ity`` that stand nowhere in the results.

        Raises
        ------
        NotFoundError
            Of the first such name.
        """
        about = {
            layer: one
            for group in self.groups
            for layer, one in self.layer_names.about(group, self.layers(group)).items()
        }
        layers = wanted.pop("layers", ())
        layer_patterns.check([layers] if isinstance(layers, str) else layers, about)
        have = {
            "group": self.groups,
            "estimator": self.estimators(),
            "ity": self.estimators("ity"),
        }
        for option, names in wanted.items():
            for name in [names] if isinstance(names, str) else names:
                ids = have[option] if option in ("estimator", "ity") else ()
                if name not in have[option] and named(name, ids) is None:
                    there = ", ".join(have[option]) or "none"
                    raise NotFoundError(
                        f"--{option}: the results have no {name!r}; there are {there}"
                    )

    @cached_property
    def epochs(self) -> dict[int, int] | None:
        """The epoch of every step, if all checkpoints of all groups are ends of epochs."""
        return whole_epochs(self.results["recordings"])

    def recordings(self, group: str) -> list[Mapping[str, Any]]:
        """Return the recordings of a group."""
        return self._recordings[group]

    @cached_property
    def _recordings(self) -> dict[str, list[Mapping[str, Any]]]:
        groups = group_of_runs(self.results)
        found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for recording in self.results["recordings"]:
            found[groups[recording["run"]]].append(recording)
        return found

    @cached_property
    def _settings(self) -> Mapping[tuple[str, str], set[str]]:
        """What must be equal for values to be drawn together, by group and estimator."""
        groups = group_of_runs(self.results)
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in self.results["rows"]:
            if row["quantity"] in SIZES and (setting := row.get("setting")):
                found[groups.get(row["run"], row["run"]), row["estimator"]].add(str(setting))
        return found

    @cached_property
    def _by_estimator(self) -> dict[tuple[str, str | None], list[Curves]]:
        """The curves by group and estimator, and all of a group under None."""
        found: dict[tuple[str, str | None], list[Curves]] = defaultdict(list)
        for curve in self.curves.values():
            found[curve.group, curve.estimator].append(curve)
            found[curve.group, None].append(curve)
        return found

    def of_group(self, group: str, estimator: str | None = None) -> list[Curves]:
        """Return the curves of a group, or of one estimator in it."""
        return self._by_estimator[group, estimator]

    def n_runs(self, group: str) -> int:
        """Return the number of runs of a group that have rows."""
        return len({run for curve in self.of_group(group) for run in curve.runs})

    def steps(self, group: str) -> IntArray:
        """Return all steps of a group (n_steps,), ascending."""
        return np.unique(np.concatenate([curve.steps for curve in self.of_group(group)]))

    def time(self, group: str) -> IntArray:
        """Return the steps (n_steps,) that an axis of time holds: also of groups beside this."""
        return self.steps(group) if self.beside is None else self.beside

    def units(self, group: str) -> dict[str, int]:
        """Return the number of units of the layers of a group."""
        found: dict[str, int] = {}
        for recording in self.recordings(group):
            for layer in recording["layers"]:
                found.setdefault(layer["name"], layer["units"])
        return found

    def label_entropy(self, group: str) -> float | None:
        """Return H(Y) in bits if all runs of the group share it."""
        values = {round(r["h_y"], 6) for r in self.recordings(group) if r["h_y"] is not None}
        return values.pop() if len(values) == 1 else None

    def ceiling(self, group: str, estimator: str | None = None) -> float | None:
        """Return log2 N in bits if all runs of the group share it, and it bounds I(X;T) or DSE.

        Of an estimator that works on a subsample N is the size of that.
        """
        curves = [c for c in self.of_group(group, estimator) if c.quantity in SIZES]
        if all(curve.bound_name != "log2_n" for curve in curves):
            return None
        used = {c.n for c in curves if c.quantity == "ixt" and estimator is not None}
        recorded = {round(float(r["log2_n"]), 6) for r in self.recordings(group)}
        if len(used) == 1 and len(recorded) == 1:
            return min(float(recorded.pop()), float(np.log2(used.pop())))
        return recorded.pop() if len(recorded) == 1 else None

    def estimator_title(self, estimator: str) -> str:
        """Return how an estimator is called, with what sets it apart, e.g. "binning, bins 30"."""
        for entry in self.results["estimators"]:
            if entry["id"] == estimator:
                return title_of_estimator(entry)
        return estimator

    def estimator_names(self, estimators: Iterable[str]) -> dict[str, str]:
        """Return short names of estimators, as long as they differ; else their titles."""
        return names_of_estimators(self.results, estimators)

    def subtitle(self, group: str, estimator: str | None = None, *, setting: bool = True) -> str:
        """Return the second line of a title: estimator, setting, runs, checkpoints, N and split."""
        recordings = self.recordings(group)
        parts = []
        if estimator is not None:
            settings = sorted(self._settings.get((group, estimator), ()))
            at = f" at {settings[0].replace('=', ' = ')}" if setting and len(settings) == 1 else ""
            parts = [drawable(self.estimator_title(estimator) + at)]
        n_runs = self.n_runs(group)
        parts.append("1 run" if n_runs == 1 else f"{n_runs} runs")
        n_steps = len(self.steps(group))
        parts.append("1 checkpoint" if n_steps == 1 else f"{n_steps} checkpoints")
        samples = {r["n"] for r in recordings}
        used = {c.n for c in self.of_group(group, estimator)} if estimator is not None else set()
        splits = {r["split"] for r in recordings if r.get("split")}
        if len(used or samples) == 1 and max(used or samples):
            split = f" {splits.pop()}" if len(splits) == 1 else ""
            parts.append(f"N = {max(used or samples):,}{split} samples")
        return " · ".join(parts)


def named(wanted: str, ids: Sequence[str]) -> str | None:
    """Return the id of an estimator, or the only one of this name: ``probe``; else None."""
    of_name = [one for one in ids if MeasureId.read(one).name == wanted]
    return wanted if wanted in ids else of_name[0] if len(of_name) == 1 else None
