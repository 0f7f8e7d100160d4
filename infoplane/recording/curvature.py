"""Curvature of the loss on the probe set: the Hessian's largest eigenvalue and trace, the Fisher.

All of it comes from products of the Hessian with vectors, each about four forward passes, and from
the gradients of single samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer

from infoplane.data import ProbeSet, plain
from infoplane.errors import DataError, InputError
from infoplane.recording import averages
from infoplane.recording.gradients import Loss
from infoplane.recording.manifest import number
from infoplane.recording.probes.batches import Batch, batch_of
from infoplane.text import one_line

Product: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

SAMPLES = 512
"""Samples of the probe set, or of its first split, by default."""

_FISHER_SAMPLES = 128
_ITERATIONS = 40
_VECTORS = 16
_TOLERANCE = 1e-3  # of the largest eigenvalue: residual at which the iteration ends
_MOST_KEPT = 1 << 26  # numbers of the vectors that are kept, so that they stay orthogonal
_ASYMMETRY = 0.02  # relative, of two products that are equal but for rounding
_TWICE = (
    "choose functions that can: plain attention (attn_implementation='eager'), no fused kernels"
)
_HALF = (torch.float16, torch.bfloat16)
_RECURRENT = nn.RNNBase


def curvature_of(
    model: nn.Module,
    probe: ProbeSet,
    loss: Loss,
    *,
    samples: int = SAMPLES,
    batch_size: int = 512,
    learning_rate: float | Optimizer | None = None,
) -> dict[str, Any]:
    """Return the curvature of a loss at the weights of a model, as plain values.

    Vectors and samples are drawn with a fixed seed, the same at every step. Gradients that the
    parameters hold are not touched. Half precision is computed in float32.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode.
    probe : ProbeSet
        Its labels, or targets, are given to the loss; None where it has none. Those of shape (n,)
        are given as (n, 1) to outputs (n, 1) where the loss would compare all with all otherwise.
    loss : callable (outputs, labels) -> scalar tensor
        The mean over the samples of a batch. One that is neither mean nor sum, as with weights of
        classes, depends on the batches: ``batch_loss`` in what is returned.
    samples : int, default 512
        At most so many samples are used.
    batch_size : int, default 512
        Samples of a batch.
    learning_rate : float or torch.optim.Optimizer, optional
        For the largest eigenvalue at which gradient descent is stable, see `stability_limit`.

    Raises
    ------
    InputError
        If a number is unfit.
    DataError
        If the loss is no scalar or a sum over the samples, the model or loss fails, or it cannot be
        differentiated twice.
    """
    if samples < 1:
        raise InputError(f"curvature_samples: expected at least 1, got {samples}")
    told = limit_of(learning_rate)
    with _differentiable(model):
        objective = _Objective.of(
            model, probe.take(averages.rows_of(probe.n_samples, samples)), loss
        )
        if not objective.parameters:
            return {"n_samples": objective.n, "n_parameters": 0}
        objective, average = objective.settled()
        batches = [
            slice(row, min(row + batch_size, objective.n))
            for row in range(0, objective.n, batch_size)
        ]
        generator = torch.Generator().manual_seed(0)

        def product(vector: torch.Tensor) -> torch.Tensor:
            return objective.product(vector, batches)

        size = sum(parameter.numel() for parameter in objective.parameters)
        top = largest_eigenvalue(product, size, generator, like=objective.parameters[0])
        trace = hutchinson(product, size, generator, like=objective.parameters[0])
        found = {
            "n_samples": objective.n,
            "n_parameters": size,
            "targets_as_column": objective.column,
            "batch_loss": average == "neither",
            "hessian_top": top.value,
            "hessian_top_error": top.residual,
            "iterations": top.iterations,
            "converged": top.converged,
            "hessian_trace": trace[0],
            "hessian_trace_error": trace[1],
            "vectors": _VECTORS,
            **told,
            "own_derivatives": objective.own_derivatives(),
            "fisher": objective.fisher(),
            "fisher_kind": "empirical",
            "fisher_samples": min(objective.n, _FISHER_SAMPLES),
        }
    kept: dict[str, Any] = plain(found)
    return kept


def limit_of(learning_rate: float | Optimizer | None) -> dict[str, Any]:
    """Return the learning rate, and the largest eigenvalue at which gradient descent is stable.

    2 / rate for plain gradient descent; with momentum b (2 + 2 b) / rate, by Nesterov over 1 + 2 b
    more; less the weight decay, which adds to the Hessian. Of other optimizers, or of several
    rates, there is none.

    References
    ----------
    Cohen et al.: "Gradient descent on neural networks typically occurs at the edge of stability",
    ICLR 2021.
    """
    if learning_rate is None:
        return {"learning_rate": None, "stability_limit": None, "optimizer": None}
    if not isinstance(learning_rate, Optimizer):
        rate = number(learning_rate, "learning_rate")
        if not 0 < rate < math.inf:
            raise InputError(f"learning_rate: expected a number above 0, got {rate}")
        return {"learning_rate": rate, "stability_limit": 2 / rate, "optimizer": None}
    groups = [
        (
            *(
                float(group.get(key, 0.0))
                for key in ("lr", "momentum", "dampening", "weight_decay")
            ),
            bool(group.get("nesterov")),
            bool(group.get("maximize")),
        )
        for group in learning_rate.param_groups
    ]
    rate, momentum, dampening, decay, nesterov, maximize = groups[0]
    plain_descent = (
        type(learning_rate) is torch.optim.SGD
        and len(set(groups)) == 1
        and rate > 0
        and not (dampening or maximize)
    )
    limit = (2 + 2 * momentum) / (rate * (1 + 2 * momentum * nesterov)) if plain_descent else None
    return {
        "learning_rate": rate if len({group[0] for group in groups}) == 1 else None,
        "stability_limit": None if limit is None else limit - decay,
        "optimizer": type(learning_rate).__name__,
    }


@dataclass(frozen=True)
class Eigenvalue:
    """The largest eigenvalue, within ``residual`` of one of the matrix; rounding is in it."""

    value: float
    residual: float
    iterations: int
    converged: bool


def largest_eigenvalue(
    product: Product,
    size: int,
    generator: torch.Generator,
    *,
    like: torch.Tensor,
    iterations: int = _ITERATIONS,
) -> Eigenvalue:
    """Return the largest eigenvalue of a symmetric matrix by the Lanczos iteration.

    Parameters
    ----------
    product : callable
        The matrix times a vector (size,).
    size : int
        Rows of the matrix.
    generator : torch.Generator
        Draws the first vector.
    like : torch.Tensor
        Device and dtype of vectors.
    iterations : int
        At most so many products; fewer where the residual is 0.1 % of the eigenvalue.

    References
    ----------
    Parlett: "The symmetric eigenvalue problem", 1980 (bound by the last entry).
    """
    vector = torch.randn(size, generator=generator).to(like.device, like.dtype)
    vector /= vector.norm()
    kept = [vector]
    diagonal: list[float] = []
    beside: list[float] = []
    for done in range(1, min(iterations, size) + 1):
        new = product(vector)
        diagonal.append(_dot(new, vector))
        if not math.isfinite(diagonal[-1]):
            return Eigenvalue(math.nan, math.nan, done, False)
        new = new - diagonal[-1] * vector
        if done > 1:
            if done == 2 and abs(_dot(new, kept[-2]) - beside[-1]) > _ASYMMETRY * beside[-1]:
                raise DataError(
                    "curvature: the second derivatives of the loss contradict each other: a part "
                    "of the model cannot be differentiated twice",
                    hint=_TWICE,
                )
            new -= beside[-1] * kept[-2]
        if size * done <= _MOST_KEPT:
            for earlier in kept:
                new -= _dot(new, earlier) * earlier
        else:
            kept = kept[-1:]
        length = float(new.double().norm())
        matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        values, vectors = np.linalg.eigh(matrix)
        value, residual = float(values[-1]), length * abs(float(vectors[-1, -1]))
        scale = float(np.abs(values).max())
        rounding = 100 * float(torch.finfo(like.dtype).eps) * scale
        residual = max(residual, rounding)
        converged = residual <= max(_TOLERANCE * abs(value), rounding)
        if converged and (done >= min(5, size) or length <= rounding):
            return Eigenvalue(value, residual, done, True)
        if length <= rounding:
            return Eigenvalue(value, residual, done, True)
        beside.append(length)
        vector = new / length
        kept.append(vector)
    return Eigenvalue(value, residual, done, bool(converged or done == size))


def hutchinson(
    product: Product,
    size: int,
    generator: torch.Generator,
    *,
    like: torch.Tensor,
    vectors: int = _VECTORS,
) -> tuple[float, float]:
    """Return the trace of a symmetric matrix and its standard error, by vectors of random signs.

    References
    ----------
    Hutchinson, Communications in Statistics 19, 1990.
    """
    found = []
    for _ in range(vectors):
        signs = 2.0 * torch.randint(0, 2, (size,), generator=generator) - 1.0
        vector = signs.to(like.device, like.dtype)
        found.append(_dot(product(vector), vector))
    values = np.array(found)
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(vectors))


def _dot(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one.double() @ other.double())


@dataclass(frozen=True)
class _Objective:
    """The loss as a function of the parameters that are trained."""

    model: nn.Module
    probe: ProbeSet
    loss: Loss
    names: Sequence[str]
    parameters: Sequence[torch.Tensor]
    others: Mapping[str, torch.Tensor] | None  # in float32, of a model in half precision
    column: bool = False  # targets (n,) are given as (n, 1) to outputs of that shape

    @classmethod
    def of(cls, model: nn.Module, probe: ProbeSet, loss: Loss) -> _Objective:
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not any(parameter.dtype in _HALF for parameter in model.parameters()):
            return cls(model, probe, loss, list(trained), list(trained.values()), None)
        wide = {name: p.detach().float().requires_grad_() for name, p in trained.items()}
        rest = {
            name: one.detach().float() if one.is_floating_point() else one.detach()
            for name, one in (*model.named_parameters(), *model.named_buffers())
            if name not in trained
        }
        return cls(model, probe, loss, list(wide), list(wide.values()), rest)

    @property
    def n(self) -> int:
        return self.probe.n_samples

    def value(self, rows: slice) -> torch.Tensor:
        """Return the loss of some samples."""
        batch = batch_of(self.probe, rows, self.model)
        labels = self.probe.labels if self.probe.labels is not None else self.probe.targets
        device = self.parameters[0].device
        given = None if labels is None else torch.from_numpy(np.array(labels[rows])).to(device)
        if self.others is None:
            outputs = batch.through(self.model)
        else:
            wide = _widened(batch)
            weights = {**self.others, **dict(zip(self.names, self.parameters, strict=True))}
            outputs = functional_call(self.model, weights, wide.positional, dict(wide.named))
        if self.column and given is not None:
            given = averages.as_column(given, outputs)
        found = self.loss(outputs, given)  # type: ignore[arg-type]  # a loss may need no labels
        return averages.scalar(found)

    def settled(self) -> tuple[_Objective, averages.Average]:
        """Return the loss with its targets in the shape that it takes, and what it is of samples.

        Raises
        ------
        DataError
            If it is a sum over the samples.
        """
        few = self.probe.take(averages.rows_of(self.n))

        def value_of(column: bool) -> averages.Value:
            tried = replace(self, probe=few, column=column)

            def value(rows: slice) -> torch.Tensor:
                with _told("curvature"), torch.enable_grad():
                    return tried.value(rows)

            return value

        column, average = averages.chosen(value_of, few.n_samples)
        if average == "sum":
            raise DataError(
                "curvature: expected a loss that is the mean over the samples of a batch, got one "
                "that grows with their number",
                hint="choose the mean: reduction='mean'",
            )
        return replace(self, column=column), average

    def product(self, vector: torch.Tensor, batches: Sequence[slice]) -> torch.Tensor:
        """Return the Hessian of the mean loss times a vector."""
        parts = torch.split(vector, [parameter.numel() for parameter in self.parameters])
        shaped = [v.view_as(p) for v, p in zip(parts, self.parameters, strict=True)]
        whole = torch.zeros_like(vector)
        for rows in batches:
            share = (rows.stop - rows.start) / self.n
            with _told("curvature"), torch.enable_grad():
                value = self.value(rows)
                first = torch.autograd.grad(
                    value, self.parameters, create_graph=True, allow_unused=True
                )
                if not bool(value.isfinite()):
                    return torch.full_like(vector, math.nan)
                along = [(g * v).sum() for g, v in zip(first, shaped, strict=True) if g is not None]
                inner = torch.stack([one.to(vector.device) for one in along]).sum()
                if not inner.requires_grad:  # linear in all parameters
                    continue
                second = torch.autograd.grad(inner, self.parameters, allow_unused=True)
            flat = [
                (torch.zeros_like(p) if g is None else g).detach().reshape(-1).to(vector)
                for g, p in zip(second, self.parameters, strict=True)
            ]
            whole += share * torch.cat(flat)
        return whole

    def own_derivatives(self) -> list[str]:
        """Return the functions of the graph that have a derivative of their own in Python.

        Nothing tells whether that can be differentiated in turn.
        """
        with _told("curvature"), torch.enable_grad():
            last: Any = self.value(slice(0, 1)).grad_fn
        seen, waiting = {last}, [last]
        found: set[str] = set()
        while waiting:
            node = waiting.pop()
            if isinstance(node, torch.autograd.function.BackwardCFunction):
                found.add(type(node).__name__.removesuffix("Backward"))
            before = {one for one, _ in node.next_functions if one is not None} - seen
            seen |= before
            waiting += before
        return sorted(found)

    def fisher(self) -> dict[str, dict[str, float | int]]:
        """Return the trace of the empirical Fisher information by module.

        That is the mean square of the gradient of single samples, with its standard error.
        """
        squares: dict[str, list[float]] = {}
        numbers: dict[str, int] = {}
        owners = [name.rpartition(".")[0] for name in self.names]
        for owner, parameter in zip(owners, self.parameters, strict=True):
            numbers[owner] = numbers.get(owner, 0) + parameter.numel()
        for row in averages.rows_of(self.n, _FISHER_SAMPLES):
            with _told("curvature"), torch.enable_grad():
                value = self.value(slice(int(row), int(row) + 1))
                found = torch.autograd.grad(value, self.parameters, allow_unused=True)
            sums = dict.fromkeys(owners, 0.0)
            if not bool(value.isfinite()):
                sums = dict.fromkeys(owners, math.nan)
            for owner, gradient in zip(owners, found, strict=True):
                if gradient is not None:
                    sums[owner] += float(gradient.detach().double().square().sum())
            for owner, total in sums.items():
                squares.setdefault(owner, []).append(total)
        return {
            owner: {
                "trace": float(np.mean(kept)),
                "error": float(np.std(kept, ddof=1) / math.sqrt(len(kept)))
                if len(kept) > 1
                else math.nan,
                "n_parameters": numbers[owner],
            }
            for owner, kept in squares.items()
        }


def _widened(batch: Batch) -> Batch:
    """Return a batch whose floats are float32."""

    def wide(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.float() if tensor.is_floating_point() else tensor

    return Batch(
        tuple(map(wide, batch.positional)), {name: wide(one) for name, one in batch.named.items()}
    )


@contextmanager
def _differentiable(model: nn.Module) -> Iterator[None]:
    """Have the block compute by what can be differentiated twice; all is as before afterwards.

    Attention by the plain kernel, recurrent layers without cuDNN, embeddings with dense gradients.
    """
    modules = list(model.modules())
    tables = [one for one in modules if isinstance(one, (nn.Embedding, nn.EmbeddingBag))]
    sparse = [one for one in tables if one.sparse]
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(one, _RECURRENT) for one in modules):
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        for one in sparse:
            one.sparse = False
            stack.callback(setattr, one, "sparse", True)
        yield


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say in a line what fails in the user's code or in its derivatives."""
    try:
        yield
    except Exception as error:  # user code may raise anything
        told = one_line(error)
        twice = "not implemented" in told or "double" in told or "twice" in told
        raise DataError(
            f"{what}: the loss failed: {type(error).__name__}: {told}",
            hint=_TWICE
            if twice
            else "the loss is called with the model's outputs and the labels of a batch",
        ) from error
