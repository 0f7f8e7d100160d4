"""Write a run of activations that a program has as arrays."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from infoplane.calls import PathLike, path_of, text_or_none, truth, unfit, whole
from infoplane.data import Array, IntArray, ProbeSet
from infoplane.errors import InputError
from infoplane.importing.stored import array_or_tensor, as_numbers, stored_layer
from infoplane.patterns import matches
from infoplane.recording.hooks.reductions import Reduction, by_glob
from infoplane.recording.manifest import (
    finite_epoch,
    json_values,
    named_run,
    number,
    of_process,
)
from infoplane.recording.probes.classes import warn_of_labels, warn_of_names
from infoplane.recording.probes.from_arrays import as_probe
from infoplane.runs.step_writer import StepWriter
from infoplane.runs.writer import FolderWriter, check_folder

log = logging.getLogger("infoplane")

IGNORED = -100
"""The label of samples without one, ``ignore_index`` of the losses of torch."""

Spec = tuple[tuple[int, ...], str, "str | None"]


class RunWriter:
    """Writes a run of arrays: of another framework, of a simulation, or saved before.

    Rows are samples, the same ones in the same order in all arrays. Samples with the label -100
    are left out of all of them, with a warning. The run appears with its first step; each step is
    complete when `add` returns.

    Parameters
    ----------
    path : path
        Folder of the run.
    inputs : array (n_samples, ...), or mapping of these, optional
        The inputs X of the network. Without them, I(X;T) is taken for what the layer holds, H(T),
        and what compares layers with inputs is not measured.
    labels : array (n_samples,), optional
        Class ids, strings or one-hot rows; other numbers are real targets.
    name, group : str, optional
        Of the run; by default the name of the folder. ``tanh-s0`` is seed 0 of the group ``tanh``.
    seed : int, optional
        Of the training.
    reduce : mapping of str to str, optional
        By glob, how layers are made small, as of `Recorder`: above 16,384 units they must be.
    logits : str, optional
        Name of the layer of the logits, for the estimator ``output``.
    provenance : mapping, optional
        JSON values that the run keeps.
    overwrite : bool, default False
        Replace an earlier run in this folder.

    Raises
    ------
    InputError
        If an argument or an array is unfit; the message names it.
    RunFileError
        If the folder holds something already, or cannot be written.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> with infoplane.RunWriter("runs/arrays", x, labels=x[:, 0] > 0) as writer:
    ...     for step in (0, 10):
    ...         writer.add(step, {"tanh": np.tanh((1 + step) * x)}, metrics={"loss": 0.5})
    >>> infoplane.Run("runs/arrays").steps
    (0, 10)
    """

    def __init__(
        self,
        path: PathLike,
        inputs: Any = None,
        labels: Any = None,
        *,
        name: str | None = None,
        group: str | None = None,
        seed: int | None = None,
        reduce: Mapping[str, str] | None = None,
        logits: str | None = None,
        provenance: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = path_of(path, "path")
        self._overwrite = truth(overwrite, "overwrite")
        self._reductions = by_glob(dict(reduce or {}))
        self._logits = text_or_none(logits, "logits")
        run = text_or_none(name, "name") or self.path.resolve().name
        self._manifest = {
            **named_run(
                run,
                text_or_none(group, "group"),
                None if seed is None else whole(seed, "seed", 0),
            ),
            "layers": ["**"],
            "at": "output",
            "settings": {"arrays": True, **({"reduce": dict(reduce)} if reduce else {})},
            "provenance": {**of_process(), **json_values(provenance or {})},
        }
        check_folder(self.path, replace=self._overwrite)
        self._probe, self._kept = _probe_set(inputs, labels, str(self.path))
        self._n = None if self._probe is None else self._probe.n_samples  # rows that are given
        if self._probe is not None and self._kept is not None:
            self._probe = self._probe.take(self._kept)
        self._writer: FolderWriter | None = None
        self._first: dict[str, Spec] = {}
        self._steps: dict[int, Sequence[int]] = {}  # checksums of the layers
        self._spoiled: set[str] = set()

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that are written."""
        return tuple(sorted(self._steps))

    @property
    def probe(self) -> ProbeSet | None:
        """The samples; None as long as nothing tells how many there are."""
        return self._probe

    def add(
        self,
        step: int,
        layers: Mapping[str, Any],
        metrics: Mapping[str, Any] | None = None,
        *,
        epoch: float | None = None,
    ) -> None:
        """Write a step.

        Parameters
        ----------
        step : int
            Of the training, 0 for the untrained network; in any order, each once.
        layers : mapping of str to array (n_samples, units, ...)
            Every layer, in the order of the network; arrays or tensors. All steps have the same
            layers, of the same shapes and dtypes. bfloat16 is kept as it is.
        metrics : mapping of str to number, optional
            Numbers of the step, such as ``train_loss``.
        epoch : float, optional
            The epoch of the step.

        Raises
        ------
        InputError
            If the step was added already, or an array is unfit; nothing is written then.
        DataError
            If a layer is too large, or the numbers of another step do not fit.
        """
        step = whole(step, "step", 0)
        if step in self._steps:
            raise InputError(f"step {step} is added twice", hint="number the steps from 0 on")
        if not isinstance(layers, Mapping) or not layers:
            raise unfit("layers", "a dict of names and arrays", layers)
        named = {str(name): values for name, values in layers.items()}
        if len(named) < len(layers) or "" in named:
            raise InputError("layers: expected different names, none of them empty")
        stored = {name: self._stored(name, values) for name, values in named.items()}
        specs: dict[str, Spec] = {
            name: (array.shape[1:], str(array.dtype), encoding)
            for name, (array, encoding, _) in stored.items()
        }
        self._check_like_first(step, specs)
        told = {
            str(key): number(value, f"metric {key!r}") for key, value in (metrics or {}).items()
        }
        when = finite_epoch(epoch)
        with self._begun().step(step) as one:
            one.metrics, one.epoch = told, when
            for name in self._first or specs:
                array, encoding, source = stored[name]
                one.write((name, 0), name, "Array", 0, array, source, encoding)
                self._describe(one, name)
        self._first = self._first or specs
        self._warn(step, one)

    def close(self) -> None:
        """End the run; a folder without a step is removed."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _stored(self, name: str, values: Any) -> tuple[Array, str | None, str]:
        """Return a layer as it is stored, of the samples that are kept; and its dtype before."""
        found = array_or_tensor(values, name)
        shape, source = tuple(found.shape), str(found.dtype).removeprefix("torch.")
        if shape and self._n is not None and shape[0] != self._n:
            raise InputError(
                f"layer {name!r}: expected {self._n:,} samples, as there are inputs or labels, got "
                f"shape {shape}",
                hint="rows are samples, the same ones in all arrays",
            )
        array, encoding = stored_layer(found, name, self._reduction(name))
        if self._probe is None:
            self._probe, self._n = _of_rows(len(array), name), len(array)
        return array if self._kept is None else array[self._kept], encoding, source

    def _reduction(self, name: str) -> Reduction | None:
        found = [one for glob, one in self._reductions.items() if matches(name, glob)]
        return found[-1] if found else None

    def _check_like_first(self, step: int, specs: Mapping[str, Spec]) -> None:
        """Refuse a step that has not the layers of the first one."""
        if not self._first:
            if self._logits is not None and self._logits not in specs:
                raise InputError(
                    f"logits: expected one of {', '.join(specs)}, got {self._logits!r}",
                    argument="logits",
                )
            if unused := [g for g in self._reductions if not any(matches(n, g) for n in specs)]:
                raise InputError(
                    f"reduce: {unused[0]!r} matches none of the layers {', '.join(specs)}",
                    argument="reduce",
                )
            return
        before = next(iter(self._steps))
        missing = [name for name in self._first if name not in specs]
        more = [name for name in specs if name not in self._first]
        if missing or more:
            name, has, lacks = (missing[0], before, step) if missing else (more[0], step, before)
            raise InputError(
                f"expected the same layers at every step: step {has} has {name!r}, step {lacks} "
                "has not",
                hint="give every step all layers, or leave the layer out of all of them",
            )
        for name, spec in specs.items():
            if spec != self._first[name]:
                raise InputError(
                    f"layer {name!r}: expected the shape and dtype of step {before}, "
                    f"{_told(self._first[name])}, got {_told(spec)} at step {step}"
                )

    def _begun(self) -> FolderWriter:
        assert self._probe is not None
        if self._writer is None:
            self._writer = FolderWriter(
                self.path, self._probe, self._manifest, overwrite=self._overwrite
            )
        return self._writer

    def _describe(self, one: StepWriter, name: str) -> None:
        found, reduction = one.layers[name, 0], self._reduction(name)
        if reduction is not None:
            found.reduction = str(reduction)
        if name == self._logits:
            found.details["roles"] = ["logits"]

    def _warn(self, step: int, one: StepWriter) -> None:
        """Warn of NaN, once for each layer, and of a step that repeats another."""
        spoiled = {found.name for found in one.layers.values() if found.n_nonfinite}
        if new := sorted(spoiled - self._spoiled):
            log.warning("NaN or inf at step %d: %s", step, ", ".join(new[:12]))
        self._spoiled |= spoiled
        sums = [found.crc32 for found in one.layers.values()]
        if same := [other for other, known in self._steps.items() if known == sums]:
            log.warning(
                "step %d holds the same numbers as step %d in every layer: if that is not meant, "
                "copy the arrays before they are changed in place",
                step, same[0],
            )  # fmt: skip
        self._steps[step] = sums


def _told(spec: Spec) -> str:
    shape, dtype, encoding = spec
    return f"{shape} of {encoding or dtype}"


def _of_rows(n: int, name: str) -> ProbeSet:
    try:
        return ProbeSet(np.empty((n, 0), np.float32))
    except InputError as error:
        raise InputError(f"layer {name!r}: {error}") from error


def _probe_set(inputs: Any, labels: Any, where: str) -> tuple[ProbeSet | None, IntArray | None]:
    """Return the probe set, and which rows are kept; None where that is all of them.

    There is none yet without inputs and labels.
    """
    given = None if labels is None else as_numbers(labels, "labels")
    if inputs is None and given is None:
        log.warning("%s: no labels: I(T;Y) will not be estimated", where)
        _warn_of_inputs(where)
        return None, None
    if inputs is None:
        assert given is not None
        if not given.ndim:
            raise InputError("expected labels of shape (n_samples,), got a single value")
        probe = as_probe(np.empty((len(given), 0), np.float32), given)
    else:
        probe = as_probe(_inputs(inputs), given)
    probe = replace(probe, ids=np.arange(probe.n_samples))
    kept = _labelled(probe, where)
    warn_of_labels(probe if kept is None else probe.take(kept), where)
    if given is not None:
        warn_of_names(given, where)
    if probe.known_inputs is None:
        _warn_of_inputs(where)
    return probe, kept


def _inputs(given: Any) -> Any:
    """Return inputs as an array, or as arrays by name."""
    if isinstance(given, Mapping):
        return {str(key): as_numbers(one, f"input {key!r}") for key, one in given.items()}
    return as_numbers(given, "inputs")


def _warn_of_inputs(where: str) -> None:
    log.warning(
        "%s: no inputs: I(X;T) is taken for what a layer holds, H(T); DSMI(T;X) and the I(X;T) of "
        "renyi, which compare layers with inputs, will not be estimated",
        where,
    )


def _labelled(probe: ProbeSet, where: str) -> IntArray | None:
    """Return the rows whose label is not -100, if some are and -100 is no class of its own."""
    if probe.labels is None:
        return None
    marked = probe.labels == IGNORED
    if not marked.any() or (probe.labels[~marked] < 0).any():
        return None
    if marked.all():
        raise InputError(f"expected labels, found all {len(marked):,} samples marked {IGNORED}")
    log.warning(
        "%s: %d of %d samples have the label %d, which stands for none: they are left out",
        where, int(marked.sum()), len(marked), IGNORED,
    )  # fmt: skip
    return np.flatnonzero(~marked)
