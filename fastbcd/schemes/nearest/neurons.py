r"""Which neurons can go: optimal brain surgery on whole inputs of a layer.

Removing input j of a layer and adjusting the other weights in the best way costs

.. math:: \sum_i h_i w_{ji}^2 / [G^{-1}]_{jj}

and moves the other weights by :math:`-[G^{-1}]_{\cdot j} w_j / [G^{-1}]_{jj}` (Hassibi and Stork,
1992, for a row of weights at once). The cheapest input goes, the inverse is down-dated,
and so on: the weights that remain are the exact least-squares fit of what is left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve

from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float64


def remove_inputs(target: Float64, metric: Metric, n_kept: int) -> tuple[NDArray[np.intp], Float64]:
    """Return which inputs stay, ascending, and the weights of the layer without the others.

    Parameters
    ----------
    target : (d, m) float64 array
        Best weights with all inputs.
    metric : Metric
        How errors of the layer's outputs are measured.
    n_kept : int
        Inputs that stay, 1 <= n_kept <= d. Cost: (d - n_kept) d (d + m) flops and a little more.
    """
    d = target.shape[0]
    inverse = cho_solve((metric.factor, False), np.eye(d))
    weight = target.copy()
    alive = np.arange(d)
    for _ in range(d - n_kept):
        diagonal = np.diag(inverse)
        cost = np.square(weight) @ metric.sensitivity / diagonal
        j = int(np.argmin(cost))
        column = inverse[:, j] / inverse[j, j]
        weight -= np.outer(column, weight[j])
        inverse -= np.outer(column, inverse[j])
        rest = np.delete(np.arange(alive.size), j)
        # Compacting now and then would save little: the arrays shrink by one row each time.
        weight, inverse, alive = weight[rest], inverse[np.ix_(rest, rest)], alive[rest]
    return alive, weight
