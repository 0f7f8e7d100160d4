"""Information of binned activations: fixed, adaptive and exact partitions of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.data import Array, checked_activations, class_ids
from infoplane.errors import InputError
from infoplane.numerics.discrete.partitions import Mode, Partition, partitioned
from infoplane.numerics.discrete.symbols import (
    Symbols,
    joint_entropy,
    row_symbols,
    working_precision,
)

SATURATED = 0.98  # share of log2 n_inputs above which I(X;T) says nothing
SPARSE = 0.5  # share of samples that are alone in their state
NULL_SHARE = 0.5  # share of I(T;Y) that shuffled labels reach as well
OUTSIDE = 0.001  # share of values outside the range of the bins


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
class BinnedInformation:
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
    flags : tuple of str
        ``saturated``, ``sparse``, ``null_dominates``, ``out_of_range``, ``constant``.
    symbols : Symbols
        The partition itself.
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
    flags: tuple[str, ...]
    symbols: Symbols


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


def binned_information(
    activations: Array,
    labels: Array | None = None,
    inputs: Array | None = None,
    *,
    mode: Mode = "ebab",
    bins: int = 30,
    low: float | None = None,
    high: float | None = None,
    width: float = 0.07,
    edges: Array | None = None,
    permutations: int = 5,
    rng: np.random.Generator | None = None,
) -> BinnedInformation:
    """Return H(T), I(X;T) and I(T;Y) of a layer whose units are binned, in bits.

    Each sample becomes the row of its units' bin numbers. A network is a function, so that
    I(X;T) = H(T); where the same input occurs with different activations (dropout, noise) it is
    H(T) + H(X) - H(X,T). I(T;Y) = H(T) + H(Y) - H(T,Y).

    Parameters
    ----------
    activations : array (n_samples, n_units)
        Finite. float32 and float64 keep their precision.
    labels : array (n_samples,), optional
        Class ids.
    inputs : array (n_samples, ...), optional
        Inputs; needed only where some occur more than once.
    mode : str, default "ebab"
        ==============  ==========================================================================
        ``ebab``        edges at equal numbers of distinct values of the whole layer (adaptive)
        ``ebab-neuron`` the same for each unit
        ``quantile``    bins of equal numbers of values of the whole layer
        ``fixed``       ``bins`` equally spaced edges from ``low`` (-1) to ``high`` (1)
        ``global``      the same with the range of all layers and checkpoints, which must be given
        ``layer``       ``bins`` equal bins from the minimum to the maximum of the layer
        ``neuron``      the same for each unit
        ``width``       bins of ``width``, without end
        ``exact``       no bins: the rows as they are (quantised networks)
        ==============  ==========================================================================
    bins : int, default 30
        Number of bins; of edges in ``fixed`` and ``global``, whose last bin is then [high, inf).
    low : float, optional
        For ``ebab`` the value that gets a symbol of its own; by default 0 if it is the minimum (as
        behind a ReLU), otherwise none. If values lie below it, it is left out and the layer flagged
        ``out_of_range``. For ``fixed`` and ``global`` the lowest edge.
    high : float, optional
        The highest edge of ``fixed`` and ``global``.
    width : float, default 0.07
        Width of the bins of ``width``.
    edges : array (n_edges,), optional
        Ascending edges to use instead of those of ``mode``.
    permutations : int, default 5
        Permutations of the labels for ``null_ity``, the I(T;Y) that a partition this fine shows
        for labels that have nothing to do with it; 0 leaves it out.
    rng : numpy.random.Generator, optional
        Source of the permutations; by default a generator with seed 0.

    Raises
    ------
    InputError
        If shapes, values, mode or bins do not fit.

    References
    ----------
    Fixed bins: Shwartz-Ziv, Tishby: "Opening the black box of deep neural networks via
    information", 2017. Adaptive bins: Chelombiev, Houghton, O'Donnell: "Adaptive estimators show
    information compression in deep neural networks", ICLR 2019. Exact: Lorenzen, Igel, Nielsen:
    "Information bottleneck: exact analysis of (quantized) neural networks", ICLR 2022.

    Examples
    --------
    >>> import numpy as np
    >>> layer = np.array([[0.0, 0.5], [0.0, 0.5], [2.0, 0.0], [3.0, 0.0]])
    >>> info = binned_information(layer, labels=[0, 0, 1, 1], mode="layer", bins=2)
    >>> info.ixt, info.ity
    (1.0, 1.0)
    """
    values = working_precision(activations)
    probe = probe_symbols(len(values), labels, inputs, permutations=permutations, rng=rng)
    partitions = partitioned(values, mode, (bins,), low=low, high=high, width=width, explicit=edges)
    return partition_information(next(iter(partitions)), probe)


def partition_information(partition: Partition, probe: ProbeSymbols) -> BinnedInformation:
    """Return the information of one partition of a layer over a probe set."""
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
    singletons = t.n_alone / probe.n_samples
    flags = {
        "saturated": probe.n_inputs > 1 and ixt > SATURATED * probe.ceiling,
        "sparse": singletons > SPARSE,
        "null_dominates": ity is not None and null is not None and null > NULL_SHARE * ity,
        "out_of_range": partition.out_of_range > OUTSIDE,
        "constant": t.n_states == 1,
    }
    return BinnedInformation(
        ht=ht,
        ixt=ixt,
        ity=ity,
        null_ity=null,
        ceiling=probe.ceiling,
        h_y=h_y,
        n_states=t.n_states,
        singleton_fraction=singletons,
        out_of_range=partition.out_of_range,
        edges=partition.edges,
        flags=tuple(flag for flag, raised in flags.items() if raised),
        symbols=t,
    )
