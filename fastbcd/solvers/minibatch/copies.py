"""Compression in the loop: the weights that the forward pass uses, drawn to their projection.

A layer with a scheme keeps two matrices: dense weights W, and the weights that the network
uses, T + (what is left of W - T), with T the projection of W. What is left shrinks to nothing as
the tie grows: of a T with many zeros the largest entries of W - T stay, fewer and fewer;
else all of W - T is scaled down.

The block steps are taken at what the network uses and change W everywhere, so a weight that was
pruned goes on learning and may return; what it has learnt is forgotten slowly, lest weights
that are never used outgrow those that are. Without zeros there is nothing to return, and W moves
all the way to what the network uses. From the share ``fixed`` of the fit on, W is T itself, its
zeros stay, and everything else of its structure is restored by a projection every few steps.

Weights of the data are compared by what they do: times the root of the diagonal of the metric
S + lambda I of their inputs. Else a pixel that hardly ever lights up would be kept for the size
of its weights.
"""

from __future__ import annotations

import numpy as np

from fastbcd.formats import TensorTrainMatrix
from fastbcd.formats.operations import cores_of
from fastbcd.schemes.nearest.thresholds import hard_threshold
from fastbcd.schemes.nearest.train_tangent import TangentSpace
from fastbcd.solvers.minibatch.schedule import CompressionSchedule
from fastbcd.solvers.minibatch.state import LayerState
from fastbcd.utils.types import Float
from fastbcd_kernels import minibatch_weights

SPARSE = 0.5
"""A projection with at most this share of non-zeros is one whose zeros matter."""


def renew(
    layer: LayerState, course: CompressionSchedule, fraction: float, scale: Float | None = None
) -> bool:
    """Project the weights of ``layer`` and tie what the network uses to the result.

    Parameters
    ----------
    layer : LayerState
        With a scheme; changed.
    course : CompressionSchedule
        How firm the tie is.
    fraction : float
        Share of the fit that lies behind.
    scale : (n_in, 1) array, optional
        By which the rows of the weights are compared.

    Returns
    -------
    bool
        Whether the structure of the copy was fixed just now.
    """
    tie = course.tie(fraction)
    if layer.scheme is None or tie <= 0:
        return False
    if layer.tangent is not None:
        cores = layer.tangent.retract(layer.weight)
        layer.compressed = TensorTrainMatrix(cores, layer.weight.shape)
    elif scale is None:
        layer.compressed = layer.scheme.project(layer.weight, layer.compressed)
    else:
        layer.compressed = layer.scheme.project_scaled(layer.weight, scale, layer.compressed)
    train = cores_of(layer.compressed) if layer.thin else None
    if train is not None:
        layer.tangent = TangentSpace(train)
    target = layer.compressed.to_dense()
    if fraction < course.fixed and layer.tied is not None:
        tied = layer.tied
        np.subtract(layer.weight, target, out=tied)
        forget = 1.0
        if np.count_nonzero(target) <= SPARSE * target.size:
            n_left = round((1 - tie) * np.count_nonzero(tied))
            forget = course.forget
            sizes = tied if scale is None else scale * tied
            tied[hard_threshold(sizes, n_left) == 0] = 0
        else:
            tied *= layer.weight.dtype.type(1 - tie)
        tied += target
        layer.support = tied != 0
        minibatch_weights.average(layer.weight.reshape(-1), tied.reshape(-1), forget)
        layer.square = float(np.vdot(layer.weight, layer.weight))
        return False
    layer.weight[...] = target
    layer.square = float(np.vdot(target, target))
    if layer.fixed:
        return False
    layer.fixed = True
    layer.tied = None
    layer.support = target != 0
    if layer.support.mean() > SPARSE or layer.compressed.n_levels is not None:
        # Zeros by chance, not by design; or with values from a codebook, whose projection is a
        # disturbance that steps on a support alone were seen to amplify.
        layer.support = None
    else:
        ones = np.ones(len(target), target.dtype)
        minibatch_weights.scale_on_support(layer.momentum, ones, layer.support)
    return True
