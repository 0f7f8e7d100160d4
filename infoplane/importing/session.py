"""An import of arrays as one call, from its arguments to the run.

``infoplane import`` parses its options, makes the same call and prints.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infoplane.calls import (
    PathLike,
    Progress,
    listener,
    path_of,
    text_or_none,
    texts,
    truth,
    unfit,
    whole,
)
from infoplane.errors import DataError, InputError
from infoplane.importing.collect import (
    Collected,
    Item,
    collected,
    counts_of_rows,
    equal_at_all_steps,
    natural,
    read_file,
)
from infoplane.importing.writer import RunWriter
from infoplane.runs.run import Run
from infoplane.runs.writer import check_folder
from infoplane.system import split_reference
from infoplane.target_classes import classes_of
from infoplane.text import some_of

log = logging.getLogger("infoplane")

_UNORDERED = (".h5", ".hdf5", ".safetensors", ".zarr", "")
"""Files whose arrays stand in the order of their names."""

_FILES = (".npz", ".npy", ".h5", ".hdf5", ".safetensors", ".pt", ".pth", ".txt", ".zarr")


class Import:
    """An import whose arrays are found and named; none is read yet.

    Parameters are those of `import_arrays`.

    Attributes
    ----------
    steps : tuple of int
        Steps, ascending.
    layers : tuple of str
        Layers, in the order in which they are written.
    sources : mapping of str to str
        Where inputs and labels are.
    """

    def __init__(
        self,
        files: PathLike | Sequence[PathLike],
        output: PathLike,
        *,
        layout: str | None = None,
        layers: str | Sequence[str] = (),
        inputs: str | None = None,
        labels: str | None = None,
        label_bins: int | None = None,
        reduce: Mapping[str, str] | None = None,
        logits: str | None = None,
        name: str | None = None,
        group: str | None = None,
        overwrite: bool = False,
    ) -> None:
        listed = [files] if isinstance(files, str) or not isinstance(files, Sequence) else files
        paths = [path_of(one, "files") for one in listed]
        if not paths:
            raise unfit("files", "files or folders of arrays", files)
        self.output = path_of(output, "output")
        self._overwrite = truth(overwrite, "overwrite")
        check_folder(self.output, replace=self._overwrite)
        self._given = {
            role: _chosen_source(role, text_or_none(told, role))
            for role, told in (("inputs", inputs), ("labels", labels))
        }
        self._label_bins = None if label_bins is None else whole(label_bins, "label_bins", 2)
        self._options: dict[str, Any] = {
            "reduce": reduce, "logits": logits, "name": name, "group": group,
        }  # fmt: skip
        globs = texts(layers, "layers")
        self._found = collected(
            paths,
            layout=text_or_none(layout, "layout"),
            layers=globs,
            **{role: told for role, (told, _) in self._given.items()},
        )
        self.steps = tuple(self._found.layers)
        self.layers = _order(self._found, globs)
        self._provenance = {"imported": [str(path) for path in paths]}
        self._check_rows()
        self.sources = {
            role: _written(path, key) if path else str(self._found.roles[role][0])
            for role, (_, (path, key)) in self._given.items()
            if path or role in self._found.roles
        }

    @property
    def n_samples(self) -> int:
        """Rows of the arrays."""
        return self._item(self.steps[0], self.layers[0]).held.shape[0]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of a sample of each layer."""
        first = self.steps[0]
        return {name: self._item(first, name).held.shape[1:] for name in self.layers}

    @property
    def steps_told(self) -> bool:
        """Whether names tell the steps; otherwise all is step 0."""
        return self._found.told

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the numbers that go with the steps."""
        return tuple(dict.fromkeys(k for named in self._found.numbers.values() for k in named))

    @property
    def left_out(self) -> tuple[str, ...]:
        """Arrays that are no layers, with the reason."""
        return tuple(self._found.left_out)

    def run(self, progress: bool | Callable[[Progress], object] = False) -> Run:
        """Read the arrays and write the run; parameters and errors as of `import_arrays`."""
        tell = listener(progress)
        inputs, labels = (self._read(role) for role in ("inputs", "labels"))
        if self._label_bins is not None:
            with _of_files(self.sources.get("labels", "labels")):
                labels = classes_of(labels, self._label_bins, self.sources.get("labels", "labels"))
        where = self.sources.get("labels") or self.sources.get("inputs") or "arrays"
        with (
            _of_files(where),
            RunWriter(
                self.output,
                inputs,
                labels,
                provenance=self._provenance,
                overwrite=self._overwrite,
                **self._options,
            ) as writer,
        ):
            tell(Progress("import", 0, len(self.steps)))
            for done, step in enumerate(self.steps, 1):
                self._add(writer, step)
                tell(Progress("import", done, len(self.steps)))
        return Run(self.output)

    def _add(self, writer: RunWriter, step: int) -> None:
        numbers = {
            name: item.held.read() for name, item in self._found.numbers.get(step, {}).items()
        }
        epoch = numbers.pop("epoch", None)
        items = {name: self._item(step, name) for name in self.layers}
        with _of_files(str(next(iter(items.values())).held.path)):
            arrays = {name: item.held.read() for name, item in items.items()}
            writer.add(step, arrays, numbers, epoch=epoch)

    def _read(self, role: str) -> Any:
        _, (path, key) = self._given[role]
        if path:
            return read_file(role, Path(path), key)
        items = self._found.roles.get(role)
        return equal_at_all_steps(role, items) if items else None

    def _item(self, step: int, layer: str) -> Item:
        return self._found.layers[step][layer]

    def _check_rows(self) -> None:
        """Refuse steps that lack a layer, and arrays of several lengths, before any is read."""
        first = self.steps[0]
        for step, named in self._found.layers.items():
            for one, other, name in (
                *((first, step, name) for name in self.layers if name not in named),
                *((step, first, name) for name in named if name not in self.layers),
            ):
                raise DataError(
                    f"step {one} has a layer {name!r}, step {other} has none",
                    hint=f"leave the layer out, --layers '!{name}', or the step",
                )
            self._check_like_first(step, named)
            counts = counts_of_rows(named)
            if len(counts) > 1:
                told = "; ".join(
                    f"{n:,} in {some_of(names, 4, between=', ')}" for n, names in counts.items()
                )
                raise DataError(
                    f"expected arrays of as many samples, found at step {step}: {told}",
                    hint="rows are samples, the same in all arrays; leave out what is no layer: "
                    "--layers '!NAME'",
                )

    def _check_like_first(self, step: int, named: Mapping[str, Item]) -> None:
        """Refuse a layer that is of another shape or dtype than at the first step."""
        for name, item in named.items():
            before = self._item(self.steps[0], name).held
            if (item.held.shape, item.held.dtype) != (before.shape, before.dtype):
                raise DataError(
                    f"layer {name!r}: expected an array as at step {self.steps[0]}, {before.shape} "
                    f"of {before.dtype}, found {item.held.shape} of {item.held.dtype} in {item} at "
                    f"step {step}",
                    hint="rows are samples, the same ones at every step",
                )


def import_arrays(
    files: PathLike | Sequence[PathLike],
    output: PathLike,
    *,
    layout: str | None = None,
    layers: str | Sequence[str] = (),
    inputs: str | None = None,
    labels: str | None = None,
    label_bins: int | None = None,
    reduce: Mapping[str, str] | None = None,
    logits: str | None = None,
    name: str | None = None,
    group: str | None = None,
    overwrite: bool = False,
    progress: bool | Callable[[Progress], object] = False,
) -> Run:
    """Make a run of arrays in files: no model, no forward pass.

    Nothing in a file is run: pickles and arrays of objects are refused.

    Parameters
    ----------
    files : path or sequence of paths
        ``.npz``, ``.npy``, ``.h5``, ``.hdf5``, ``.safetensors``, ``.pt`` of ``torch.save({name:
        tensor})``, stores of Zarr, or folders of these.
    output : path
        Folder of the run.
    layout : str, optional
        Where step and layer stand, as ``epoch_{step}/{layer}.npy``; arrays that it does not fit are
        left out. By default a word such as step or epoch announces the step, and what is left of
        the key, or of the file name, is the layer.
    layers : str or sequence of str
        Globs of layers, in the order of the network; ``!GLOB`` excludes. By default all, in the
        order of the file; sorted by name where a file has no order.
    inputs, labels : str, optional
        The name of an array, a file, ``FILE:NAME``, or ``none``; by default an array that is called
        so, or ``x`` and ``y``. Labels that are no class ids are real targets.
    label_bins : int, optional
        Make class ids of real targets: this many classes of as many samples.
    reduce, logits, name, group, overwrite : optional
        As of `RunWriter`.
    progress : bool or callable, default False
        As of `record`.

    Raises
    ------
    InputError, NotFoundError
        If an argument is unfit, or names what is not there.
    DataError
        If steps or layers are unclear, rows do not fit, or a file holds anything but numbers.
    RunFileError
        If a file is missing or damaged, or ``output`` holds a run already.

    Examples
    --------
    >>> np.savez("step_0.npz", fc1=np.zeros((4, 2)), labels=[0, 1, 0, 1])
    >>> infoplane.import_arrays("step_0.npz", "runs/zeros").steps
    (0,)
    """
    return Import(
        files, output, layout=layout, layers=layers, inputs=inputs, labels=labels,
        label_bins=label_bins, reduce=reduce, logits=logits, name=name, group=group,
        overwrite=overwrite,
    ).run(progress)  # fmt: skip


def _chosen_source(role: str, told: str | None) -> tuple[str | None, tuple[str, str]]:
    """Return the name of an array ("" for none, None for the usual ones), or a file and a key."""
    if told is None:
        return None, ("", "")
    if told == "none":
        return "", ("", "")
    head, key = split_reference(told)
    if Path(told).suffix.lower() in _FILES or (Path(told).is_file()):
        return "", (told, "")
    if key and Path(head).suffix.lower() in _FILES:
        return "", (head, key)
    if not told:
        raise InputError(f"{role}: expected a name or a file, got none", argument=role)
    return told, ("", "")


def _written(path: str, key: str) -> str:
    return f"{path}:{key}" if key else path


def _order(found: Collected, globs: Sequence[str]) -> tuple[str, ...]:
    """Return the layers in the order of the network, as far as files and globs tell it."""
    first = next(iter(found.layers.values()))
    names = list(first)
    files = {item.held.path.suffix.lower() for item in first.values()}
    one_file = len({item.held.path for item in first.values()}) == 1
    if any(not glob.startswith("!") for glob in globs):
        return tuple(names)
    if one_file and not files & set(_UNORDERED):
        return tuple(names)
    return tuple(sorted(names, key=natural))


@contextmanager
def _of_files(where: str) -> Iterator[None]:
    """Say of which file an argument of the writer came."""
    try:
        yield
    except InputError as error:
        if error.argument is not None:
            raise
        raise DataError(f"{where}: {error}", hint=error.hint, code=error.code) from error
