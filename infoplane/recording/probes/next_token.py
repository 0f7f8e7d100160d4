"""Labels of tokens made from the inputs: which token comes next."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from infoplane.data import NO_LABEL, Array, IntArray
from infoplane.errors import InputError
from infoplane.text import counted
from infoplane.tokens import masks_of_tokens

log = logging.getLogger("infoplane")

NAME = "next-token"
_MOST = 10
"""Classes besides the rest, unless chosen."""


@dataclass(frozen=True)
class NextToken:
    """The choice ``next-token`` or ``next-token:K`` of ``--labels``.

    Parameters
    ----------
    most : int
        The most frequent next tokens that are classes, 0 the most frequent; K is all others.
    """

    most: int = _MOST

    @classmethod
    def parse(cls, text: str) -> NextToken | None:
        """Return what a text chooses; None if it names a file.

        Raises
        ------
        InputError
            If K is no number above 0.
        """
        name, colon, most = text.partition(":")
        if name != NAME:
            return None
        if colon and not (most.isdecimal() and int(most)):
            raise InputError(f"--labels: expected {NAME}:K with K of at least 1, got {text!r:.60}")
        return cls(int(most) if colon else _MOST)

    def labels(
        self, inputs: Mapping[str, Array], mask: Array | None, x: str | None, where: str
    ) -> IntArray:
        """Return the class of the token after each (n, length); `NO_LABEL` where none follows.

        Raises
        ------
        InputError
            If no input, or more than one, holds ids of tokens; or none is followed by another.
        """
        ids = _ids(inputs, x)
        real = _real(inputs, mask, ids)
        follows = real[:, :-1] & real[:, 1:]
        nexts = ids[:, 1:]
        tokens, counts = np.unique(nexts[follows], return_counts=True)
        if not len(tokens):
            raise InputError(f"--labels {NAME}: no token is followed by another")
        top = tokens[np.argsort(-counts, kind="stable")][: self.most]
        order = np.argsort(top)
        place = np.searchsorted(top[order], nexts).clip(max=len(top) - 1)
        known = top[order][place] == nexts
        labels = np.full(ids.shape, NO_LABEL, np.int64)
        labels[:, :-1][follows] = np.where(known, order[place], self.most)[follows]
        rest = 1 - known[follows].mean()
        log.warning(
            "%s: labels are the next token: the %s most frequent, and the rest (%.0f %%) as one "
            "class",
            where, f"{len(top):,}", 100 * rest,
        )  # fmt: skip
        return labels


def _ids(inputs: Mapping[str, Array], x: str | None) -> Array:
    """Return the input that holds ids of tokens (n, length)."""
    found = {
        name: one
        for name, one in inputs.items()
        if one.ndim == 2 and one.shape[1] > 1 and one.dtype.kind in "iu"
        if name not in masks_of_tokens(inputs) and (x is None or name == x)
    }
    if len(found) > 1 and "input_ids" in found:
        return found["input_ids"]
    if len(found) != 1:
        shapes = ", ".join(
            f"{name or 'inputs'} {one.shape} {one.dtype}" for name, one in inputs.items()
        )
        raise InputError(
            f"--labels {NAME}: expected one input of token ids, whole numbers (n, length), got "
            f"{counted(len(found), 'such input')} of {shapes or 'none'}",
            hint="name it with --x" if found else "save the ids as integers",
        )
    return next(iter(found.values()))


def _real(inputs: Mapping[str, Array], mask: Array | None, ids: Array) -> Array:
    """Return which tokens are no padding."""
    masks = [mask != 0] if mask is not None else list(masks_of_tokens(inputs).values())
    fitting = [one for one in masks if one.shape == ids.shape]
    if masks and not fitting:
        raise InputError(
            f"--labels {NAME}: expected a mask of shape {ids.shape}, got {masks[0].shape}"
        )
    return fitting[0] if fitting else np.ones(ids.shape, dtype=bool)
