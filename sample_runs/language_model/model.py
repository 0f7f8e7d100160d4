"""A small GPT-like network that reads characters, its text, and its probe set."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from infoplane.data import IntArray

CONTEXT = 64
"""Characters that the network sees at once."""

UNITS, HEADS, BLOCKS = 64, 4, 4
_CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
VOCABULARY = len(_CHARACTERS) + 1  # and one for all others
_HELD_OUT = 0.1  # of the text, at its end


class Block(nn.Module):
    """Attention to what came before, then an MLP; each adds to the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(UNITS)
        self.attention = nn.MultiheadAttention(UNITS, HEADS, batch_first=True)
        self.norm2 = nn.LayerNorm(UNITS)
        self.mlp = nn.Sequential(
            nn.Linear(UNITS, 4 * UNITS), nn.GELU(), nn.Linear(4 * UNITS, UNITS)
        )

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        """Return the stream (n, length, units) after this block."""
        length = stream.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=stream.device).triu(1)
        x = self.norm1(stream)
        stream = stream + self.attention(x, x, x, attn_mask=later, need_weights=False)[0]
        read: torch.Tensor = self.mlp(self.norm2(stream))
        return stream + read


class Network(nn.Module):
    """Characters (n, length) in, logits of the next ones (n, length, vocabulary) out."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, UNITS)
        self.place = nn.Parameter(0.02 * torch.randn(CONTEXT, UNITS))
        self.h = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(UNITS)
        self.head = nn.Linear(UNITS, VOCABULARY)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        stream = self.token(ids) + self.place[: ids.shape[1]]
        for block in self.h:
            stream = block(stream)
        logits: torch.Tensor = self.head(self.norm(stream))
        return logits


def build() -> nn.Module:
    """Return the network, untrained."""
    return Network()


def text() -> str:
    """Return the help pages that come with Python, one behind the other."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def encoded(characters: str) -> IntArray:
    """Return the id of each character: its place among those that are known, or one for others."""
    known = {character: index for index, character in enumerate(_CHARACTERS)}
    other = len(known)
    return np.array([known.get(one, other) for one in characters], dtype=np.int64)


def parts() -> tuple[IntArray, IntArray]:
    """Return the ids that the network is trained on, and those that it never sees."""
    ids = encoded(text())
    end = int(len(ids) * (1 - _HELD_OUT))
    return ids[:end], ids[end:]


def probe() -> IntArray:
    """Return 128 sequences (128, 64) of the held-out text, evenly spaced."""
    held_out = parts()[1]
    starts = np.linspace(0, len(held_out) - CONTEXT, 128).astype(np.int64)
    sequences: IntArray = held_out[starts[:, None] + np.arange(CONTEXT)]
    return sequences
