"""The processes of a training, as ``torch.distributed`` knows them."""

from __future__ import annotations

from typing import TypeAlias

import torch

from infoplane.errors import InputError

Shard: TypeAlias = tuple[int, int]
"""Index of a process, from 0, and the number of processes."""


def first_process() -> bool:
    """Tell whether this is the first process of a training, or the only one."""
    return own_shard()[0] == 0


def chosen_shard(shard: bool | Shard) -> Shard:
    """Return the shard that is asked for: the whole, that of this process, or the given one.

    Raises
    ------
    InputError
        If it is no pair of whole numbers.
    """
    if isinstance(shard, bool):
        return own_shard() if shard else (0, 1)
    if not isinstance(shard, tuple) or [type(part) for part in shard] != [int, int]:
        raise InputError(f"shard: expected True, or a pair (index, count), got {shard!r:.80}")
    return shard


def own_shard() -> Shard:
    """Return the rank of this process and the number of processes; (0, 1) if it is alone."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
