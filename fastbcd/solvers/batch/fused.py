"""Steps of the batch solver by the compiled kernel."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fastbcd.solvers.batch.networks import Networks
from fastbcd.solvers.batch.settings import BatchSettings
from fastbcd.utils.types import Float
from fastbcd_kernels import batch_steps

ACTIVATIONS = {
    "relu": batch_steps.Activation.RELU,
    "leaky_relu": batch_steps.Activation.LEAKY_RELU,
    "hard_tanh": batch_steps.Activation.HARD_TANH,
}
"""Activations that the kernel knows."""

LOSSES = {
    "cross_entropy": batch_steps.Loss.CROSS_ENTROPY,
    "logistic": batch_steps.Loss.LOGISTIC,
    "squared": batch_steps.Loss.SQUARED,
    "hinge": batch_steps.Loss.HINGE,
}
"""Losses that the kernel knows: all of them."""

NOTHING: Float = np.empty(0, np.float32)
"""What stands for an array that is not there."""


class FusedSteps:
    """The kernel's view of a fit.

    Parameters
    ----------
    x, y : (n, k) and (n, m) float32 arrays
        Rows to learn from.
    row_weight : (n,) float32 array or None
        Their weights.
    activation, loss : str
        Names.
    metric : (k,) float32 array
        Damped variances of the inputs.
    l2 : float
        Weight of half the squared weights.
    turn : (k, k) float32 array or None
        See :attr:`.Coordinates.turn`.
    settings : BatchSettings
        The numbers of the method.
    """

    def __init__(
        self,
        x: Float,
        y: Float,
        row_weight: Float | None,
        activation: str,
        loss: str,
        metric: Float,
        l2: float,
        turn: Float | None,
        settings: BatchSettings,
    ) -> None:
        self.rows = x, y, NOTHING if row_weight is None else row_weight
        self.names = int(ACTIVATIONS[activation]), int(LOSSES[loss])
        self.metric, self.l2 = metric, l2
        self.turn = NOTHING if turn is None else turn.ravel()
        self.settings = settings

    def take(self, networks: Networks, counts: Float, order: NDArray[np.int64]) -> None:
        """Take one step of all networks for each row of ``order``."""
        sizes, batch, numbers = networks.sizes, order.shape[1], self.settings
        hidden = sizes[1:-1]
        values = np.cumsum([0, *(batch * size for size in sizes)]).tolist()
        begins = np.zeros((7, len(sizes) + 1), np.int64)
        for row, own in zip(
            begins,
            (
                networks.at_weight,
                networks.at_bias,
                networks.at_gram,
                networks.at_mean,
                networks.at_inverse,
                networks.at_gain,
                values,
            ),
            strict=True,
        ):
            row[: len(own)] = own
        widest = max(sizes[1:])
        products = [p * q for p, q in pairwise(sizes)]
        largest = max([*products, *(h * h for h in hidden)])
        work = np.ones(values[-1] + 2 * batch * widest + 2 * largest + 2 * widest, np.float32)
        batch_steps.take_steps(
            *self.rows,
            counts,
            order,
            np.array(sizes),
            begins,
            self.metric,
            self.turn,
            networks.parameters,
            networks.averages,
            networks.moments,
            networks.solvers,
            networks.lengths,
            networks.clock,
            work,
            np.empty(batch * sizes[-1], np.int32),
            *self.names,
            numbers.smoothing,
            numbers.length,
            float(numbers.warm_up),
            numbers.weight_decay,
            numbers.observe,
            numbers.measure,
            numbers.average_every,
            numbers.average_power,
            self.l2,
        )
