"""Estimators by name: the built-in ones and plug-ins (entry points ``infoplane.estimators``).

An estimator is written ``NAME`` or ``NAME:parameter=value,parameter=value`` on the command line, in
the configuration and in Python; ``path/to/file.py:Class`` stands for the name of one in a file,
whose code is run. What a document names is never looked for in files.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import logging
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields, replace
from importlib import metadata
from pkgutil import resolve_name
from typing import Any

from infoplane.calls import unfit
from infoplane.errors import InfoplaneError, InputError, RunFileError
from infoplane.estimators.base import Estimator
from infoplane.estimators.from_file import (
    FileReference,
    file_reference,
    found_in_file,
    sent_with_its_source,
)
from infoplane.estimators.measure_id import MeasureId
from infoplane.text import shortened

BUILT_IN = {
    "attention": "infoplane.estimators.attention:AttentionEntropy",
    "binning": "infoplane.estimators.layers.binning:Binning",
    "cauchy_schwarz": "infoplane.estimators.layers.cauchy_schwarz:CauchySchwarz",
    "collapse": "infoplane.estimators.layers.collapse:Collapse",
    "compressed": "infoplane.estimators.layers.compressed.estimator:Compressed",
    "curvature": "infoplane.estimators.steps.curvature:Curvature",
    "dimension": "infoplane.estimators.layers.dimension:Dimension",
    "dse": "infoplane.estimators.layers.diffusion:DiffusionSpectral",
    "exact": "infoplane.estimators.layers.binning:Exact",
    "fisher": "infoplane.estimators.steps.curvature:Fisher",
    "kde": "infoplane.estimators.layers.kde:KernelDensity",
    "ksg": "infoplane.estimators.layers.ksg:NeighbourCounts",
    "neural": "infoplane.estimators.layers.neural:Neural",
    "neural_pairs": "infoplane.estimators.neural_pairs:NeuralPairs",
    "noisy": "infoplane.estimators.layers.noisy:NoisyNetwork",
    "output": "infoplane.estimators.layers.output:Output",
    "prequential": "infoplane.estimators.steps.prequential:Prequential",
    "probe": "infoplane.estimators.layers.probe:Probe",
    "renyi": "infoplane.estimators.layers.renyi:MatrixRenyi",
    "spectrum": "infoplane.estimators.layers.spectrum:SpectrumOfLayer",
    "weights": "infoplane.estimators.weights:Weights",
}
log = logging.getLogger("infoplane")

DEFAULT = ("binning", "compressed", "dse", "probe")
OF_TARGETS = "ksg"
"""The estimator beside the default ones where a run has real targets."""

PRESETS = {"representation": ("spectrum:directions=false", "collapse:splits=0")}
"""Names that stand for several estimators: those whose measures do not repeat one another."""


def estimator_names() -> list[str]:
    """Return the names of all estimators, built-in names first.

    Examples
    --------
    >>> estimator_names()[:3]
    ['attention', 'binning', 'cauchy_schwarz']
    """
    return [*BUILT_IN, *sorted(_plugins())]


def without_presets(specs: Iterable[Any]) -> list[Any]:
    """Return specs of estimators, each preset replaced by what it stands for.

    Examples
    --------
    >>> without_presets(["dse", "representation"])
    ['dse', 'spectrum:directions=false', 'collapse:splits=0']
    """
    return [
        one
        for spec in specs
        for one in (PRESETS.get(spec, (spec,)) if isinstance(spec, str) else (spec,))
    ]


def estimator_class(name: str) -> type[Estimator]:
    """Return the class of an estimator; a plug-in is imported only here.

    ``path/to/file.py:Class`` is one in a file, which is run.

    Raises
    ------
    InputError
        If no estimator has this name (the message names the nearest one), two plug-ins have it, or
        the plug-in cannot be loaded.
    RunFileError
        If there is no such file.

    Examples
    --------
    >>> estimator_class("kde").title
    'kernel density'
    """
    if not isinstance(name, str):
        raise unfit("name", "the name of an estimator", name)
    reference = file_reference(name)
    return _installed_class(name) if reference is None else _class_in(reference)


def _installed_class(name: str) -> type[Estimator]:
    if name in BUILT_IN:
        return typing.cast("type[Estimator]", resolve_name(BUILT_IN[name]))
    points = _plugins().get(name, [])
    if not points:
        raise InputError(
            f"expected the name of an estimator, got {name!r}{_nearest(name, estimator_names())}",
            hint="estimators: " + ", ".join([*estimator_names(), *PRESETS]),
            code="IP103",
        )
    if points[1:]:
        raise InputError(
            f"two plug-ins are called {name!r}: {points[0].value} and {points[1].value}",
            hint="uninstall one of them",
            code="IP112",
        )
    return _loaded(points[0])


def _plugins() -> dict[str, list[metadata.EntryPoint]]:
    """Return the plug-ins by name; the name of a built-in estimator is taken."""
    found: dict[str, list[metadata.EntryPoint]] = {}
    for point in metadata.entry_points(group="infoplane.estimators"):
        if point.name in BUILT_IN:
            log.warning(
                "plug-in %s is left out: the name %r is that of a built-in estimator",
                point.value,
                point.name,
            )
        elif point not in found.setdefault(point.name, []):
            found[point.name].append(point)
    return found


def _loaded(point: metadata.EntryPoint) -> type[Estimator]:
    """Return the class of a plug-in, its declarations checked."""
    where = f"plug-in {point.name} ({point.value})"
    cls = _checked(
        _run(where, point.load, "install what it needs, correct it, or uninstall it"), where
    )
    if cls.name != point.name:
        raise _refused(
            where, f"its class is named {cls.name!r}", "call the entry point and the class alike"
        )
    return cls


def _class_in(reference: FileReference) -> type[Estimator]:
    """Return the class that a file holds, its declarations checked; the file is run."""
    where = str(reference)
    found = _run(where, lambda: found_in_file(reference), "correct the file; see docs/plugins.md")
    cls = _checked(found, where)
    if cls.name in estimator_names():
        raise _refused(
            where, f"its name {cls.name!r} is that of an installed estimator", "choose another name"
        )
    sent_with_its_source(cls)
    return cls


def _refused(where: str, why: str, hint: str) -> InputError:
    return InputError(f"{where}: {why}", hint=hint, code="IP112")


def _run(where: str, load: Callable[[], object], hint: str) -> object:
    """Return what code of the user's returns; whatever it raises is told in one line."""
    try:
        return load()
    except RunFileError:
        raise
    except InputError as error:
        raise _refused(where, str(error), error.hint or "correct the plug-in") from error
    except (Exception, SystemExit) as error:
        why = f"cannot be loaded: {type(error).__name__}: {_one_line(error)}"
        raise _refused(where, why, hint) from error


def _checked(cls: object, where: str) -> type[Estimator]:
    """Return a class, if it is that of an estimator and says what it must."""
    hint = "see docs/plugins.md"
    if not (isinstance(cls, type) and issubclass(cls, Estimator)):
        raise _refused(where, f"expected a sub-class of Estimator, got {cls!r:.80}", hint)
    if missing := sorted(cls.__abstractmethods__):
        raise _refused(where, f"defines no {', '.join(missing)}", hint)
    for member in ("name", "title", "quantities"):
        if not hasattr(cls, member):
            hint = f"add {member} to the class: docs/plugins.md"
            raise _refused(where, f"declares no {member}", hint)
    return cls


def _one_line(error: BaseException) -> str:
    return shortened(" ".join(str(error).split()))


def parse_estimator(spec: str) -> Estimator:
    """Return the estimator written as ``NAME[:parameter=value,...]``.

    A parameter may be written with ``-`` for ``_``; several values are joined by ``+`` where the
    parameter takes a sequence (``bins=15+30+60``). ``path/to/file.py:Class`` in place of the name
    is an estimator in a file: the file is run, so let nobody else choose it.

    Raises
    ------
    InputError
        If the name or a parameter is unknown (the nearest one is named), or a value is unfit.
    RunFileError
        If there is no such file.

    Examples
    --------
    >>> parse_estimator("binning:bins=15+30").bins
    (15, 30)
    """
    if not isinstance(spec, str):
        raise unfit("spec", "a text NAME[:parameter=value,...]", spec)
    reference = file_reference(spec)
    if reference is None:
        return installed_estimator(spec)
    cls = _class_in(reference)
    return _with_settings(cls, MeasureId.read(cls.name + reference.settings), spec)


def installed_estimator(spec: str) -> Estimator:
    """Return an estimator that a document names: a built-in one or a plug-in, in no case a file.

    Raises
    ------
    InputError
        As `parse_estimator`.
    """
    written = MeasureId.read(spec)
    return _with_settings(_installed_class(written.name), written, spec)


def _with_settings(cls: type[Estimator], written: MeasureId, spec: str) -> Estimator:
    """Return the estimator of a class with the settings that were written."""
    name = cls.name
    types_ = typing.get_type_hints(cls)
    known = {field.name: types_[field.name] for field in fields(cls)}
    values: dict[str, Any] = {}
    if written.point:
        raise InputError(f"{name}: expected NAME:K=V,..., got {spec!r}", code="IP103")
    for said, value in written.settings:
        key = said.strip().replace("-", "_")
        if value is None or key not in known:
            what = (
                f"expected K=V, got {said!r}" if value is None else f"it has no parameter {key!r}"
            )
            near = "" if key in known else _nearest(key, list(known))
            raise InputError(
                f"{name}: {what}{near}",
                hint=f"parameters of {name}: " + ", ".join(known),
                code="IP103",
            )
        if key in values:
            raise InputError(f"{name}: {key} is given twice", code="IP103")
        values[key] = _convert(value.strip(), known[key], where=f"{name}: {key}")
    try:
        return cls(**values)
    except InfoplaneError:
        raise
    except Exception as error:  # of a plug-in
        raise InputError(
            f"{name}: cannot be made: {type(error).__name__}: {_one_line(error)}",
            hint="parameters of " + name + ": " + (", ".join(known) or "none"),
            code="IP103",
        ) from error


def estimator_id(estimator: Estimator) -> str:
    """Return how results name an estimator: its name and the parameters not at their default.

    Examples
    --------
    >>> estimator_id(parse_estimator("binning:mode=fixed,low=-1,high=1"))
    'binning:mode=fixed,low=-1,high=1'
    """
    if not isinstance(estimator, Estimator):
        raise unfit("estimator", "an Estimator", estimator)
    changed = []
    for field in fields(estimator):
        value = getattr(estimator, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if default is MISSING or value != default:
            changed.append(f"{field.name}={_written(value)}")
    return estimator.name + (":" + ",".join(changed) if changed else "")


def sweep_points(estimator: Estimator) -> list[Estimator]:
    """Return an estimator for each value, or combination of values, that a sweep goes over."""
    swept = {
        field.name: value
        for field in fields(estimator)
        if isinstance(value := getattr(estimator, field.name), tuple) and len(value) > 1
    }
    points = []
    for values in itertools.product(*swept.values()):
        with contextlib.suppress(ValueError):  # several values that mean one thing together
            one = {name: (value,) for name, value in zip(swept, values, strict=True)}
            points.append(replace(estimator, **one))
    return points or [estimator]


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(map(_written, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _convert(text: str, hint: Any, *, where: str) -> Any:
    """Return ``text`` as a value of the annotated type: a scalar, a union or tuple of scalars."""
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    if type(None) in options and text.lower() in ("none", "null"):
        return None
    for option in options:
        if typing.get_origin(option) is tuple:
            inner = typing.get_args(option)[0]
            return tuple(_convert(part, inner, where=where) for part in text.split("+"))
    if bool in options and text.lower() in ("true", "false"):
        return text.lower() == "true"
    for scalar in (int, float):
        if scalar in options:
            try:
                return scalar(text)
            except ValueError:
                continue
    for option in options:
        if typing.get_origin(option) is typing.Literal and text in typing.get_args(option):
            return text
    if str in options:
        return text
    raise InputError(f"{where}: expected {_described(options)}, got {text!r}", code="IP104")


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _described(options: tuple[Any, ...]) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", type(None): "none"}
    found = []
    for option in options:
        if typing.get_origin(option) is typing.Literal:
            found += list(map(str, typing.get_args(option)))
        else:
            found.append(words.get(option, str(option)))
    return " or ".join(found)
