"""Measures of a pair by name, with their parameters."""

from __future__ import annotations

import difflib
import typing
from dataclasses import fields
from typing import Any

from infoplane.errors import InputError
from infoplane.estimators.measure_id import MeasureId
from infoplane.similarity.measure import (
    BiasedCka,
    Cka,
    CkaWithoutTop,
    GaussianCka,
    MutualNeighbors,
    PairMeasure,
    Procrustes,
    Pwcca,
    Rsa,
    Svcca,
)

MEASURES: dict[str, type[PairMeasure]] = {
    cls.name: cls
    for cls in (
        Cka, CkaWithoutTop, Procrustes, MutualNeighbors, Rsa, BiasedCka, GaussianCka, Svcca, Pwcca,
    )
}  # fmt: skip
"""Measures by name."""

DEFAULT = ("cka", "cka_without_top", "procrustes", "mutual_neighbors", "rsa")
"""What is measured where nothing is named."""


def parse_measure(text: str) -> PairMeasure:
    """Return the measure ``NAME[:parameter=value,...]``.

    Raises
    ------
    InputError
        If there is no such measure or parameter, or a value does not fit.
    """
    written = MeasureId.read(text)
    if written.name not in MEASURES or written.point:
        near = difflib.get_close_matches(written.name, MEASURES, n=1, cutoff=0.5)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"expected a measure of similarity, got {text!r:.60}{meant}",
            hint=f"measures: {', '.join(MEASURES)}",
            code="IP103",
        )
    cls = MEASURES[written.name]
    types = typing.get_type_hints(cls)
    known = {field.name: types[field.name] for field in fields(cls)}
    values: dict[str, Any] = {}
    for key, value in written.settings:
        if key not in known or value is None or key in values:
            raise InputError(
                f"{written.name}: expected each parameter once, as K=V, got {key!r}",
                hint=f"parameters of {written.name}: {', '.join(known) or 'none'}",
                code="IP103",
            )
        values[key] = _converted(value, known[key], f"{written.name}: {key}")
    return cls(**values)


def _converted(text: str, to: Any, where: str) -> Any:
    if to not in (int, float):
        return text
    try:
        return to(text)
    except ValueError as error:
        wanted = "a whole number" if to is int else "a number"
        raise InputError(f"{where}: expected {wanted}, got {text!r:.40}", code="IP104") from error
