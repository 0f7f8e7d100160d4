"""Try a few samples before the first step, to see what can be recorded and what depends on more."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from infoplane.data import Slot
from infoplane.errors import DataError
from infoplane.recording.hooks.attention_survey import find_attention
from infoplane.recording.hooks.calls import call_names
from infoplane.recording.hooks.capture import Receive
from infoplane.recording.hooks.hints import OF_NONE
from infoplane.recording.hooks.masks import Tokens, chosen_mask
from infoplane.recording.hooks.modes import evaluation_mode
from infoplane.recording.hooks.outputs import Address, Key, UnfitLayerError
from infoplane.recording.hooks.passes import Found, ProbePasses
from infoplane.recording.hooks.places import Lengths, Tries
from infoplane.recording.hooks.randomness import find_noise, learn_randomness
from infoplane.recording.hooks.roles import RoleFinder, Roles
from infoplane.recording.hooks.sequences import assigned
from infoplane.recording.hooks.trials import Trial
from infoplane.recording.probes.batches import Batch
from infoplane.runs.files import listed
from infoplane.text import one_line

log = logging.getLogger("infoplane")

_FEW = 8
"""Samples of a trial at most, where the model takes so few."""


def surveyed(passes: ProbePasses) -> tuple[Slot, ...]:
    """Return what is recorded, from passes of a few samples, made once.

    Layers that nobody named and that cannot be recorded are taken from the passes and named in one
    warning; those whose samples are on another axis than the first are recorded by it. Another
    warning names those that depend on chance, on earlier passes or on the other samples of a batch.
    A model that does not take a few samples is given the first batch.

    Raises
    ------
    DataError
        As ``ProbePasses.record``.
    """
    if passes.survey is None:
        most = passes.n_samples // 512  # of a large probe set more: chance seldom spares them all
        few = min(max(most, 2), _FEW, passes.probe.n_samples)
        learn_randomness(passes)
        try:
            survey = _Survey(passes, slice(0, few))
            survey.make()
        except DataError as error:
            log.debug("the survey takes the first batch: %s", error)
            survey = _Survey(passes, next(passes.batches()))
            survey.make()
        survey.choose_tokens()
        survey.tell()
        passes.roles = survey.roles()
        passes.of_logits = survey.tokens_of_logits(passes.roles.logits)
        passes.attention_slots = find_attention(passes)
        passes.noise_of = find_noise(passes, survey.found, survey.chance)
        passes.survey = passes.slots(survey.found)
    return passes.survey


class _Survey:
    """The passes of a survey; every one begins with the state that the model has now."""

    def __init__(self, passes: ProbePasses, rows: slice) -> None:
        self.passes, self.rows = passes, range(rows.start, rows.stop)
        self.batch = passes.batch(rows)
        self._begin()
        self.again: tuple[Batch, Trial] | None = None  # some of the samples in another batch
        self.chance: list[str] = []  # layers that change from pass to pass

    def _begin(self) -> None:
        """Forget the first pass."""
        self.found: dict[Key, Found] = {}
        self.unfit: dict[str, UnfitLayerError] = {}
        self.lengths: Lengths = {}  # of layers of which tokens are kept
        self.whole: Lengths = {}  # of layers of tokens that are recorded whole
        self.trial = Trial(self.rows)
        self.finder = RoleFinder(self.passes.model, self.passes.logits, self.passes.head)
        self.output: Any = None  # of the model

    def make(self) -> None:
        """Make two passes that have samples in common.

        Raises
        ------
        DataError
            If the model fails, or a layer that was asked for, or every layer, cannot be recorded.
        """
        with evaluation_mode(self.passes.model, thorough=True):
            self._make_both()
            if self.passes.by_default and (axes := self._other_axes()):
                self.passes.found_axes = axes
                self._begin()
                self._make_both()
        for key in [key for key in self.found if key[0] in self.unfit]:
            del self.found[key]
        for name, found in self.unfit.items():
            if not self.passes.by_default or name in self.passes.batch_dims:
                raise found
        if self.unfit and not self.found:
            raise self._none_left()

    def _make_both(self) -> None:
        with self.finder.watching():
            self.output = self._send(self.batch, self._receive, self._unfit)
        self.passes.operations.check()
        for batch, rows in self._others():
            trial, heard = Trial(rows), set[Key]()
            try:
                self._send(batch, self._receive_again(trial, heard), lambda error: None)
            except DataError as error:  # a model of one batch size alone
                log.debug("no batch of another size: %s", error)
            else:
                self.again = batch, trial
                self._leave_irregular(heard)
                break

    def _other_axes(self) -> dict[str, int]:
        """Return the axis of the samples of layers in which it is not the first.

        It is the only one whose length is that of the batch, in batches of two lengths.
        """
        names = {name for name, error in self.unfit.items() if error.mendable}
        others = [batch for batch, _ in self._others() if len(batch) != len(self.batch)]
        axes: dict[str, set[int]] = {}
        for batch in (self.batch, *others) if names and others else ():
            n = len(batch)

            def receive(
                name: str, call: int, address: Address, tensor: torch.Tensor, n: int = n
            ) -> None:
                if name in names and not tensor.is_nested:
                    long = {axis for axis, length in enumerate(tensor.shape) if length == n}
                    axes[name] = axes.get(name, long) & long

            try:
                self._send(batch, receive, lambda error: None)
            except DataError as error:  # a model of one batch size alone
                log.debug("no batch of another size: %s", error)
                return {}
        one = {name: min(found) for name, found in axes.items() if len(found) == 1}
        return {name: axis for name, axis in one.items() if axis}

    def _none_left(self) -> DataError:
        """Return the error of a model of which no layer can be recorded as it is."""
        for found in self.unfit.values():
            if found.mendable:
                return found
        return DataError(f"no layer can be recorded: {self._why()}", hint=OF_NONE)

    def _why(self) -> str:
        return listed((f"{name} ({error.why})" for name, error in self.unfit.items()), 8)

    def tell(self) -> None:
        """Take from the passes what cannot be recorded, and warn."""
        for name in self.unfit:
            del self.passes.layers[name]
        by_axis: dict[int, list[str]] = {}
        for name, axis in self.passes.found_axes.items():
            if name not in self.unfit:
                by_axis.setdefault(axis, []).append(name)
        for axis, names in by_axis.items():
            log.warning(
                "samples on axis %d, as batches of two lengths show: %s", axis, listed(names, 8)
            )
        if self.unfit:
            log.warning("left out: %s", self._why())
        if whole := dict.fromkeys(name for name, _ in self.passes.whole):
            log.warning(
                "kept whole, as their outputs have no such axes: %s; --reduce 'NAME=KIND' reduces "
                "a layer",
                ", ".join(whole),
            )
        if self.again is not None and (unlike := self.trial.unlike(self.again[1])):
            self._explain(unlike)

    def roles(self) -> Roles:
        """Return which of the layers have a role.

        Raises
        ------
        NotFoundError, InputError
            If a layer that was named for one is not there, or could be several.
        """
        return self.finder.found(self.output, call_names(self.found))

    def tokens_of_logits(self, key: Key | None) -> Tokens | None:
        """Return which tokens of logits count that are recorded whole; None where all do."""
        passes = self.passes
        length = self.whole.get(key) if key is not None else None
        if key is None or length is None or not passes.arguments:
            return None
        text = passes.mask(key[0])
        try:
            if text is not None:
                return Tokens(chosen_mask(text, passes.arguments))
            tries = Tries(passes, self.batch)
            found = assigned({key: length}, passes.arguments, passes.model, tries)
        except DataError as error:
            log.warning("of the logits all positions count: %s", one_line(error))
            return None
        return Tokens(found[key])

    def choose_tokens(self) -> None:
        """Find the masks of layers of which tokens are kept.

        Raises
        ------
        DataError
            If one cannot be told, or does not fit.
        """
        passes = self.passes
        given = {key: passes.mask(key[0]) for key in self.lengths}
        asked = {key: length for key, length in self.lengths.items() if given[key] is None}
        tries = Tries(passes, self.batch)
        masks = assigned(asked, passes.arguments, passes.model, tries)
        for key, length in self.lengths.items():
            text = given[key]
            mask = masks[key] if text is None else chosen_mask(text, passes.arguments)
            passes.choose_tokens(key, length, mask)

    def _note_length(self, key: Key, tensor: torch.Tensor) -> None:
        reduction = self.passes.reduction(key)
        if tensor.ndim == 3 and (reduction is None or reduction.kind == "flatten"):
            self.whole[key] = tensor.shape[1]
        elif tensor.ndim == 3 and reduction is not None and reduction.of_tokens:
            self.lengths[key] = tensor.shape[1]

    def _others(self) -> list[tuple[Batch, Sequence[int]]]:
        """Return other batches with some of the samples: of another length, and in another order.

        Of another length they begin some rows later, so that no sample keeps its place.
        """
        start, n, total = self.rows.start, len(self.rows), self.passes.probe.n_samples
        if n > _FEW:
            rows = range(start, start + 2)
        elif start + n // 2 + n + 1 <= total:
            rows = range(start + n // 2, start + n // 2 + n + 1)
        else:
            rows = range(start, min(start + n + 1, total)) if start + n < total else range(n - 1)
        turned = (self.batch.turned(), [*self.rows[1:], self.rows[0]])
        return [(self.passes.batch(slice(rows.start, rows.stop)), rows), turned][not rows :]

    def _send(
        self, batch: Batch, receive: Receive, unfit: Callable[[UnfitLayerError], None]
    ) -> Any:
        with self.passes.captured(receive, unfit):
            return self.passes.forward(batch)

    def _unfit(self, error: UnfitLayerError) -> None:
        self.unfit.setdefault(error.layer, error)

    def _receive(self, name: str, call: int, address: Address, tensor: torch.Tensor) -> None:
        self.finder.add((name, call), tensor)
        tensor = self.passes.by_sample(name, tensor, len(self.batch))
        self.found[name, call] = self.passes.found((name, call), tensor, self.batch)
        self._note_length((name, call), tensor)
        self.trial.add((name, call), tensor)

    def _leave_irregular(self, heard: set[Key]) -> None:
        """Leave out layers that nobody named and that fire in one batch alone, as experts do.

        A step would fail at the first batch that is unlike the one before.
        """
        if self.passes.by_default:
            for name, _ in sorted(self.found.keys() ^ heard):
                why = "not called in every batch, or not on all of its samples"
                self._unfit(UnfitLayerError(name, why, f"layer {name!r}: {why}"))

    def _receive_again(self, trial: Trial, heard: set[Key]) -> Receive:
        before, now = len(self.rows), len(trial.rows)

        def receive(name: str, call: int, address: Address, tensor: torch.Tensor) -> None:
            axis = self.passes.axis(name)
            if axis >= tensor.ndim or tensor.shape[axis] not in (before, now):
                heard.add((name, -1))  # on other rows
            else:
                heard.add((name, call))
                try:
                    trial.add((name, call), self.passes.by_sample(name, tensor, now))
                except UnfitLayerError as error:  # an axis that keeps its length is another one
                    self._unfit(error)

        return receive

    def _explain(self, unlike: Sequence[str]) -> None:
        """Find out on what the layers depend, and warn."""
        assert self.again is not None
        other, rows = self.again[0], self.again[1].rows
        alone = self._seeded(0, [], self.batch, self.rows)
        chance = alone.unlike(self._seeded(1, [], self.batch, self.rows))
        state = alone.unlike(self._seeded(0, [other], self.batch, self.rows))
        company = alone.unlike(self._seeded(0, [], other, rows))
        self.chance = chance
        company += [name for name in unlike if name not in {*chance, *state, *company}]
        for found, what in ((chance, _CHANCE), (state, _STATE), (company, _COMPANY)):
            names = [name for name in found if found is chance or name not in chance]
            if names:
                more = f" and {len(names) - 3} more" if names[3:] else ""
                log.warning("%s%s: %s", ", ".join(names[:3]), more, what)

    def _seeded(
        self, seed: int, before: Sequence[Batch], batch: Batch, rows: Sequence[int]
    ) -> Trial:
        """Return what a batch gives after others, from one state of the random numbers."""
        trial = Trial(rows)

        def receive(name: str, call: int, address: Address, tensor: torch.Tensor) -> None:
            trial.add((name, call), self.passes.by_sample(name, tensor, len(rows)))

        with evaluation_mode(self.passes.model):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002  - that of the model
            random.seed(seed)
            try:
                for one in before:
                    self.passes.forward(one)
                self._send(batch, receive, lambda error: None)
            except DataError as error:  # a state that does not fit another batch
                log.debug("no further trial: %s", error)
        return trial


_CHANCE = (
    "random in evaluation mode, or of a state that cannot be put back: the same samples give other "
    "values in every pass; let dropout, noise and such states heed self.training, or leave the "
    "layers out with --layers '!NAME'"
)
_STATE = (
    "the model keeps state from pass to pass, on which these values depend; every batch is "
    "recorded from the state that the model has when the step begins; for values of the sample "
    "alone, reset it in evaluation mode"
)
_COMPANY = (
    "what a sample gives depends on the others of its batch, in evaluation mode as well, and so on "
    "--batch-size; compute statistics of the batch in training alone, or leave the layers out with "
    "--layers '!NAME'"
)
