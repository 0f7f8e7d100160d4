"""Ids of estimators and of what they return: ``name:key=value,...@key=value,...``.

An estimator is its name and the settings that are not at their default, ``binning:bins=15``. What
it returns is a quantity, and of a sweep the point that it belongs to, ``ixt@bins=15``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeAlias

Settings: TypeAlias = tuple[tuple[str, str | None], ...]
"""Keys and values as they are written; the value is None where there is no ``=``."""

_PARTS = re.compile(r"([^:@]*)(?::([^@]*))?(?:@(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class MeasureId:
    """The name of an estimator or of a quantity, taken apart.

    Parameters
    ----------
    name : str
        Of the estimator, or of the quantity.
    settings : tuple of (key, value)
        Behind the colon.
    point : tuple of (key, value)
        Of a sweep, behind the at sign.

    Examples
    --------
    >>> MeasureId.read("binning:bins=15+30,mode=fixed").settings
    (('bins', '15+30'), ('mode', 'fixed'))
    >>> swept = MeasureId.read("ixt@bins=15")
    >>> str(MeasureId.read("binning:bins=15+30,mode=fixed").at(swept.point))
    'binning:mode=fixed,bins=15'
    """

    name: str
    settings: Settings = ()
    point: Settings = ()

    @classmethod
    def read(cls, text: str) -> MeasureId:
        """Return a name taken apart; any text is one."""
        found = _PARTS.fullmatch(text)
        assert found is not None
        return cls(found[1], _settings(found[2]), _settings(found[3]))

    def at(self, point: Settings) -> MeasureId:
        """Return the name at a point of a sweep: its settings take the place of those swept."""
        swept = {key for key, _ in point}
        kept = tuple(item for item in self.settings if item[0] not in swept)
        return replace(self, settings=(*kept, *point))

    def __str__(self) -> str:
        settings = f":{_written(self.settings)}" if self.settings else ""
        return self.name + settings + (f"@{_written(self.point)}" if self.point else "")


def _settings(text: str | None) -> Settings:
    parts = (item.partition("=") for item in (text or "").split(",") if item)
    return tuple((key, value if equals else None) for key, equals, value in parts)


def _written(settings: Settings) -> str:
    return ",".join(key if value is None else f"{key}={value}" for key, value in settings)
