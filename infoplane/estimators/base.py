"""The contract of an estimator.

An estimator is a frozen dataclass whose fields are its parameters. Work that all cells share is
done once and handed in:

1. ``prepare_group``: once per group of runs (e.g. one scale for all seeds), where it is overridden;
2. ``prepare_run``: once per run (e.g. clusters of the inputs, one noise level for all layers);
3. ``prepare_layer``: once per layer of the run (e.g. a basis fitted on pooled checkpoints);
4. ``estimate``: once per cell, i.e. checkpoint and layer.

An estimator of another ``subject`` has cells of weights, pairs of layers or runs at a checkpoint;
nothing is prepared for a layer then, but ``prepare_pair`` is told which layers a pair is of. One
that ``reads`` what was recorded with the step is given that in place of arrays.

Prepared values must pickle: they travel to worker processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np

from infoplane.data import SUBJECTS, Array, RunData, Slot, SubjectKind
from infoplane.errors import EstimationError, InputError
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.flags import Flag
from infoplane.estimators.flags import declared as declared_flag
from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.quantities import Quantity, declared
from infoplane.step_record import StepRecord
from infoplane.text import one_line


class Consecutive(NamedTuple):
    """A layer at a step and at the recorded step before it, None where there is none."""

    now: Array
    before: Array | None = None  # None as well if it holds NaN or inf
    step_before: int | None = None


Reads: TypeAlias = Literal["arrays", "passes", "consecutive", "weight", "step"]


class Cost(NamedTuple):
    """What a cell needs."""

    seconds: float  # CPU time
    bytes: int  # working memory, beyond the interpreter and its libraries
    torch: bool = False  # loads torch
    limit: float | None = None  # CPU seconds after which the cell is given up, as a timeout


_READ: dict[str, tuple[str, ...]] = {
    "arrays": tuple(SUBJECTS),
    "passes": ("layer",),
    "consecutive": ("layer",),
    "weight": ("weights",),
    "step": ("run", "layer"),
}
"""What an estimator may read, with the subjects that it may have then."""


@dataclass(frozen=True)
class Estimator(ABC):
    """Base of the estimators; a sub-class adds its parameters as fields.

    Class attributes
    ----------------
    name : str
        How it is called on the command line.
    title : str
        How figures and tables call it, e.g. "adaptive binning".
    version : str
        Changes whenever a number may change; part of the cache key.
    quantities : tuple of Quantity
        What ``estimate`` may return. The name of a registered quantity stands for it.
    flags : tuple of Flag
        Flags of its own, beyond those of the register.
    subject : str
        What each number is about: a ``layer``, ``weights`` (each recorded weight), ``attention``
        (the entropies (n_samples, n_heads, 2) of each module that attends), a ``pair`` of layers at
        one step, or the ``run`` at one step.
    reads : str
        What ``estimate`` is given. ``arrays``: the recorded arrays of its subject. ``passes``: all
        passes of a layer (n_samples, n_passes, n_units), before its own noise where that is told
        apart. ``consecutive``: the `Consecutive` of a layer, at this step and the one before.
        ``weight``: the `RecordedWeight`, be it whole or summed up (its subject is ``weights``).
        ``step``: the `StepRecord` of metrics, gradients, curvature and the loss log up to it (its
        subject is the ``run``, or the ``layer`` that ``prepare_layer`` is given).
    shannon : bool
        Whether ``ixt`` and ``ity`` are Shannon information; if not, ``infoplane validate`` asks
        only for what is known of the estimator's own measure.
    lower_bound : bool
        Whether values are lower bounds of a quantity, which may lie far below it: a deeper layer
        may then have a higher one, and other estimates may not lie below.
    accelerated : bool
        Whether cells can be computed on a GPU.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Dimensions(Estimator):
    ...     name: ClassVar[str] = "dimensions"
    ...     title: ClassVar[str] = "participation ratio"
    ...     quantities = (Quantity(name="dimensions", symbol="PR", unit="dimensions"),)
    ...
    ...     def estimate(self, prepared, activations, rng):
    ...         variances = np.linalg.eigvalsh(np.cov(activations, rowvar=False))
    ...         return {"dimensions": Estimate(float(variances.sum() ** 2 / (variances**2).sum()))}
    >>> rng = np.random.default_rng(0)
    >>> found = Dimensions().estimate(None, rng.normal(size=(5000, 3)), rng)
    >>> round(found["dimensions"].bits, 1)
    3.0
    """

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[str] = "1"
    quantities: ClassVar[tuple[Quantity, ...]]
    flags: ClassVar[tuple[Flag, ...]] = ()
    subject: ClassVar[SubjectKind] = "layer"
    reads: ClassVar[Reads] = "arrays"
    shannon: ClassVar[bool] = True
    lower_bound: ClassVar[bool] = False
    accelerated: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        """Check the declarations of a sub-class, and look registered quantities up.

        Raises
        ------
        InputError
            If a quantity or flag is declared that is none, or that contradicts the register; or a
            subject that there is not.
        """
        super().__init_subclass__()
        if cls.subject not in SUBJECTS:
            known = ", ".join(SUBJECTS)
            raise InputError(f"{cls.__name__}: expected a subject of {known}, got {cls.subject!r}")
        if cls.subject not in _READ.get(cls.reads, ()):
            known = "; ".join(f"{reads} of {', '.join(of)}" for reads, of in _READ.items())
            raise InputError(
                f"{cls.__name__}: expected reads and subject of {known}; got {cls.reads!r} of "
                f"{cls.subject!r}"
            )
        if "quantities" in vars(cls):
            found = vars(cls)["quantities"]
            if not isinstance(found, (tuple, list)) or not found:
                raise InputError(f"expected a tuple of quantities, got {found!r:.80}")
            cls.quantities = tuple(map(declared, found))
        cls.flags = tuple(map(declared_flag, cls.flags))

    def _expect(self, holds: bool, what: str, found: object) -> None:
        """Refuse a parameter for which what is expected does not hold.

        Raises
        ------
        InputError
            IP104, if it does not.
        """
        if not holds:
            raise InputError(f"{self.name}: expected {what}, got {found}", code="IP104")

    @property
    def reads_inputs(self) -> bool:
        """Whether I(X;T) is measured between inputs and activations.

        If not, the layer is taken for a function of the input, but for noise that it declares.
        """
        return False

    @property
    def counts_noise(self) -> bool:
        """Whether it takes what is random in one pass of a layer for information of the input.

        Of a random layer I(X;T) is then flagged ``upper_bound``.
        """
        return self.reads != "passes" and not self.lower_bound

    def parameters(self) -> dict[str, Any]:
        """Return the parameters as they are written to the results."""
        return asdict(self)

    def seeded(self, seed: int) -> Estimator:
        """Return the estimator as an analysis of this seed uses it.

        A parameter ``seed`` of None, for draws that are the same in all cells, becomes that of the
        analysis; other draws are made with the ``rng`` of each method, which derives from it.
        """
        if getattr(self, "seed", seed) is not None:
            return self
        return replace(self, seed=seed)  # type: ignore[call-arg]  # a field of the sub-class

    @property
    def pools(self) -> Literal["nothing", "layer", "run", "group"]:
        """Which recorded activations the prepared state is made of; part of the cache key.

        ``nothing`` but the probe set and the description of the layer, all steps of the ``layer``,
        anything of the ``run``, or of all runs of its ``group``. An estimator that prepares nothing
        pools nothing; for others the safe answer is what they prepare for, unless they know better.
        """
        cls = type(self)
        if cls.prepare_group is not Estimator.prepare_group:
            return "group"
        names = ("prepare_member", "prepare_run", "prepare_layer")
        own = any(getattr(cls, name) is not getattr(Estimator, name) for name in names)
        return "run" if own else "nothing"

    def samples_used(self, n_samples: int) -> int:
        """Return how many of the samples a cell uses: at most ``max_samples``, if there is one."""
        most = getattr(self, "max_samples", None)
        return n_samples if most is None else min(n_samples, most)

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return roughly what a cell costs on one core.

        ``n_units`` are those of all arrays that the cell is about.

        The order of work, the plan of a dry run and ``--max-memory`` rest on it; a dry run scales
        the seconds to those of earlier cells on the same machine.
        """
        return Cost(1e-3 + 2e-8 * n_samples * n_units, 16 * n_samples * n_units)

    def layers_of(self, run: RunData, layers: Sequence[Slot]) -> Sequence[Slot]:
        """Return the layers of a run that it measures, of those that were chosen; by default all.

        Raises
        ------
        NotFoundError
            If there is none of its kind.
        """
        return layers

    def prepare_group(self, runs: Sequence[RunData], rng: np.random.Generator) -> Any:
        """Return what all runs of a group share; nothing unless overridden.

        Parameters
        ----------
        runs : sequence of RunData
            The analyzed runs of the group that are finite at some step, by name; the run alone if
            it has no group.
        rng : numpy.random.Generator
            Stream of this group alone.
        """
        return None

    def prepare_member(self, shared: Any, run: RunData, rng: np.random.Generator) -> Any:
        """Return what all cells of a run of a group share; ``prepare_run`` unless overridden.

        ``shared`` is what ``prepare_group`` returned.
        """
        return self.prepare_run(run, rng)

    def needs(self, n_samples: int, n_units: int) -> Cost:
        """Return `cost`, if it is one.

        Raises
        ------
        InputError
            IP112 if a plug-in's ``cost`` fails, or returns anything else.
        """
        where = f"estimator {self.name}: cost({n_samples}, {n_units})"
        try:
            found: object = self.cost(n_samples, n_units)
        except Exception as error:
            told = f"{where} failed: {type(error).__name__}: {one_line(error)}"
            raise InputError(told, code="IP112") from error
        if not isinstance(found, Cost):
            raise InputError(f"{where}: expected a Cost, got {found!r:.60}", code="IP112")
        return found

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> Any:
        """Return what all cells of a run share; the labels unless overridden, or of a step none."""
        return None if self.reads == "step" else run.probe.labels

    def artifacts(self, shared: Any) -> dict[str, dict[str, Any]]:
        """Return what of the shared state the results keep, by content hash; nothing by default.

        Values are mappings of lists and plain values, e.g. the clusters of the inputs. What
        ``prepare_group`` returned can be kept here too, for analyses that repeat its settings: rows
        refer to it by ``shared_sha256`` of their diagnostics, and `restored` reads it.
        """
        return {}

    def restored(self, kept: Mapping[str, Any]) -> Any:
        """Return what ``prepare_group`` returned, from the artifact that was kept of it.

        Raises
        ------
        InputError
            If it is not what is kept here.
        """
        raise InputError(f"{self.name}: keeps nothing of what the runs of a group share")

    def prepare_layer(
        self, shared: Any, run: RunData, layer: Slot, rng: np.random.Generator
    ) -> Any:
        """Return what all checkpoints of a layer share; ``shared`` unless overridden."""
        return shared

    def absent(self, record: StepRecord) -> str:
        """Return what a run lacks that this estimator reads of a step, "" if nothing.

        ``record`` is that of the last step.
        """
        return ""

    def beside(self, layer: Slot, weights: Sequence[Slot]) -> tuple[Slot, ...]:
        """Return those of the recorded weights that a cell of a layer is given as well."""
        return ()

    def prepare_pair(self, shared: Any, layers: tuple[Slot, ...]) -> Any:
        """Return what a cell of a pair of layers is given; ``shared`` unless overridden.

        It is asked in the cell, at every step.
        """
        return shared

    def left_out(self, quantity: str) -> str:
        """Return for which layers there is no row of a quantity at all, "" if for none."""
        return ""

    def failed(self, reason: str, *flags: str) -> dict[str, Estimate]:
        """Return what stands in for the estimates of a cell: no number, and the reason."""
        empty = Estimate(None, flags=("failed", *flags), diagnostics={"reason": reason})
        return {quantity.name: empty for quantity in self.quantities}

    @abstractmethod
    def estimate(
        self, prepared: Any, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return the estimates of one cell.

        Parameters
        ----------
        prepared : object
            What ``prepare_layer`` returned; ``prepare_run``, where the subject is no layer.
        activations : array (n_samples, n_units)
            Finite, in the stored dtype, read-only. Of a ``pair`` a tuple of two such arrays, of a
            ``run`` a dict of them by layer, of ``weights`` one weight in its own shape; of a layer
            with arrays `beside` it a tuple of all. A `StepRecord` or `RecordedWeight`, where the
            estimator reads that.
        rng : numpy.random.Generator
            Stream of this cell alone.

        Returns
        -------
        mapping of str to Estimate
            By quantity. A sweep over a parameter returns one entry per value, the key followed by
            ``@parameter=value`` (``ixt@bins=15``); each value becomes an estimator of its own in
            the results.

        Raises
        ------
        EstimationError
            If the quantity is undefined for this data. The cell is marked failed, the run goes on.
        """


def check_estimates(estimator: Estimator, found: object) -> Mapping[str, Estimate]:
    """Return what an estimator returned, if it is what it declares.

    Raises
    ------
    EstimationError
        If it is no mapping of declared quantities to estimates.
    """
    if not isinstance(found, Mapping):
        raise EstimationError(
            f"{estimator.name} returned {type(found).__name__}, expected estimates by quantity"
        )
    names = [quantity.name for quantity in estimator.quantities]
    for key, estimate in found.items():
        if MeasureId.read(str(key)).name not in names:
            raise EstimationError(
                f"{estimator.name} returned {key!r}, which it does not declare; "
                f"it declares {', '.join(names)}"
            )
        if not isinstance(estimate, Estimate):
            raise EstimationError(
                f"{estimator.name} returned {type(estimate).__name__} for {key}, "
                "expected an Estimate"
            )
        for what in ("bits", "low", "high", "bound_low", "bound_high"):
            if not _is_number(number := getattr(estimate, what)):
                raise EstimationError(
                    f"{estimator.name} returned {type(number).__name__} as {what} of {key}, "
                    "expected a number or None"
                )
        flags: object = estimate.flags
        if isinstance(flags, str):
            raise EstimationError(
                f"{estimator.name} returned {flags!r} as flags of {key}, expected a tuple"
            )
    return found


def _is_number(found: Any) -> bool:
    """Tell whether something is None or a number, be it of numpy or torch."""
    if found is None:
        return True
    try:
        float(found)
    except (TypeError, ValueError):
        return False
    return not isinstance(found, (str, bytes))
