"""How far a training loop has come, by its calls of ``step``, and where it is when it ends."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from infoplane.recording.schedule import complete

log = logging.getLogger("infoplane")

_FEW_VALUES, _FEW_TENSORS = 64, 4
"""How many values of how many parameters are copied at a call: it must cost next to nothing."""


@dataclass(frozen=True)
class _Mark:
    """What changes with an update: the versions of parameters, and some values of the last ones.

    torch counts in the version what is done in place, so it grows alike with every update. What is
    done to ``parameter.data`` it does not count; that shows in the values.
    """

    versions: dict[int, int] = field(default_factory=dict)
    values: tuple[torch.Tensor, ...] = ()

    @classmethod
    def of(cls, model: nn.Module) -> _Mark:
        some = [one for one in model.parameters() if not is_lazy(one)]
        trained = [one for one in some if one.requires_grad and one.numel()][-_FEW_TENSORS:]
        return cls(
            {id(one): 0 if one.is_inference() else one._version for one in some},
            tuple(map(_some_values, trained)),
        )

    def since(self, earlier: _Mark) -> int:
        """Return what the version that grew most grew by."""
        before = earlier.versions
        return max((now - before[key] for key, now in self.versions.items() if key in before),
                   default=0)  # fmt: skip

    def is_of(self, other: _Mark) -> bool:
        """Tell whether no update lies between the two."""
        return (
            self.versions == other.versions
            and len(self.values) == len(other.values)
            and all(
                one.shape == two.shape and torch.allclose(one, two, 0.0, 0.0, equal_nan=True)
                for one, two in zip(self.values, other.values, strict=True)
            )
        )


@dataclass
class LoopProgress:
    """Counts the calls of a loop.

    Calls before the update of a step and calls after it are both usual, and so are calls at some
    steps alone. Which it is shows at the end: the parameters are as in the last call, or they have
    been updated since, as often as the versions tell by what they grew by from call to call.
    """

    recorded: bool = True  # the step of the last call
    epochs: int | None = None  # that are complete
    _step: int | None = None
    _mark: _Mark = field(default_factory=_Mark)
    _apart: int = 1  # steps from call to call
    _rate: tuple[int, int] = (0, 0)  # steps, and what the version grew by
    _turns: list[tuple[float, int]] = field(default_factory=list)  # last two epochs, first steps

    def reached(self, step: int, epoch: float | None, model: nn.Module, *, recorded: bool) -> None:
        """Note a call, and whether its step is recorded."""
        mark = _Mark.of(model)
        if self._step is not None and step > self._step:
            self._apart = step - self._step
            if grown := mark.since(self._mark):
                self._rate = self._apart, grown
        if epoch is not None and (not self._turns or epoch > self._turns[-1][0]):
            self._turns = [*self._turns, (epoch, step)][-2:]
        self._step, self._mark = step, mark
        self.recorded, self.epochs = recorded, complete(epoch)

    def end(self, model: nn.Module) -> tuple[int, float | None]:
        """Return the step of the model as it is, and its epoch where the calls told of two."""
        assert self._step is not None
        mark, step = _Mark.of(model), self._step
        if not mark.is_of(self._mark):
            step += self._updates(mark.since(self._mark))
        return step, self._epoch(step)

    def _updates(self, grown: int) -> int:
        """Return how many steps lie between the last call and the end."""
        steps, by = self._rate
        if grown and by and grown * steps % by == 0:
            return grown * steps // by
        assert self._step is not None
        log.warning(
            "the loop ended after step %s, how many updates later cannot be told: the model is "
            "recorded as step %s; call step(step, last=True) to say which it is",
            self._step,
            self._step + self._apart,
        )
        return self._apart

    def _epoch(self, step: int) -> float | None:
        if len(self._turns) < 2:
            return None
        (before, first), (epoch, turn) = self._turns
        if not first < turn <= step:
            return None
        return round(epoch + (epoch - before) * (step - turn) / (turn - first), 9)


def _some_values(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().reshape(-1)
    return flat[:: flat.numel() // _FEW_VALUES + 1].clone()
