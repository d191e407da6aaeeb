r"""The L2 penalty in the steps of the mini-batch solver.

Its gradient joins that of the loss before the solve,

.. math:: S_l = (\mathrm{cov}(V_{l-1}) + \lambda_l I)^{-1}
          \big(V_{l-1}^T D_l / B - \mu_{l-1} \bar d_l^T - c_l \alpha / n \, W_l\big),

so that the step is zero where the gradient of the penalised loss is, whatever the Gram matrix. A
decay of the weights beside the step would stop elsewhere: at a penalty in the metric of that
matrix. The first layer's W is taken in the coordinates of the data as they are given.

The targets D_l came down through R = (W'W + I/r)^{-1} W' and not through W', so they are shorter
than gradients. The penalty is shortened alike, by

.. math:: c_l = \prod_{k > l} \langle W_k^T, R_k \rangle / \|W_k\|^2 .

This is exact for the output layer, and below an output layer of one unit; elsewhere it is the mean
over the directions of W, weighted by their squares.
"""

from __future__ import annotations

import numpy as np

from fastbcd.solvers.minibatch.state import LayerState
from fastbcd.utils.types import Float


def renew_passed(layers: list[LayerState], gain: float) -> None:
    """Set ``passed`` of all layers from the gains of those above.

    Parameters
    ----------
    layers : list of LayerState
        With their gains; modified.
    gain : float
        r of the gains: the share of a layer whose weights are zero.
    """
    passed = 1.0
    for layer, above in zip(layers[-2::-1], layers[:0:-1], strict=True):
        square = float(np.vdot(above.used, above.used))
        passed *= float(np.vdot(above.used.T, above.gain)) / square if square > 0 else gain
        layer.passed = passed


def subtract(step: Float, share: float, gradient: Float) -> None:
    """Subtract ``share`` times the penalty's gradient from a step, in place."""
    step -= step.dtype.type(share) * gradient
