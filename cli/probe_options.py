"""Options that choose a probe set: files, splits, labels, rows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from infoplane.cli.options import Location

if TYPE_CHECKING:
    from infoplane.data import ProbeSet

_PROBE = "probe"  # the probe set of --data

_OPTIONS = (
    click.option(
        "--data",
        type=Location(reference=True),
        metavar="FILE|FOLDER|MODULE:CALLABLE",
        help="Probe set: arrays inputs and labels (.npz, .npy, .h5, .safetensors, idx), FILE:x,y, "
        "a folder of images, or a function that returns them.",
    ),
    click.option(
        "--split",
        "splits",
        multiple=True,
        type=Location(reference=True, named=True),
        metavar="NAME=FILE",
        help="Another probe set, e.g. test=test.npz, recorded with the others but analyzed "
        "separately; repeatable. The one of --data is named probe.",
    ),
    click.option(
        "--labels",
        type=Location(word="next-token"),
        metavar="FILE|next-token[:K]",
        help="Labels, if they are in a separate file; or next-token: of each token the class of "
        "the one after it, of the K most frequent (10) and the rest.",
    ),
    click.option(
        "--label-bins",
        type=click.IntRange(2),
        metavar="K",
        help="Turn scalar targets into K classes with equally many samples; samples of one value "
        "stay together.",
    ),
    click.option(
        "--x",
        metavar="NAME",
        help="Input that is X, if there are several. Default: all, side by side.",
    ),
    click.option(
        "--samples",
        type=click.IntRange(2),
        metavar="N",
        help="Keep N rows of the probe set, with classes in proportion.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        metavar="N",
        help="Seed that chooses the rows of --samples.",
    ),
)


@dataclass(frozen=True)
class ProbeChoice:
    """What the options say of the probe set; false if they name none.

    Raises
    ------
    click.UsageError
        If they contradict each other, or a split is no NAME=FILE.
    """

    data: str | None
    splits: tuple[str, ...]
    labels: str | None
    label_bins: int | None
    x: str | None
    samples: int | None
    seed: int

    def __post_init__(self) -> None:
        self._references  # noqa: B018  - its checks
        if self.labels and self.splits:
            raise click.UsageError(
                "--labels is for --data alone: name FILE:INPUTS,LABELS in --split"
            )

    def __bool__(self) -> bool:
        return bool(self._references)

    @functools.cached_property
    def _references(self) -> dict[str, str]:
        """Where the probe sets are, by the name of the split; ``probe`` is that of --data."""
        found = {} if self.data is None else {_PROBE: self.data}
        for text in self.splits:
            name, _, where = text.partition("=")
            if not name or not where:
                raise click.BadParameter(
                    f"--split: expected NAME=FILE such as 'test=test.npz', got {text!r}"
                )
            if name in found:
                raise click.BadParameter(f"--split: two probe sets are named {name!r}")
            found[name] = where
        return found

    @property
    def told(self) -> str | dict[str, str]:
        """What the provenance says of it."""
        found = self._references
        return found[_PROBE] if list(found) == [_PROBE] else found

    @property
    def parts(self) -> dict[str, Any]:
        """What is taken of it."""
        return {
            "samples": self.samples,
            "seed": self.seed,
            "labels": self.labels,
            "x": self.x,
            "label_bins": self.label_bins,
        }

    def load(self) -> ProbeSet:
        """Load the probe set, or the splits of it."""
        from infoplane.recording.probes.named import load_probe, load_splits

        if isinstance(self.told, str):
            return load_probe(self.told, **self.parts)
        return load_splits(self.told, **self.parts)


def probe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which is given them as one ``probe_choice``."""

    @functools.wraps(command)
    def given(*arguments: Any, **options: Any) -> Any:
        names = ProbeChoice.__dataclass_fields__
        choice = ProbeChoice(**{name: options.pop(name) for name in names})
        return command(*arguments, probe_choice=choice, **options)

    for option in reversed(_OPTIONS):
        given = option(given)
    return given
