r"""Rows moved to where the network does worst, so that it learns the surroundings of the rows.

The inputs take a step like the layers, but in the opposite direction. With d the pull on the
inputs, which would lower the loss,

.. math:: v \leftarrow v - r\, \sqrt{\mathrm{tr}\,\mathrm{cov}(V)}\; d / \|d\|

is, to first order, the worst place at that distance (Goodfellow et al., arXiv:1412.6572; by
Euclidean length as in Miyato et al., arXiv:1605.07725). An ordinary step yields the pull, and every
second step uses the batch of the step before again, moved. The only additional cost is one product
with the first layer.

If there are many weights per row, the network generalises better; if there are few, it has none to
spare. Rows are not moved either if the dense network is uncertain of them: they lie near its
boundaries and would cross them.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax

from fastbcd.formats import DenseMatrix, SparseMatrix
from fastbcd.network.network import Network
from fastbcd.solvers.refine.settings import DEFAULTS, RefineSettings
from fastbcd.utils.types import Float

SINGLE = SparseMatrix, DenseMatrix
"""Formats whose weights count. Factors and codes gain too little from moved rows."""


def plenty(network: Network, n_rows: int, settings: RefineSettings = DEFAULTS) -> float:
    """Return the factor of the radius, 0 to 1, given the numbers of single weights and rows."""
    scarce, plenty = settings.scarce, settings.plenty
    weights = (layer.weight for layer in network.layers)
    n_weights = sum(weight.n_params for weight in weights if isinstance(weight, SINGLE))
    per_row = max(n_weights / n_rows, scarce)
    return float(min(1.0, np.log(per_row / scarce) / np.log(plenty / scarce)))


def certainty(outputs: Float, several: bool = False) -> float:
    """Return the certainty of a network with ``outputs`` (n, k) about its rows, 0 to 1.

    The mean probability of the likeliest of k classes, as a share of the way from 1/k to 1. With
    ``several`` labels per row, the mean over all of them.
    """
    if several:
        return float(np.abs(2 * expit(outputs.astype(np.float64)) - 1).mean())
    n_classes = outputs.shape[1]
    if n_classes == 1:
        return 1.0
    likeliest = softmax(outputs.astype(np.float64), axis=1).max(axis=1).mean()
    return float((likeliest - 1 / n_classes) / (1 - 1 / n_classes))


class Adversary:
    """Moves every second batch.

    Parameters
    ----------
    radius : float
        r; zero moves no row.
    variance : float
        Sum of the variances of the inputs.
    """

    def __init__(self, radius: float, variance: float) -> None:
        self._length = np.float32(radius * np.sqrt(variance))
        self._seen = 0

    def due(self) -> bool:
        """Return whether the current step uses the last batch again, moved."""
        return self._seen == 1

    def wanted(self) -> bool:
        """Return whether the next step will use this batch again; count the batch."""
        self._seen = (self._seen + 1) % 2 if self._length > 0 else 0
        return self._seen == 1

    def forget(self) -> None:
        """Use a new batch next: after supports have moved, they read other inputs."""
        self._seen = 0

    def move(self, v: Float, pull: Float) -> None:
        """Move inputs ``v`` (d, b) against the ``pull`` (d, b) on them, in place."""
        squares = np.einsum("ij,ij->j", pull, pull)
        v -= pull * (self._length / np.sqrt(squares + np.finfo(np.float32).tiny))
