"""The inverses and gains that a mini-batch fit derives from its statistics and weights."""

from __future__ import annotations

import numpy as np

from fastbcd.linalg import batch_products as blas
from fastbcd.network.layers.row_step import activation_gain
from fastbcd.solvers.minibatch.l2 import renew_passed
from fastbcd.solvers.minibatch.settings import Settings
from fastbcd.solvers.minibatch.state import State


def refreshed(state: State, settings: Settings) -> bool:
    """Renew the inverses and gains; return False if a Gram matrix is not finite and definite."""
    try:
        _refresh(state, settings)
    except np.linalg.LinAlgError:
        return False
    return True


def _refresh(state: State, settings: Settings) -> None:
    dtype = state.layers[0].weight.dtype
    for index, layer in enumerate(state.layers):
        if index == 0:
            if layer.scheme is not None:
                layer.metric_square = state.inputs.metric_norm(layer.weight)
            continue
        layer.gain = activation_gain(layer.used, 1 / settings.gain).astype(dtype, copy=False)
        if layer.wide:
            continue
        covariance = blas.symmetric(layer.gram)
        mean = layer.mean.astype(np.float64)
        covariance -= np.outer(mean, mean)
        trace = float(np.trace(covariance))
        ridge = settings.damping * float(np.vdot(covariance, covariance)) / max(trace, 1e-20)
        if not np.isfinite(ridge):  # LAPACK does not check
            raise np.linalg.LinAlgError(f"The statistics of layer {index} are not finite.")
        covariance[np.diag_indices_from(covariance)] += ridge + 1e-6 * max(trace, 0) + 1e-12
        layer.inverse = blas.spd_inverse(covariance).astype(dtype)
    renew_passed(state.layers, settings.gain)
