"""Plug-in information of a partition of a layer over a probe set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.data import Array, checked_activations, class_ids
from infoplane.errors import InputError
from infoplane.numerics.discrete.partitions import Partition
from infoplane.numerics.discrete.symbols import (
    Symbols,
    joint_entropy,
    row_symbols,
)


@dataclass(frozen=True, eq=False)
class ProbeSymbols:
    """Labels and inputs of a probe set as partitions; what all cells of a run share.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    labels : Symbols or None
        Classes.
    shuffled : tuple of Symbols
        Random permutations of the classes, for the null of I(T;Y).
    inputs : Symbols or None
        Inputs, if some input occurs twice; otherwise H(T|X) = 0 needs no counting.
    n_inputs : int
        Number of different inputs.
    """

    n_samples: int
    labels: Symbols | None
    shuffled: tuple[Symbols, ...]
    inputs: Symbols | None
    n_inputs: int

    @property
    def ceiling(self) -> float:
        """Upper bound log2 n_inputs of I(X;T), in bits."""
        return float(np.log2(self.n_inputs))

    @property
    def h_y(self) -> float | None:
        """Upper bound H(Y) of I(T;Y), in bits."""
        return None if self.labels is None else self.labels.entropy


@dataclass(frozen=True, eq=False)
class PartitionInformation:
    """Information of one layer under one partition; all entropies in bits, plug-in.

    Parameters
    ----------
    ht, ixt : float
        H(T) and I(X;T) of the binned layer; equal unless an input occurs with different T.
    ity, null_ity : float or None
        I(T;Y), and its mean over permuted labels; None without labels.
    ceiling, h_y : float, float or None
        Upper bounds log2 n_inputs of ``ixt`` and H(Y) of ``ity``.
    n_states : int
        Number of different symbols.
    singleton_fraction : float
        Share of the samples that are alone in their state; 1 minus it is the Good-Turing coverage.
    out_of_range : float
        Share of the values outside the range of the bins; they are counted in the outermost bins.
    edges : array or None
        Edges (n_edges,), or (n_edges, n_units) of the modes per unit; None without edges.
    symbols : Symbols
        The partition itself.
    capacity : float
        Upper bound of H(T) that the bins set, n_units * log2 n_bins; infinite without bins, or
        where no bin puts two values together.
    """

    ht: float
    ixt: float
    ity: float | None
    null_ity: float | None
    ceiling: float
    h_y: float | None
    n_states: int
    singleton_fraction: float
    out_of_range: float
    edges: Array | None
    symbols: Symbols
    capacity: float = np.inf


def probe_symbols(
    n_samples: int,
    labels: Array | None = None,
    inputs: Array | None = None,
    *,
    permutations: int = 5,
    rng: np.random.Generator | None = None,
) -> ProbeSymbols:
    """Return labels and inputs as partitions.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    labels : array (n_samples,), optional
        Class ids.
    inputs : array (n_samples, ...), optional
        Inputs; without them all are taken to differ.
    permutations : int, default 5
        Permutations of the labels.
    rng : numpy.random.Generator, optional
        Source of the permutations; by default a generator with seed 0.

    Raises
    ------
    InputError
        If labels or inputs are of another length, labels not class ids, or inputs not finite.
    """
    symbols: Symbols | None = None
    shuffled: tuple[Symbols, ...] = ()
    if labels is not None:
        ids = class_ids(labels)
        if len(ids) != n_samples:
            raise InputError(f"expected {n_samples} labels, one per sample, got {len(ids)}")
        symbols = row_symbols(ids[:, None])
        rng = np.random.default_rng(0) if rng is None else rng
        shuffled = tuple(
            Symbols(rng.permutation(symbols.ids), symbols.counts) for _ in range(permutations)
        )
    x = None
    if inputs is not None:
        inputs = np.asarray(inputs)
        if len(inputs) != n_samples:
            raise InputError(f"expected {n_samples} inputs, one per sample, got {len(inputs)}")
        inputs = inputs.reshape(n_samples, -1)
        if inputs.dtype.kind not in "iub":
            inputs = checked_activations(inputs, name="inputs")
        x = row_symbols(inputs)
    n_inputs = n_samples if x is None else x.n_states
    repeated = x if n_inputs < n_samples else None
    return ProbeSymbols(n_samples, symbols, shuffled, repeated, n_inputs)


def partition_information(partition: Partition, probe: ProbeSymbols) -> PartitionInformation:
    """Return the information of one partition of a layer over a probe set.

    I(X;T) = H(T) + H(X) - H(X,T), which is H(T) where every input is another, and I(T;Y) =
    H(T) + H(Y) - H(T,Y); each entropy is that of the counts (Cover and Thomas, Elements of
    Information Theory, 2.4).
    """
    t = partition.symbols
    ht = t.entropy
    ixt = ht
    if probe.inputs is not None:
        ixt = ht + probe.inputs.entropy - joint_entropy(probe.inputs, t)
    ity = null = h_y = None
    if probe.labels is not None:
        h_y = probe.labels.entropy
        ity = ht + h_y - joint_entropy(t, probe.labels)
        if probe.shuffled:
            joint = [joint_entropy(t, shuffled) for shuffled in probe.shuffled]
            null = ht + h_y - sum(joint) / len(joint)
    return PartitionInformation(
        ht=ht,
        ixt=ixt,
        ity=ity,
        null_ity=null,
        ceiling=probe.ceiling,
        h_y=h_y,
        n_states=t.n_states,
        singleton_fraction=t.n_alone / probe.n_samples,
        out_of_range=partition.out_of_range,
        edges=partition.edges,
        symbols=t,
        capacity=partition.capacity,
    )
