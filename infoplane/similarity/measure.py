"""The contract of a measure of a pair, and the measures.

``view`` is made once of each cell, ``compare`` once for each pair: m cells cost m views. A view
must need no more than itself; what it takes in memory, ``view_bytes`` says before it is made.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.calls import one_of
from infoplane.calls import whole as whole_number
from infoplane.data import Array, FloatArray, IntArray, checked_activations
from infoplane.errors import EstimationError
from infoplane.numerics.similarity import alignment, correlations, distances, neighborhoods, shape
from infoplane.numerics.similarity.samples import Compared, centred, share


@dataclass(frozen=True)
class PairMeasure(ABC):
    """Base of the measures of a pair; a sub-class adds its parameters as fields.

    Class attributes
    ----------------
    name, title, symbol : str
        On the command line, in tables, on axes.
    unit : str
        Of the value: ``ratio``, or ``radians``.
    family : str
        Measures that see the same; a verdict needs two families.
    identical : float
        The value of a cell with itself.
    version : str
        Changes whenever a number may change; part of the cache key.
    most_samples : int or None
        Samples beyond these are not used: the view is a matrix over pairs of samples.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    symbol: ClassVar[str]
    family: ClassVar[str]
    unit: ClassVar[str] = "ratio"
    identical: ClassVar[float] = 1.0
    version: ClassVar[str] = "1"
    most_samples: ClassVar[int | None] = None

    @property
    def id(self) -> str:
        """Name, and the parameters not at their default."""
        changed = [f for f in fields(self) if getattr(self, f.name) != f.default]
        written = ",".join(f"{f.name}={getattr(self, f.name)}" for f in changed)
        return f"{self.name}:{written}" if written else self.name

    @abstractmethod
    def view(self, activations: Array, bounds: IntArray) -> Any:
        """Return what is kept of activations (n_samples, n_units), in the order of their groups.

        Raises
        ------
        InfoplaneError
            If the measure is undefined for them; the reason is told with every pair.
        """

    @abstractmethod
    def compare(self, x: Any, y: Any, rng: np.random.Generator) -> Compared:
        """Return the value of two views of the same samples; which is first does not matter."""

    def view_bytes(self, n: int, d: int) -> int:
        """Return how large a view is."""
        return 8 * n * min(n, d)

    def seconds(self, n: int, d: int) -> tuple[float, float]:
        """Return about how long a view and a comparison take, in CPU seconds."""
        return 5e-10 * n * d * min(n, d), 5e-10 * n * d * d

    def few(self, n: int, d_x: int, d_y: int) -> bool:
        """Tell whether a value of so many samples and units says little."""
        return n < 20


@dataclass(frozen=True)
class _Kernel(PairMeasure):
    """Centred kernel alignment."""

    symbol: ClassVar[str] = "CKA"
    family: ClassVar[str] = "alignment"
    debiased: ClassVar[bool] = True

    def view(self, activations: Array, bounds: IntArray) -> alignment.KernelView:
        """Return what is kept of a cell."""
        return alignment.linear_view(_centred(activations), bounds, debiased=self.debiased)

    def compare(
        self, x: alignment.KernelView, y: alignment.KernelView, rng: np.random.Generator
    ) -> Compared:
        """Return the value of two views."""
        return alignment.compared(x, y)

    def view_bytes(self, n: int, d: int) -> int:
        """Return how large a view is."""
        return int(8 * n * (0.55 * n if alignment.as_matrix(n, d) else d))

    def seconds(self, n: int, d: int) -> tuple[float, float]:
        """Return seconds of a view and of a comparison."""
        if alignment.as_matrix(n, d):
            return 5e-11 * n * n * d + 5e-9 * n * n, 1e-3 + 6e-10 * n * n
        return 1e-10 * n * d * d + 5e-8 * n * d, 2e-3 + 7e-11 * n * d * d


@dataclass(frozen=True)
class Cka(_Kernel):
    """Debiased linear CKA."""

    name: ClassVar[str] = "cka"
    title: ClassVar[str] = "CKA"


@dataclass(frozen=True)
class BiasedCka(_Kernel):
    """Linear CKA as it was first published: near 1 for independent data of many units."""

    name: ClassVar[str] = "cka_biased"
    title: ClassVar[str] = "CKA, biased"
    symbol: ClassVar[str] = "biased CKA"
    debiased: ClassVar[bool] = False


@dataclass(frozen=True)
class CkaWithoutTop(_Kernel):
    """Debiased linear CKA after the top principal component of each side is removed."""

    version: ClassVar[str] = "2"  # 1 left out any of several components of the same variance
    name: ClassVar[str] = "cka_without_top"
    title: ClassVar[str] = "CKA without the top component"
    symbol: ClassVar[str] = "CKA of the rest"

    def view(self, activations: Array, bounds: IntArray) -> alignment.KernelView:
        """Return what is kept of a cell."""
        rest = alignment.without_top_component(_centred(activations))
        return alignment.linear_view(rest, bounds, debiased=True)

    def seconds(self, n: int, d: int) -> tuple[float, float]:
        """Return seconds of a view and of a comparison."""
        view, comparison = super().seconds(n, d)
        return view + 1.2e-10 * min(n, d) ** 3, comparison


@dataclass(frozen=True)
class GaussianCka(_Kernel):
    """Debiased CKA with a Gaussian kernel of ``width`` roots of the median squared distance."""

    width: float = 1.0
    version: ClassVar[str] = "2"  # 1 lost the digits of wide kernels
    name: ClassVar[str] = "cka_rbf"
    title: ClassVar[str] = "CKA, Gaussian kernel"
    symbol: ClassVar[str] = "RBF-CKA"
    most_samples: ClassVar[int | None] = 2000

    def __post_init__(self) -> None:
        alignment.checked_width(self.width)

    def view(self, activations: Array, bounds: IntArray) -> alignment.KernelView:
        """Return what is kept of a cell."""
        width = self.width
        return alignment.gaussian_view(_centred(activations), bounds, width=width, debiased=True)

    def view_bytes(self, n: int, d: int) -> int:
        """Return how large a view is."""
        return 5 * n * n

    def seconds(self, n: int, d: int) -> tuple[float, float]:
        """Return seconds of a view and of a comparison."""
        return 6e-10 * n * n * d + 4e-8 * n * n, 1e-3 + 6e-10 * n * n


@dataclass(frozen=True)
class Procrustes(PairMeasure):
    """Angle between two layers after the best rotation."""

    name: ClassVar[str] = "procrustes"
    title: ClassVar[str] = "Procrustes distance"
    symbol: ClassVar[str] = "Procrustes angle"
    family: ClassVar[str] = "shape"
    unit: ClassVar[str] = "radians"
    identical: ClassVar[float] = 0.0
    version: ClassVar[str] = "2"  # 1 drew all of its null

    def view(self, activations: Array, bounds: IntArray) -> shape.ShapeView:
        """Return what is kept of a cell."""
        return shape.shape_view(_centred(activations), bounds)

    def compare(self, x: shape.ShapeView, y: shape.ShapeView, rng: np.random.Generator) -> Compared:
        """Return the value of two views."""
        return shape.compared(x, y, rng)

    def seconds(self, n: int, d: int) -> tuple[float, float]:
        """Return seconds of a view and of a comparison."""
        side = min(n, d)
        cube, squares = side**3, n * side * side
        view = 2.5e-10 * cube + 6e-11 * squares
        return view, 5e-3 + 4e-6 * n + 2.2e-10 * cube + 4e-11 * squares


@dataclass(frozen=True)
class MutualNeighbors(PairMeasure):
    """Share of each sample's ``k`` nearest neighbours that both layers agree on."""

    k: int = 10
    version: ClassVar[str] = "2"  # 1 took tied samples by their order
    name: ClassVar[str] = "mutual_neighbors"
    title: ClassVar[str] = "mutual neighbours"
    symbol: ClassVar[str] = "shared neighbours"
    family: ClassVar[str] = "neighbours"
    most_samples: ClassVar[int | None] = 2000

    def __post_init__(self) -> None:
        whole_number(self.k, "k", 1)

    def view(self, activations: Array, bounds: IntArray) -> neighborhoods.NeighborView:
        """Return what is kept of a cell."""
        if len(activations) <= self.k:
            raise EstimationError(
                f"expected more than {self.k} samples for {self.k} neighbours, "
                f"got {len(activations)}"
            )
        return neighborhoods.neighbor_view(_centred(activations), bounds, self.k)

    def compare(
        self, x: neighborhoods.NeighborView, y: neighborhoods.NeighborView,
        rng: np.random.Generator,
    ) -> Compared:  # fmt: skip
        """Return the value of two views."""
        return neighborhoods.compared(x, y)

    def view_bytes(self, n: int, d: int) -> int:
        """Return how large a view is."""
        return 24 * n * self.k

    def seconds(self, n: int, d: int) -> tuple[float, float]:
        """Return seconds of a view and of a comparison."""
        return 4e-10 * n * n * (d + 20), 5e-4 + 2.5e-8 * n * self.k

    def few(self, n: int, d_x: int, d_y: int) -> bool:
        """Tell whether a value of so few samples says little."""
        return n < 4 * self.k


@dataclass(frozen=True)
class Rsa(PairMeasure):
    """Rank correlation of the distances between samples."""

    metric: distances.Metric = "sqeuclidean"
    correlation: Literal["spearman", "pearson"] = "spearman"
    version: ClassVar[str] = "2"  # 1 had no angles of very small and large numbers
    name: ClassVar[str] = "rsa"
    title: ClassVar[str] = "RSA"
    symbol: ClassVar[str] = "RSA"
    family: ClassVar[str] = "distances"
    most_samples: ClassVar[int | None] = 1000

    def __post_init__(self) -> None:
        one_of(self.metric, "metric", *distances.METRICS)
        one_of(self.correlation, "correlation", "spearman", "pearson")

    def view(self, activations: Array, bounds: IntArray) -> distances.DistanceView:
        """Return what is kept of a cell."""
        values = _centred(activations)
        if self.metric in ("cosine", "correlation"):  # at the origin, not at the mean
            values = np.asarray(activations, dtype=np.float64)
        ranks = self.correlation == "spearman"
        return distances.distance_view(values, bounds, metric=self.metric, ranks=ranks)

    def compare(
        self, x: distances.DistanceView, y: distances.DistanceView, rng: np.random.Generator
    ) -> Compared:
        """Return the value of two views."""
        return distances.compared(x, y)

    def view_bytes(self, n: int, d: int) -> int:
        """Return how large a view is."""
        return 5 * n * n

    def seconds(self, n: int, d: int) -> tuple[float, float]:
        """Return seconds of a view and of a comparison."""
        return 5e-11 * n * n * d + 1.2e-7 * n * n, 5e-4 + 7e-10 * n * n


@dataclass(frozen=True)
class _Correlation(PairMeasure):
    """Canonical correlations."""

    family: ClassVar[str] = "correlations"

    def compare(
        self, x: correlations.CorrelationView, y: correlations.CorrelationView,
        rng: np.random.Generator,
    ) -> Compared:  # fmt: skip
        """Return the value of two views."""
        return correlations.compared(x, y, rng)

    def seconds(self, n: int, d: int) -> tuple[float, float]:
        """Return seconds of a view and of a comparison."""
        side = min(n, d)
        return 4e-9 * n * d * side, 18 * 4e-9 * n * side * side

    def few(self, n: int, d_x: int, d_y: int) -> bool:
        """Tell whether a value of so few samples says little."""
        return n < 5 * (d_x + d_y)


@dataclass(frozen=True)
class Svcca(_Correlation):
    """Mean canonical correlation of the components that hold a share of the variance."""

    variance: float = 0.99
    name: ClassVar[str] = "svcca"
    title: ClassVar[str] = "SVCCA"
    symbol: ClassVar[str] = "SVCCA"

    def __post_init__(self) -> None:
        share(self.variance, "variance")

    def view(self, activations: Array, bounds: IntArray) -> correlations.CorrelationView:
        """Return what is kept of a cell."""
        return correlations.correlation_view(
            _centred(activations), bounds, variance=self.variance, kind="svcca"
        )


@dataclass(frozen=True)
class Pwcca(_Correlation):
    """Canonical correlations weighted by what they explain of each side."""

    name: ClassVar[str] = "pwcca"
    title: ClassVar[str] = "PWCCA"
    symbol: ClassVar[str] = "PWCCA"

    def view(self, activations: Array, bounds: IntArray) -> correlations.CorrelationView:
        """Return what is kept of a cell."""
        return correlations.correlation_view(
            _centred(activations), bounds, variance=1.0, kind="pwcca"
        )


def as_similarity(value: float, unit: str) -> float:
    """Return a value as a similarity that is 1 for identical layers: of an angle its cosine."""
    return math.cos(value) if unit == "radians" else value


def _centred(activations: Array) -> FloatArray:
    return centred(checked_activations(activations))
