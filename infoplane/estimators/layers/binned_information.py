"""Information of binned activations, with what to know before trusting it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.data import Array
from infoplane.estimators.trust import is_saturated, null_dominates
from infoplane.numerics.discrete.binned import (
    PartitionInformation,
    partition_information,
    probe_symbols,
)
from infoplane.numerics.discrete.partitions import Mode, partitioned
from infoplane.numerics.discrete.symbols import working_precision

SPARSE = 0.5
"""Share of the samples that are alone in their state, above which a value follows their number."""

OUTSIDE = 0.001
"""Share of values outside the range of the bins that is flagged."""


@dataclass(frozen=True, eq=False)
class BinnedInformation(PartitionInformation):
    """Information of one layer under one partition; all entropies in bits, plug-in.

    Attributes
    ----------
    ht, ixt : float
        H(T) and I(X;T) of the binned layer; equal unless an input occurs with different T.
    ity, null_ity : float or None
        I(T;Y), and its mean over permuted labels; None without labels.
    ceiling, h_y : float, float or None
        Upper bounds log2 n_inputs of ``ixt`` and H(Y) of ``ity``.
    capacity : float
        Upper bound of ``ht`` and ``ixt`` that the bins set, n_units * log2 n_bins; infinite without
        bins, or where no bin puts two values together.
    n_states, singleton_fraction, out_of_range, edges, symbols
        As in :class:`~infoplane.numerics.discrete.binned.PartitionInformation`.
    flags : tuple of str
        ``saturated``: I(X;T) is within 2 % of ``ceiling`` or ``capacity``; ``sparse``: more than
        half of the samples are alone in their state; ``null_dominates``: permuted labels reach half
        of I(T;Y); ``out_of_range``: more than 0.1 % of the values are outside of the bins;
        ``constant``; ``upper_bound``: inputs were given but none occurs twice, so that I(X;T) is
        H(T), which it is only if the layer is a function of them.
    """

    flags: tuple[str, ...] = ()


def binned_flags(info: PartitionInformation) -> tuple[str, ...]:
    """Return what to know before trusting the information of a partition."""
    raised = {
        "saturated": is_saturated(info.ixt, min(info.ceiling, info.capacity)),
        "sparse": info.singleton_fraction > SPARSE,
        "null_dominates": info.ity is not None and null_dominates(info.ity, info.null_ity),
        "out_of_range": info.out_of_range > OUTSIDE,
        "constant": info.n_states == 1,
    }
    return tuple(flag for flag, is_raised in raised.items() if is_raised)


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

    That the layer is a function of ``inputs`` is taken for granted: from inputs that occur once
    each, nothing can be seen of H(T|X). I(X;T) is then H(T) even if the two have nothing to do with
    each other: an upper bound, and flagged ``upper_bound``.

    Parameters
    ----------
    activations : array (n_samples, n_units)
        Finite. float32 and float64 keep their precision.
    labels : array (n_samples,), optional
        Class ids.
    inputs : array (n_samples, ...), optional
        Inputs; they matter only where some occur more than once, and are flagged otherwise.
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

    Returns
    -------
    BinnedInformation

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
    info = partition_information(next(iter(partitions)), probe)
    unseen = inputs is not None and probe.inputs is None
    flags = (*binned_flags(info), *(("upper_bound",) if unseen else ()))
    return BinnedInformation(**vars(info), flags=flags)
