"""The targets of a refinement: the outputs of the dense network, labels, or both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

from fastbcd.solvers.reconstruct.settings import DEFAULTS as RECONSTRUCT
from fastbcd.solvers.refine.settings import DEFAULTS, RefineSettings
from fastbcd.utils.types import Float

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Targets:
    """Targets of the outputs.

    Parameters
    ----------
    dense : (n, k) array
        Outputs of the dense network.
    labels : (n, k) array or None
        Indicators of classes or labels, or target values, if there are any.
    classify : bool
        Whether the loss is the cross-entropy; otherwise it is the squared error.
    temperature : float
        Divides the outputs before the softmax of the dense network; flatter probabilities say more
        about the other classes.
    trust : float, optional
        alpha, the share of the dense network if there are labels; by default as in
        :attr:`alpha`.
    smoothing : float, optional
        Share of every label that is spread evenly over the classes of a classification (Szegedy
        et al., arXiv:1512.00567, section 7); by default as in :attr:`spread`.
    several : bool
        Whether a row may have several labels, or none. The cross-entropy is then the sum over the
        sigmoids of all outputs, rather than that of a softmax.
    settings : RefineSettings
        Numbers of the method.
    """

    dense: Float
    labels: Float | None
    classify: bool
    temperature: float = RECONSTRUCT.temperature
    trust: float | None = None
    smoothing: float | None = None
    several: bool = False
    settings: RefineSettings = DEFAULTS

    @cached_property
    def alpha(self) -> float:
        """Share of the dense network.

        In a classification the weight of the labels grows with the number of rows. The dense
        network knows more than the labels of few rows. If it was trained on these many rows, it
        adds little to their labels except its overfitting.
        """
        if self.labels is None:
            return 1.0
        if self.trust is not None:
            return self.trust
        if not self.classify:
            return self.settings.trust
        bounds = self.settings.least_trust, self.settings.most_trust
        return float(np.clip(1.0 - self.n_rows / RECONSTRUCT.enough, *bounds))

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.dense)

    @cached_property
    def spread(self) -> float:
        """Share of the labels that is spread over all classes.

        A network that need not be certain memorises fewer rows.
        """
        if self.smoothing is not None:
            return self.smoothing
        return self.settings.smoothed * min(1.0, self.n_rows / RECONSTRUCT.enough)

    @cached_property
    def _hard(self) -> Float:
        """Labels, smoothed, (n, k)."""
        assert self.labels is not None
        share = self.spread
        even = 2 if self.several else self.labels.shape[1]
        labels: Float = (1 - share) * self.labels + share / even
        return labels.astype(self.labels.dtype, copy=False)

    @cached_property
    def _soft(self) -> Float:
        """Flattened probabilities of the dense network, (n, k)."""
        return self._probabilities(self.dense / self.dense.dtype.type(self.temperature))

    def _probabilities(self, u: Float) -> Float:
        if not self.several:
            return softmax(u)
        p: Float = expit(u)
        return p

    def _cross_entropy(self, goal: Float, u: Float) -> Float:
        """Return the cross-entropy of logits ``u`` (b, k), row by row."""
        several = self.several
        losses = np.logaddexp(0, u) - goal * u if several else -goal * log_softmax(u, axis=1)
        total: Float = losses.sum(axis=1)
        return total

    def wrong(self, outputs: Float) -> NDArray[np.bool_]:
        """Return which rows a classifier with ``outputs`` (n, k) classifies wrongly.

        Without labels, the classes of the dense network count as right.
        """
        goal = self.dense if self.labels is None else self.labels
        found: NDArray[np.bool_]
        if not self.several:
            found = outputs.argmax(axis=1) != goal.argmax(axis=1)
        else:
            apply = goal > (0 if self.labels is None else 0.5)
            found = ((outputs > 0) != apply).any(axis=1)
        return found

    def pull(self, u: Float, rows: Rows) -> Float:
        """Return dU (b, k) for the outputs ``u`` of ``rows``."""
        alpha, t = self.alpha, self.temperature
        if not self.classify:
            goal = self.dense[rows]
            if self.labels is not None:
                goal = alpha * goal + (1 - alpha) * self.labels[rows]
            return np.asarray(goal - u, u.dtype)
        pull = (alpha * t) * (self._soft[rows] - self._probabilities(u / u.dtype.type(t)))
        if self.labels is not None:
            pull += (1 - alpha) * (self._hard[rows] - self._probabilities(u))
        return np.asarray(pull, u.dtype)

    def loss(self, u: Float, rows: Rows) -> float:
        """Return the mean loss per row, whose negative gradient is :meth:`pull`."""
        alpha, t = self.alpha, self.temperature
        u = u.astype(np.float64)
        if not self.classify:
            squares = alpha * np.square(self.dense[rows] - u)
            if self.labels is not None:
                squares = squares + (1 - alpha) * np.square(self.labels[rows] - u)
            return float(0.5 * squares.sum(axis=1).mean())
        loss = alpha * t * t * self._cross_entropy(self._soft[rows], u / t)
        if self.labels is not None:
            loss = loss + (1 - alpha) * self._cross_entropy(self._hard[rows], u)
        return float(loss.mean())

    def changed(self, factor: float, dtype: np.dtype[np.floating]) -> Targets:
        """Return the targets times ``factor``, if they are numbers, in another type."""
        labels = None if self.labels is None else self.labels.astype(dtype)
        if not self.classify and labels is not None:
            labels = labels * dtype.type(factor)
        return replace(self, dense=self.dense.astype(dtype) * dtype.type(factor), labels=labels)


def softmax(u: Float) -> Float:
    """Return the softmax of each row, in the type of ``u``."""
    p: Float = np.exp(u - u.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p
