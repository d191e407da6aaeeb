"""What the outputs of a network shall become: the dense network's, or labels, or both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

from fastbcd.solvers.reconstruct.imitation import ENOUGH, TEMPERATURE
from fastbcd.utils.types import Float

Rows = NDArray[np.intp]

TRUST = 0.3
"""Share of the dense network in a regression."""

LEAST_TRUST, MOST_TRUST = 0.1, 0.9
"""Bounds of the share in a classification with labels. It falls with the number of rows, and is the
least from about ``ENOUGH`` rows on."""

SMOOTHED = 0.03
"""Share of a label that is spread over all classes, with ``ENOUGH`` rows; with fewer by less."""


@dataclass(frozen=True)
class Targets:
    """What the outputs shall become.

    Parameters
    ----------
    dense : (n, k) array
        Outputs of the dense network.
    labels : (n, k) array or None
        Indicators of classes or labels, or target values, if there are any.
    classify : bool
        Cross-entropy, or squared error.
    temperature : float
        Flattens the dense network's probabilities, which tells more about the other classes.
    trust : float, optional
        alpha, the share of the dense network where there are labels; by default as in
        :attr:`alpha`.
    smoothing : float, optional
        Share of every label that is spread evenly over the classes of a classification (Szegedy
        et al., arXiv:1512.00567, section 7); by default as in :attr:`spread`.
    several : bool
        Whether a row may have several labels, or none: the cross-entropy then is the sum of those
        of each output's own sigmoid, rather than that of a softmax.
    """

    dense: Float
    labels: Float | None
    classify: bool
    temperature: float = TEMPERATURE
    trust: float | None = None
    smoothing: float | None = None
    several: bool = False

    @cached_property
    def alpha(self) -> float:
        """Share of the dense network.

        In a classification labels count the more, the more rows there are: the dense network knows
        more than labels of few rows. Of many rows that it was trained on it tells little but the
        labels, and what it learned by heart.
        """
        if self.labels is None:
            return 1.0
        if self.trust is not None:
            return self.trust
        if not self.classify:
            return TRUST
        return float(np.clip(1.0 - self.n_rows / ENOUGH, LEAST_TRUST, MOST_TRUST))

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.dense)

    @cached_property
    def spread(self) -> float:
        """Share of the labels that is spread over all classes.

        Who need not be certain learns fewer rows by heart.
        """
        if self.smoothing is not None:
            return self.smoothing
        return SMOOTHED * min(1.0, self.n_rows / ENOUGH)

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
        """Return that of logits ``u`` (b, k), row by row."""
        several = self.several
        losses = np.logaddexp(0, u) - goal * u if several else -goal * log_softmax(u, axis=1)
        total: Float = losses.sum(axis=1)
        return total

    def wrong(self, outputs: Float) -> NDArray[np.bool_]:
        """Return which rows a classifier with ``outputs`` (n, k) gets wrong.

        Without labels what the dense network predicts is right.
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
        """Return the mean loss whose negative gradient :meth:`pull` is, per row."""
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
        """Return the targets in other units and of another type."""
        labels = None if self.labels is None else self.labels.astype(dtype)
        if not self.classify and labels is not None:
            labels = labels * dtype.type(factor)
        return replace(self, dense=self.dense.astype(dtype) * dtype.type(factor), labels=labels)


def softmax(u: Float) -> Float:
    """Return the softmax of each row, in the type of ``u``."""
    p: Float = np.exp(u - u.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p
