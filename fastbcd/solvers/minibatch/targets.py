"""Shift and scale of a stream's targets, which are unknown when the stream begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastbcd.network.scaling import Scaling, float32_tells
from fastbcd.solvers.minibatch.problem import MiniBatchProblem
from fastbcd.solvers.minibatch.settings import DEFAULTS, Settings
from fastbcd.solvers.minibatch.state import State
from fastbcd.utils.types import Float64


class RunningTargets:
    """Mean and variance of the targets seen so far.

    Parameters
    ----------
    n_out : int
        Number of outputs.
    by_column : bool
        Whether each output has its own unit.
    settings : Settings
        Numbers of the method.
    """

    def __init__(self, n_out: int, by_column: bool, settings: Settings = DEFAULTS) -> None:
        self.by_column = by_column
        self._beyond = settings.rescale_beyond
        self.total = 0.0
        self._mean: Float64 = np.zeros(n_out)
        self._squares: Float64 = np.zeros(n_out)  # of the deviations from the mean
        self._largest: Float64 = np.zeros(n_out)

    def add(self, y: NDArray[np.floating], sample_weight: NDArray[np.floating]) -> None:
        """Add rows; exact also for large values of small variance (Chan, Golub, LeVeque, 1983)."""
        weight = sample_weight.astype(np.float64)
        total = float(weight.sum())
        if total <= 0:
            return
        values = np.asarray(y, np.float64)
        mean = weight @ values / total
        self._largest = np.maximum(self._largest, np.abs(values).max(axis=0))
        away, both = mean - self._mean, self.total + total
        self._squares += weight @ np.square(values - mean)
        self._squares += np.square(away) * (self.total * total / both)
        self._mean = self._mean + away * (total / both)
        self.total = both

    def forget(self, most: float) -> None:
        """Count the rows so far as ``most`` rows, if they weigh more."""
        if self.total > most:
            self._squares = self._squares * (most / self.total)
            self.total = most

    @property
    def scaling(self) -> Scaling:
        """Shift and scale; the scale of an output that has not varied yet is one."""
        variance = self._squares / max(self.total, 1e-300)
        return Scaling.from_moments(self._mean, variance, self.by_column)

    @property
    def float32_tells(self) -> bool:
        """Whether float32 is exact enough for the targets."""
        return float32_tells(self._largest, np.sqrt(self._squares / max(self.total, 1e-300)))

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which outputs have varied; if they share a unit, whether any has."""
        variance = self._squares / max(self.total, 1e-300)
        varied: NDArray[np.bool_] = variance > np.square(1e-10 * self._mean)
        return varied if self.by_column else np.full(varied.shape, varied.any())

    def differ(self, scaling: Scaling, known: NDArray[np.bool_]) -> bool:
        """Whether ``scaling``, made when the outputs ``known`` had varied, is far off now."""
        ratio = np.broadcast_to(self.scaling.factor / scaling.factor, known.shape)[self.known]
        far = (ratio > self._beyond) | (ratio < 1 / self._beyond)
        return bool(np.any(self.known & ~known) or np.any(far))

    def blank_loss(self, scaling: Scaling) -> float:
        """Return the mean squared loss of zero outputs, for targets scaled by ``scaling``."""
        variance = self._squares / max(self.total, 1e-300)
        off = np.square(self._mean - scaling.shift)
        return float(0.5 * np.sum((variance + off) / np.square(scaling.factor)))


def rescale_outputs(
    problem: MiniBatchProblem, state: State, new: Scaling, known: NDArray[np.bool_]
) -> None:
    """Express the output layer, its momentum and its average in other units of the targets.

    Parameters
    ----------
    problem : MiniBatchProblem
        The problem with the old units.
    state : State
        Modified; the network is the same, except for outputs not ``known``.
    new : Scaling
        The new units.
    known : (n_out,) bool array
        Outputs whose weights have been learnt. The weights of an output that has never varied are
        still random, and they keep their size in the new unit.
    """
    old, layer = problem.rows.scaling, state.layers[-1]
    assert old is not None
    ratio = np.where(known, np.broadcast_to(old.factor / new.factor, known.shape), 1.0)
    shift = np.where(known, (old.shift - new.shift) / new.factor, 0.0)
    dtype = layer.weight.dtype
    # If all outputs share a unit, this is one number, so weights keep their format.
    weights = [layer.weight, layer.momentum, state.recent.arrays[-2].reshape(layer.weight.shape)]
    for weight in (*weights, *([] if layer.tied is None else [layer.tied])):
        weight *= ratio.astype(dtype)
    if layer.compressed is not None:
        layer.compressed = layer.compressed.scaled(float(ratio[0]))
    layer.bias_momentum *= ratio.astype(dtype)
    for bias in (layer.bias, state.recent.arrays[-1]):
        bias[...] = bias * ratio + shift
    layer.square = float(np.vdot(layer.weight, layer.weight))
    layer.step_size = -1.0  # the old value is in the old unit
