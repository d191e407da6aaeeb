r"""Rows moved to where the network does worst, so that it learns what lies around them.

A step of the inputs of the same kind as those of the layers, but backward: with d the pull on the
inputs, which would lower the loss,

.. math:: v \leftarrow v - r\, \sqrt{\mathrm{tr}\,\mathrm{cov}(V)}\; d / \|d\|

is, to first order, the worst place at that distance (Goodfellow et al., arXiv:1412.6572; by
Euclidean length as in Miyato et al., arXiv:1605.07725). The pull comes with a step that is taken
anyway; every second step sees the batch of the step before once more, moved. So nothing takes
longer but one product with the first layer.

Where weights are many against the rows this generalises better; where they are few there is
nothing to spare for it. Nor are rows moved where the dense network is not certain of them: they
lie near its boundaries, and would end up beyond.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax

from fastbcd.formats import DenseMatrix, SparseMatrix
from fastbcd.network.network import Network
from fastbcd.utils.types import Float

SCARCE, PLENTY = 0.5, 2.0
"""Weights per row up to which no row is moved, and from which they are moved as far as ever; in
between by the logarithm. Chosen on writers held out."""

CERTAIN = 0.5
"""How certain the dense network has to be of its rows, on average, for them to be moved."""

SINGLE = SparseMatrix, DenseMatrix
"""Formats whose weights count: what factors and codes could learn more is small, and is lost."""


def plenty(network: Network, n_rows: int) -> float:
    """Return how far rows are moved, 0 to 1, by the number of single weights and of rows."""
    weights = (layer.weight for layer in network.layers)
    n_weights = sum(weight.n_params for weight in weights if isinstance(weight, SINGLE))
    per_row = max(n_weights / n_rows, SCARCE)
    return float(min(1.0, np.log(per_row / SCARCE) / np.log(PLENTY / SCARCE)))


def certainty(outputs: Float, several: bool = False) -> float:
    """Return how certain a network with ``outputs`` (n, k) is of its rows, 0 to 1.

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
        r. None is moved if zero.
    variance : float
        Sum of the variances of the inputs.
    """

    def __init__(self, radius: float, variance: float) -> None:
        self._length = np.float32(radius * np.sqrt(variance))
        self._seen = 0

    def due(self) -> bool:
        """Return whether the last batch is to be seen once more now, moved."""
        return self._seen == 1

    def wanted(self) -> bool:
        """Return whether the batch of this step will be; count it as seen."""
        self._seen = (self._seen + 1) % 2 if self._length > 0 else 0
        return self._seen == 1

    def forget(self) -> None:
        """Let the next batch be a new one: supports moved, and read other inputs."""
        self._seen = 0

    def move(self, v: Float, pull: Float) -> None:
        """Move inputs ``v`` (d, b) against the ``pull`` (d, b) on them, in place."""
        squares = np.einsum("ij,ij->j", pull, pull)
        v -= pull * (self._length / np.sqrt(squares + np.finfo(np.float32).tiny))
