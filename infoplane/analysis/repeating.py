"""The settings of an earlier analysis, to be repeated: what makes its numbers comparable with new.

They are the estimators with all parameters, the seed, the choice of layers, steps and splits, what
happens to NaN, the number of samples, and what the runs of a group shared, as the size of the
noise. The last is kept in the results as an artifact that rows refer to.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.analysis.selection import Cells, Group, groups_of
from infoplane.calls import is_path, path_of, unfit
from infoplane.data import IntArray, Slot
from infoplane.errors import DataError, InputError
from infoplane.estimators.base import Estimator
from infoplane.estimators.registry import (
    estimator_id,
    installed_estimator,
    sweep_points,
)
from infoplane.results.curves import group_of_runs
from infoplane.results.file import read_results
from infoplane.runs.run import Run
from infoplane.seeding import generator
from infoplane.text import printable, shortened

log = logging.getLogger("infoplane")

Shared = dict[tuple[str, str], Mapping[str, Any]]
"""What runs share, as results keep it, by group and estimator id."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """Results whose settings are repeated.

    Parameters
    ----------
    name : str
        How messages call them.
    document : mapping
        The results document.
    """

    name: str
    document: Mapping[str, Any]

    @classmethod
    def of(cls, given: object) -> Baseline:
        """Return the results at a path, or in a document.

        Raises
        ------
        InputError
            If it is neither.
        RunFileError, DataError
            As of `infoplane.results.file.read_results`.
        """
        if isinstance(given, Mapping):
            return cls("settings_from", given)
        if not is_path(given):
            raise unfit("settings_from", "a results file, or results", given)
        path = path_of(given, "settings_from")
        return cls(str(given), read_results(Path(path)))

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """What the document says of the arguments of its analysis."""
        config = self.document.get("config")
        found = config.get("analyze") if isinstance(config, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def setting(self, argument: str, given: Any, default: Any) -> Any:
        """Return what an argument was; ``given`` may only say the same, or be the default.

        Raises
        ------
        InputError
            If it says something else.
        """
        found = self.settings.get(argument, default)
        if given not in (default, found):
            raise InputError(
                f"{argument}: expected that of {self.name}, {found!r}, got {given!r}",
                argument=argument,
                hint="leave it out: the settings are repeated",
            )
        return found

    def estimators(self) -> tuple[list[Estimator], list[str]]:
        """Return the estimators with their parameters, and how they were written.

        A warning names those of another version: their numbers cannot be repeated.

        Raises
        ------
        InputError
            IP103 or IP112 if one is not installed, IP104 if it lacks a parameter.
        """
        entries = {_canonical(entry["id"]): entry for entry in self.document["estimators"]}
        told = self.settings.get("estimators")
        specs = [s for s in told if isinstance(s, str)] if isinstance(told, list) else []
        found = [self._parsed(spec) for spec in specs]
        known = {identifier for one in found for identifier in _ids(one)}
        for identifier in entries:  # those of merged documents
            if identifier not in known:
                specs.append(identifier)
                found.append(self._parsed(identifier))
        if not found:
            raise DataError(f"{self.name}: it names no estimator to repeat", code="IP315")
        exact = [self._exact(one, entries) for one in found]
        return exact, specs

    def _parsed(self, spec: str) -> Estimator:
        try:
            return installed_estimator(spec)
        except InputError as error:
            raise InputError(
                f"{self.name}: estimator {printable(spec)!r} cannot be repeated: {error}",
                hint="install its plug-in, or the release that made the results; or choose "
                "estimators with -e",
                code=error.code,
            ) from error

    def _exact(self, parsed: Estimator, entries: Mapping[str, Mapping[str, Any]]) -> Estimator:
        """Return an estimator with the parameters in full, of which an id has six digits."""
        own = estimator_id(parsed)
        entry = next((entries[point] for point in _ids(parsed) if point in entries), None)
        if entry is None:
            return parsed
        if entry["version"] != parsed.version:
            log.warning(
                "%s: estimator %s is of version %s, here of %s: its numbers cannot be repeated",
                self.name, printable(parsed.name), printable(str(entry["version"])), parsed.version,
            )  # fmt: skip
            return parsed
        if own not in entries:  # a sweep: several values, as they are written
            return parsed
        names = {field.name for field in fields(parsed)}
        if unknown := [key for key in entry["params"] if key not in names]:
            raise InputError(
                f"{self.name}: estimator {parsed.name} has no parameter {unknown[0]!r} here",
                hint="use the release that made the results",
                code="IP104",
            )
        given = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in entry["params"].items()
        }
        exact = type(parsed)(**given)
        return exact if estimator_id(exact) == own else parsed

    def cells(self, cells: Cells, *, narrowed: bool) -> dict[Run, tuple[list[Slot], list[int]]]:
        """Return the cells on as many samples as the baseline has.

        Fewer are not made more; a warning names them. So it is with layers that only one side has,
        but for those of the baseline if the choice of layers was ``narrowed``.

        Raises
        ------
        DataError
            IP318 if the baseline knows no layer of a run.
        """
        found: dict[Run, tuple[list[Slot], list[int]]] = {}
        for run, (layers, steps) in cells.items():
            recordings = self._like(run)
            known = dict.fromkeys(x["name"] for r in recordings for x in r["layers"])
            have = [layer.name for layer in layers]
            if known and known.keys().isdisjoint(have):
                raise DataError(
                    f"{run.path}: none of its layers is in {self.name}: settings cannot be "
                    f"repeated for {printable(shortened(' '.join(have), 60))}",
                    hint=f"choose layers of {printable(shortened(' '.join(known)))}",
                    code="IP318",
                )
            missing = [] if narrowed else [name for name in known if name not in have]
            extra = [name for name in have if name not in known]
            for names, here, there in (
                (extra, run.path, self.name),
                (missing, self.name, run.path),
            ):
                if names:
                    layer = printable(names[0])
                    more = f" (and {len(names) - 1} more)" if names[1:] else ""
                    log.warning("layer %s%s of %s is not in %s", layer, more, here, there)
            found[self._as_many(run, recordings)] = (list(layers), list(steps))
        return found

    def _as_many(self, run: Run, recordings: Sequence[Mapping[str, Any]]) -> Run:
        samples = {recording["n"] for recording in recordings}
        have = len(run.kept)
        if len(samples) != 1 or have == (n := samples.pop()):
            return run
        if have < n:
            log.warning(
                "%s: N = %s, in %s %s: compare will name it", run.path, f"{have:,}", self.name,
                f"{n:,}",
            )  # fmt: skip
            return run
        log.warning(
            "%s: N = %s of its %s samples, as in %s", run.path, f"{n:,}", f"{have:,}", self.name
        )
        return run.only(run.kept[_share(run.probe.labels, have, n)])

    def _like(self, run: Run) -> list[Mapping[str, Any]]:
        """Return the recordings that a run is compared with: of its name, its group, or all."""
        every = self.document["recordings"]
        split = run.split or str(run.manifest.get("split") or "probe")
        found = [r for r in every if r.get("split") in (None, split)] or every
        named = [r for r in found if r["run"] == run.name]
        grouped = [r for r in found if r.get("group") and r["group"] == run.group]
        return named or grouped or list(found)

    def shared(self, cells: Cells, estimators: Iterable[Estimator], *, warn: bool = True) -> Shared:
        """Return what the runs of each group shared of each estimator that shares something.

        A warning names what cannot be repeated and is made anew.
        """
        found: Shared = {}
        groups = {group.name: group for group in groups_of(cells).values()}
        for estimator in estimators:
            if type(estimator).prepare_group is Estimator.prepare_group:
                continue
            why = ""
            for group in groups.values():
                kept = self._kept(estimator, group)
                if len(kept) == 1:
                    found[group.name, estimator_id(estimator)] = kept[0]
                elif estimator.pools != "nothing":
                    why = "holds several" if kept else "holds none"
            if why and warn:
                name = printable(estimator_id(estimator))
                log.warning(
                    "%s: the noise it fixes for a group is set anew, from these runs: %s %s for it",
                    name, self.name, why,
                )  # fmt: skip
        return found

    def _kept(self, estimator: Estimator, group: Group) -> list[Mapping[str, Any]]:
        """Return the different states that rows of the estimator refer to, of the nearest runs."""
        by_run: dict[str, set[str]] = {}
        for identifier in _ids(estimator):
            by_run |= self._referred.get(identifier, {})
        names = {run.name for run in group.runs}
        named = {run: keys for run, keys in by_run.items() if run in names}
        groups = group_of_runs(self.document)
        grouped = {run: keys for run, keys in by_run.items() if groups[run] == group.name}
        keys = set().union(*(named or grouped or by_run).values())
        return [self.document["artifacts"][key] for key in sorted(keys)]

    @cached_property
    def _referred(self) -> dict[str, dict[str, set[str]]]:
        """Artifacts of shared states that rows refer to, by estimator id and run."""
        artifacts = self.document.get("artifacts") or {}
        found: dict[str, dict[str, set[str]]] = {}
        for row in self.document["rows"]:
            key = (row.get("diag") or {}).get("shared_sha256")
            if isinstance(key, str) and key in artifacts:
                by_run = found.setdefault(_canonical(row["estimator"]), {})
                by_run.setdefault(row["run"], set()).add(key)
        return found


def _ids(estimator: Estimator) -> list[str]:
    """Return the ids that rows of an estimator can have: its own, and those of its sweep."""
    points = (estimator, *sweep_points(estimator))
    return list(dict.fromkeys(estimator_id(point) for point in points))


@lru_cache(maxsize=256)
def _canonical(identifier: str) -> str:
    """Return an id with its settings in order and without defaults; a sweep writes them else."""
    try:
        return estimator_id(installed_estimator(identifier))
    except InputError:
        return identifier


def _share(labels: IntArray | None, have: int, n: int) -> IntArray:
    """Return the indices of ``n`` random samples, of each class as large a share.

    They are the same for all runs and commits of one probe set: these are compared.
    """
    order = generator(0, "as many", have, n).permutation(have)
    if labels is None:
        return np.sort(order[:n])
    place = np.empty(have)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(order[np.argsort(place[order], kind="stable")[:n]])
