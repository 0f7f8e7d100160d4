"""What must be equal for values of one estimator to be averaged, drawn together or compared.

That is the ``setting`` of their rows (the noise of a layer, say), the number of samples, and the
parameters of the estimator. A row without a setting, and one without a number, says nothing of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from infoplane.estimators.quantities import Quantity
from infoplane.text import counted, printable, shortened

Key: TypeAlias = tuple[str, str, str]
"""Layer, estimator id, quantity."""
Unlike: TypeAlias = Mapping[Key, str]
"""What differs, in words."""

_MOST = 4  # values or names to write


def difference(
    rows: Mapping[str, Iterable[Mapping[str, Any]]],
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Say what differs in what must be equal, with the values; "" where nothing does.

    Parameters
    ----------
    rows : mapping of str to rows
        Sets of rows of one estimator and quantity, and of one layer if the setting is that of a
        layer; by the name that the sentence gives them, as a run or a file.
    parameters : mapping of str to mapping, optional
        Parameters of the estimator, by the same names. A seed is none: it is part of the id.

    Examples
    --------
    >>> one = {"value": 4.2, "n": 3000, "setting": "c=0.25"}
    >>> difference({"base.json": [one], "pr.json": [{**one, "setting": "c=0.3"}]})
    'c=0.25 in base.json, c=0.3 in pr.json'
    >>> difference({"s0": [one], "s1": [one], "s2": [{**one, "n": 1200}]})
    'N = 3,000 (s0, s1), 1,200 (s2)'
    """
    settings: dict[str, set[str]] = defaultdict(set)
    samples: dict[str, set[int]] = defaultdict(set)
    for name, some in rows.items():
        for row in some:
            if row.get("setting"):
                settings[name].add(str(row["setting"]))
            if row["value"] is not None:
                samples[name].add(row["n"])
    told = [values_apart({name: sorted(found) for name, found in settings.items()})]
    numbers = {name: [f"{n:,}" for n in sorted(found)] for name, found in samples.items()}
    told.append(values_apart(numbers, "N = "))
    known = {name: without_seed(given) for name, given in (parameters or {}).items()}
    for key in dict.fromkeys(key for given in known.values() for key in given):
        values = {name: [str(given.get(key))] for name, given in known.items()}
        told.append(values_apart(values, f"{printable(key)} "))
    return "; ".join(filter(None, told))


def without_seed(told: Any) -> Any:
    """Return the parameters of an estimator, or its version, without a seed.

    A seed of its own is part of the id; the default was written as 0, and is null since it follows
    that of the analysis.
    """
    return {k: v for k, v in told.items() if k != "seed"} if isinstance(told, Mapping) else told


def apart(unlike: Unlike, measured: Mapping[Key, Quantity]) -> tuple[Unlike, Unlike]:
    """Return what keeps an estimator from being used at all, and what can be left out of it.

    Only quantities of no family can be left out, as I(X;T) at the noise that the runs of a group
    fixed, and only if others of the estimator are alike.

    Parameters
    ----------
    unlike : mapping
        What differs.
    measured : mapping
        All that could differ, by the same keys, with what the quantity is.
    """
    whole: dict[Key, str] = {}
    beside: dict[Key, str] = {}
    for estimator in dict.fromkeys(key[1] for key in unlike):
        declared = {key[2]: about for key, about in measured.items() if key[1] == estimator}
        found = {key: said for key, said in unlike.items() if key[1] == estimator}
        names = {key[2] for key in found}
        few = len(names) < len(declared) and not any(declared[name].family for name in names)
        (beside if few else whole).update(found)
    return whole, beside


def in_words(unlike: Unlike) -> list[str]:
    """Return a sentence for each estimator: quantities and what differs, by the first layer."""
    found: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for (layer, estimator, quantity), said in unlike.items():
        found[estimator].setdefault(quantity, {})[layer] = said
    sentences = []
    for estimator, quantities in found.items():
        layers = {k: v for said in reversed(quantities.values()) for k, v in said.items()}
        first, said = next(iter(layers.items()))
        others = sum(other != said for other in layers.values())
        where = f" (layer {first}, and {counted(others, 'other')})" if others else ""
        names = ", ".join(quantities)
        sentences.append(printable(f"{names} of {estimator}: {said}{where}"))
    return sentences


def values_apart(values: Mapping[str, list[str]], prefix: str = "") -> str:
    """Return which value stands where, "" if all are the same.

    Parameters
    ----------
    values : mapping of str to list of str
        Values by the place they stand at, as a run or a file.
    prefix : str
        What they are values of.
    """
    places: dict[str, list[str]] = defaultdict(list)
    for name, found in values.items():
        places[printable(shortened(" and ".join(_few(found)), 60))].append(printable(name))
    if len(places) < 2:
        return ""
    single = all(len(names) == 1 for names in places.values())
    said = [
        f"{value} in {names[0]}" if single else f"{value} ({', '.join(_few(names))})"
        for value, names in places.items()
    ]
    return prefix + ", ".join(_few(said))


def _few(texts: list[str]) -> list[str]:
    more = len(texts) - _MOST
    return texts if more <= 0 else [*texts[:_MOST], f"{more} more"]
