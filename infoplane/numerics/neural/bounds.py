"""Values of critics from their scores, with standard errors, in nats.

A row of scores belongs to a sample. Its columns are the samples it is held against, with the own
one on the diagonal; or all classes, with the logarithm of their shares as weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

_TINY = 1e-35  # what is added to sums, whose logarithm is taken
_CLIP = 5.0
_JACKKNIFED = 2048  # samples of which the error is taken, and scaled to all


@dataclass(frozen=True)
class Reading:
    """A value of a critic and its standard error, in nats."""

    value: float
    error: float


def infonce(scores: torch.Tensor) -> torch.Tensor:
    """Return the InfoNCE bound of matrices of scores (..., n, n).

    mean_i s_ii - log mean_j exp s_ij, and the same along columns; the mean of both, which is at
    most log n, and in expectation at most the information for any critic.

    References
    ----------
    van den Oord, Li, Vinyals: "Representation learning with contrastive predictive coding", 2018.
    """
    own = scores.diagonal(dim1=-2, dim2=-1)
    across = (scores.logsumexp(-1) + scores.logsumexp(-2)) / 2
    return (own - across).mean(-1) + math.log(scores.shape[-1])


def quick_infonce(scores: torch.Tensor) -> torch.Tensor:
    """Return `infonce` by one exponential of each score, for training.

    Rows all of whose scores are 80 below the largest of all count as if they had none.
    """
    highest = scores.detach().amax((-2, -1), keepdim=True)
    ratios = (scores - highest).exp()
    across = (ratios.sum(-1) + _TINY).log() + (ratios.sum(-2) + _TINY).log()
    own = scores.diagonal(dim1=-2, dim2=-1) - highest[..., 0]
    return (own - across / 2).mean(-1) + math.log(scores.shape[-1])


def read_pairs(scores: torch.Tensor) -> Reading:
    """Return `infonce` of one matrix (n, n) and its error, by leaving out each sample in turn.

    Exact in O(n^2): without sample k the sum of row i lacks exp s_ik.
    """
    value, n = float(infonce(scores)), len(scores)
    if n > _JACKKNIFED:
        scores = scores[:_JACKKNIFED, :_JACKKNIFED]
    m = len(scores)
    own = scores.diagonal().double()
    without = (own.sum() - own) / (m - 1)
    for lines in (scores, scores.T):
        sums = lines.logsumexp(1)
        # One column may be nearly all of a sum; then that much less is left of it.
        share = (lines - sums[:, None]).exp().clamp(max=1 - 1e-6).fill_diagonal_(0.0)
        left = (-share).log1p().double().sum(0)
        sums = sums.double()
        without = without - (sums.sum() - sums + left) / (2 * (m - 1))
    squares = (without - without.mean()).square().sum()
    return Reading(value, math.sqrt((m - 1) / m * float(squares) * m / n))


def js_bound(scores: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon objective of matrices of scores (..., n, n), best at log ratios."""
    from torch.nn.functional import softplus

    n = scores.shape[-1]
    own = scores.diagonal(dim1=-2, dim2=-1)
    others = (softplus(scores).sum((-2, -1)) - softplus(own).sum(-1)) / (n * (n - 1))
    return -softplus(-own).mean(-1) - others


def smile(scores: torch.Tensor) -> torch.Tensor:
    """Return the clipped estimate of matrices of scores (..., n, n), which is no bound.

    mean_i s_ii - log mean over i != j of exp s_ij, with s_ij clipped at 5 either side.

    References
    ----------
    Song, Ermon: "Understanding the limitations of variational mutual information estimators", 2020.
    """
    n = scores.shape[-1]
    own = scores.diagonal(dim1=-2, dim2=-1)
    ratios = scores.clamp(-_CLIP, _CLIP).exp()
    others = ratios.sum((-2, -1)) - ratios.diagonal(dim1=-2, dim2=-1).sum(-1)
    return own.mean(-1) - (others / (n * (n - 1))).log()


def read_smile(scores: torch.Tensor) -> Reading:
    """Return `smile` of one matrix (n, n), with the error of its first term."""
    own = scores.diagonal().double()
    return Reading(float(smile(scores)), float(own.std()) / math.sqrt(len(own)))


def class_terms(
    scores: torch.Tensor, classes: torch.Tensor, log_shares: torch.Tensor
) -> torch.Tensor:
    """Return what each sample (..., n) adds to H(Y) - cross-entropy, from scores (..., n, k)."""
    own = scores.gather(-1, classes[..., None])[..., 0]
    return own - (scores + log_shares).logsumexp(-1)


def read_classes(scores: torch.Tensor, classes: torch.Tensor, log_shares: torch.Tensor) -> Reading:
    """Return H(Y) - cross-entropy of scores (n, k) and its standard error.

    In expectation at most I(X;Y) on samples that the scores were not fitted to. Each class counts
    by its share of all samples, whatever its share of those that are read, so that the value is
    never above H(Y) by the draw of these.
    """
    terms = class_terms(scores, classes, log_shares).double()
    counts = classes.bincount(minlength=len(log_shares))
    weights = log_shares.double().exp() * (counts > 0)
    value = (terms * (weights / weights.sum() / counts.clamp(min=1))[classes]).sum()
    return Reading(float(value), float(terms.std()) / math.sqrt(len(terms)))


class Objective(Protocol):
    """What a critic is trained for and read by; scores are those of some rows of the sample."""

    def gain(self, scores: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return what steps make larger, one number for each critic."""
        ...

    def value(self, scores: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the value of each critic."""
        ...

    def read(self, scores: torch.Tensor, rows: torch.Tensor) -> Reading:
        """Return the value of one critic with its error."""
        ...


class Pairs:
    """InfoNCE of samples against the samples of their batch."""

    def gain(self, scores: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the bound itself."""
        return quick_infonce(scores)

    def value(self, scores: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the bound."""
        return infonce(scores)

    def read(self, scores: torch.Tensor, rows: torch.Tensor) -> Reading:
        """Return the bound."""
        return read_pairs(scores)


class Smile:
    """The clipped estimate, of a critic trained for the Jensen-Shannon objective."""

    def gain(self, scores: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the Jensen-Shannon objective."""
        return js_bound(scores)

    def value(self, scores: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the clipped estimate."""
        return smile(scores)

    def read(self, scores: torch.Tensor, rows: torch.Tensor) -> Reading:
        """Return the clipped estimate."""
        return read_smile(scores)


@dataclass(frozen=True, eq=False)
class Classes:
    """H(Y) - cross-entropy of classes.

    Parameters
    ----------
    ids : tensor (n_samples,)
        Class of each sample.
    log_shares : tensor (n_classes,)
        Logarithms of the shares of the classes.
    """

    ids: torch.Tensor
    log_shares: torch.Tensor

    def gain(self, scores: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the bound itself."""
        return class_terms(scores, self.ids[rows], self.log_shares).mean(-1)

    value = gain

    def read(self, scores: torch.Tensor, rows: torch.Tensor) -> Reading:
        """Return the bound."""
        return read_classes(scores, self.ids[rows], self.log_shares)
