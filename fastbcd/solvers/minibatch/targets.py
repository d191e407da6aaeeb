"""Shift and scale of a stream's targets, which nobody knows when it begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastbcd.network.scaling import Scaling, float32_tells
from fastbcd.solvers.minibatch.problem import MiniBatchProblem
from fastbcd.solvers.minibatch.state import State
from fastbcd.utils.types import Float64

OFF = 2.0
"""Targets are measured anew when they vary this many times more, or less, than was thought."""


class RunningTargets:
    """Mean and variance of the targets seen so far.

    Parameters
    ----------
    n_out : int
        Number of outputs.
    by_column : bool
        Whether each output has a unit of its own.
    """

    def __init__(self, n_out: int, by_column: bool) -> None:
        self.by_column = by_column
        self.total = 0.0
        self._mean: Float64 = np.zeros(n_out)
        self._squares: Float64 = np.zeros(n_out)  # of the deviations from the mean
        self._largest: Float64 = np.zeros(n_out)

    def add(self, y: NDArray[np.floating], sample_weight: NDArray[np.floating]) -> None:
        """Count rows in: of large numbers that hardly vary, too (Chan, Golub, LeVeque, 1983)."""
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

    @property
    def scaling(self) -> Scaling:
        """Shift and scale; the scale of what has not varied yet is one."""
        variance = self._squares / max(self.total, 1e-300)
        return Scaling.from_moments(self._mean, variance, self.by_column)

    @property
    def float32_tells(self) -> bool:
        """Whether float32 is exact enough for them."""
        return float32_tells(self._largest, np.sqrt(self._squares / max(self.total, 1e-300)))

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which outputs have varied, or, if they share a unit, whether any has."""
        variance = self._squares / max(self.total, 1e-300)
        varied: NDArray[np.bool_] = variance > np.square(1e-10 * self._mean)
        return varied if self.by_column else np.full(varied.shape, varied.any())

    def differ(self, scaling: Scaling, known: NDArray[np.bool_]) -> bool:
        """Whether ``scaling``, from when the outputs ``known`` had varied, is far off by now."""
        ratio = np.broadcast_to(self.scaling.factor / scaling.factor, known.shape)[self.known]
        return bool(np.any(self.known & ~known) or np.any((ratio > OFF) | (ratio < 1 / OFF)))

    def blank_loss(self, scaling: Scaling) -> float:
        """Return the mean squared loss of no outputs at all, for targets scaled like that."""
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
        With the units so far.
    state : State
        Changed; the network it stands for stays the same, but for outputs not ``known``.
    new : Scaling
        The new units.
    known : (n_out,) bool array
        Outputs whose weights mean something. Those of an output that has never varied are random
        still: they keep their size in the new unit, whatever that is.
    """
    old, layer = problem.rows.scaling, state.layers[-1]
    assert old is not None
    ratio = np.where(known, np.broadcast_to(old.factor / new.factor, known.shape), 1.0)
    shift = np.where(known, (old.shift - new.shift) / new.factor, 0.0)
    dtype = layer.weight.dtype
    # One number where all outputs share a unit: what has a format keeps it.
    weights = [layer.weight, layer.momentum, state.recent.arrays[-2].reshape(layer.weight.shape)]
    for weight in (*weights, *([] if layer.tied is None else [layer.tied])):
        weight *= ratio.astype(dtype)
    if layer.compressed is not None:
        layer.compressed = layer.compressed.scaled(float(ratio[0]))
    layer.bias_momentum *= ratio.astype(dtype)
    for bias in (layer.bias, state.recent.arrays[-1]):
        bias[...] = bias * ratio + shift
    layer.square = float(np.vdot(layer.weight, layer.weight))
    layer.step_size = -1.0  # of steps in the old unit
