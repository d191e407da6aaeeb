"""Compression during training: the forward pass uses weights that approach their projection.

A layer with a scheme keeps two matrices: dense weights W, and used weights T + D, where T is the
projection of W and D is a part of W - T. D shrinks to zero as the tie grows. If T has many zeros, D
holds the largest entries of W - T, fewer and fewer of them; otherwise D is a multiple of W - T.

A step is computed with the used weights and changes all of W. A pruned weight therefore goes on
learning and can return. What it has learnt is forgotten slowly, so that unused weights do not
outgrow the used ones. If T has no zeros, no weight can return, and W moves to the used weights.
From the fraction ``fixed`` of the fit on, W equals T, its zeros stay, and a projection every few
steps restores the rest of its structure.

Weights of the first layer are compared by their effect: each is multiplied by the square root of
the diagonal of the metric S + lambda I of its inputs. Otherwise a pixel that is almost always dark
would be kept because its weights are large.
"""

from __future__ import annotations

import numpy as np

from fastbcd.formats import TensorTrainMatrix
from fastbcd.formats.operations import cores_of
from fastbcd.schemes.nearest.thresholds import hard_threshold
from fastbcd.schemes.nearest.train_tangent import TangentSpace
from fastbcd.solvers.minibatch.settings import CompressionSchedule
from fastbcd.solvers.minibatch.state import LayerState
from fastbcd.utils.types import Float
from fastbcd_kernels import minibatch_weights


def renew(
    layer: LayerState, schedule: CompressionSchedule, fraction: float, scale: Float | None = None
) -> bool:
    """Project the weights of ``layer`` and tie the used weights to the result.

    Parameters
    ----------
    layer : LayerState
        A layer with a scheme; modified.
    schedule : CompressionSchedule
        The schedule of the tie.
    fraction : float
        Fraction of the fit that is done.
    scale : (n_in, 1) array, optional
        Factors of the rows of the weights in comparisons.

    Returns
    -------
    bool
        Whether this call has fixed the structure of the copy.
    """
    tie = schedule.tie(fraction)
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
    if fraction < schedule.fixed and layer.tied is not None:
        tied = layer.tied
        np.subtract(layer.weight, target, out=tied)
        forget = 1.0
        if np.count_nonzero(target) <= schedule.sparse * target.size:
            n_left = round((1 - tie) * np.count_nonzero(tied))
            forget = schedule.forget
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
    if layer.support.mean() > schedule.sparse or layer.compressed.n_levels is not None:
        # The zeros are not a structure; or the values come from a codebook, whose projection is a
        # disturbance that was observed to grow if steps were restricted to a support.
        layer.support = None
    else:
        ones = np.ones(len(target), target.dtype)
        minibatch_weights.scale_on_support(layer.momentum, ones, layer.support)
    return True
