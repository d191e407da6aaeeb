r"""Exact optimal brain surgeon, layer by layer (Frantar, Singh, Alistarh, arXiv:2208.11580).

Every output of a layer is a least-squares problem of its own. Weights are removed one after the
other, always the cheapest, and the others repair what is lost:

.. math:: p = \arg\min w_p^2 / [H^{-1}]_{pp}, \quad
          w \leftarrow w - H^{-1}_{:p}\, w_p / [H^{-1}]_{pp}, \quad
          H^{-1} \leftarrow H^{-1} - H^{-1}_{:p} H^{-1}_{p:} / [H^{-1}]_{pp}.

The order and the losses are recorded once, down to nothing, and serve all densities. For k
weights in a layer the losses of all outputs are merged, the cheapest removals are taken, and
the weights that stay are solved for: that is where the updates lead. Compiled, because NumPy
would need minutes; float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bench.peers.oneshot import Mask, Matrix, damped, refit

DAMPING = 1e-3


@dataclass(frozen=True)
class Trace:
    """In which order the inputs of every output go, and what the loss of each removal is.

    Attributes
    ----------
    weight : (d, m) array
        The dense weights.
    gram : (d, d) array
        The damped Gram matrix.
    order : (m, d) integer array
        Inputs, first removed first.
    loss : (m, d) array
        Loss of each removal, made to rise.
    """

    weight: Matrix
    gram: Matrix
    order: NDArray[np.int64]
    loss: Matrix

    def mask(self, k: int) -> Mask:
        """Return the support of the k weights that stay."""
        m, d = self.order.shape
        cheapest = np.argsort(self.loss, axis=None, kind="stable")[: d * m - k]
        removed = np.bincount(cheapest // d, minlength=m)
        mask = np.ones((m, d), bool)
        for i in range(m):
            mask[i, self.order[i, : removed[i]]] = False
        return mask.T

    def prune(self, k: int) -> Matrix:
        """Return the layer with k weights."""
        return refit(self.mask(k), self.weight, self.gram)


def trace(weight: Matrix, gram: Matrix) -> Trace:
    """Record the removals of all outputs; O(d^3) each."""
    h = damped(gram, DAMPING)
    inverse = np.linalg.inv(h)
    order = np.empty((weight.shape[1], len(h)), np.int64)
    loss = np.empty(order.shape)
    for i in range(weight.shape[1]):
        _remove_all(weight[:, i].copy(), inverse.copy(), order[i], loss[i])
    return Trace(weight, h, order, np.maximum.accumulate(loss, axis=1))


def exact_obs(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """Keep k weights of a layer."""
    return trace(weight, gram).prune(k)


@njit(cache=True, nogil=True)
def _remove_all(w: Matrix, inverse: Matrix, order: NDArray[np.int64], loss: Matrix) -> None:
    """Remove one weight after another; what is gone is swapped to the end."""
    name = np.arange(w.size)
    column = np.empty(w.size)
    for alive in range(w.size, 0, -1):
        p, least = 0, np.inf
        for j in range(alive):
            score = w[j] * w[j] / inverse[j, j]
            if score < least:
                p, least = j, score
        order[w.size - alive] = name[p]
        loss[w.size - alive] = least
        last = alive - 1
        name[p], name[last] = name[last], name[p]
        w[p], w[last] = w[last], w[p]
        for j in range(alive):
            inverse[p, j], inverse[last, j] = inverse[last, j], inverse[p, j]
        for j in range(alive):
            inverse[j, p], inverse[j, last] = inverse[j, last], inverse[j, p]
        pivot = inverse[last, last]
        for j in range(last):
            column[j] = inverse[last, j]
        step = w[last] / pivot
        for i in range(last):
            w[i] -= column[i] * step
            factor = column[i] / pivot
            for j in range(last):
                inverse[i, j] -= factor * column[j]
