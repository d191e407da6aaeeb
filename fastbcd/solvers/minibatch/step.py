r"""One mini-batch step: a forward pass, targets backwards, a ridge solve per layer.

From the feasible point of the batch (U and V of a forward pass), with L layers:

.. math::
    D_L &= -\nabla R(U_L) \quad\text{(for the hinge loss, its proximal step)} \\
    D_l &= \sigma'(U_l) \circ (D_{l+1} R_{l+1}), \qquad
        R = (W^T W + I/r)^{-1} W^T \\
    S_l &= (\mathrm{cov}(V_{l-1}) + \lambda_l I)^{-1}
        \big(V_{l-1}^T D_l / B - \mu_{l-1} \bar d_l^T\big) \\
    W_l &\leftarrow (1 - a w) W_l + \eta_l M_l, \qquad M_l \leftarrow m M_l + S_l

The first line is the output block's step, the second the V- and U-blocks' (the V-step is
``activation_gain``; the U-step keeps its linear piece), the third the W-block's against the
running Gram matrix, which has seen many more rows than the batch. An L2 penalty is part of the
gradient that the last solve is given; see :mod:`.l2`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastbcd.linalg import batch_products as blas
from fastbcd.linalg import products as la
from fastbcd.linalg.spd import SPDSystem
from fastbcd.network.layers.activations import Activation
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.losses.losses import Loss
from fastbcd.solvers.minibatch.l2 import subtract
from fastbcd.solvers.minibatch.passes import backward, forward
from fastbcd.solvers.minibatch.settings import Settings
from fastbcd.solvers.minibatch.state import LayerState, State
from fastbcd.utils.types import Float
from fastbcd_kernels import minibatch_step as kernel
from fastbcd_kernels import minibatch_weights

NOWHERE = np.empty((0, 0), bool)
"""The support of a layer without a copy."""


def take_step(
    state: State,
    layout: Architecture,
    activations: Sequence[Activation],
    loss: Loss,
    settings: Settings,
    batch: tuple[Float, Float | None, Float, Float],
    length: float,
    unit_weights: bool,
    l2: float = 0.0,
) -> float:
    """Update all layers by one batch, in place.

    Parameters
    ----------
    state : State
        Modified, unless the loss is too large.
    layout, activations, loss
        Parts of the network; one activation per layer.
    settings : Settings
        Numbers of the method.
    batch : (V_0, Z, Y, weights)
        Inputs of the first layer; the whitened inputs if these are not whitened; targets; relative
        sample weights.
    length : float
        Current step length, relative to its maximum.
    unit_weights : bool
        Whether all sample weights are one.
    l2 : float, default=0.0
        Weight of half the squared entries of each W, beside the mean loss; see :mod:`.l2`.

    Returns
    -------
    float
        Mean loss of the batch before the step. NaN, and no change of the state, if the loss exceeds
        ``settings.off_limits`` times both the loss at the start and the loss of zero outputs.
    """
    first, whitened, y, weight = batch
    layers = state.layers
    done = forward(state, layout, activations, first)
    last = len(layers) - 1
    mean = state.buffer("mean", last, 1, y.shape[1])[0]
    value = loss.descend(done.outputs[-1], layers[-1].bias, y, weight, settings.smoothing, mean)
    if not np.isfinite(value) or value > settings.off_limits * max(state.first_loss, 1e-3):
        # The rows may be unusual themselves, so that zero outputs have a large loss, too.
        none = np.zeros_like(done.outputs[-1]), np.zeros_like(layers[-1].bias)
        blank = loss.descend(*none, y, weight, settings.smoothing, np.zeros_like(mean))
        if not value <= settings.off_limits * max(state.first_loss, blank):
            return float("nan")
    changes, means = backward(state, layout, activations, done)
    for index, layer in enumerate(layers):
        share = l2 * layer.passed / layout.views[index].positions
        if index == 0:
            step, size = _first_step(state, layer, first, whitened, changes[0], share)
        else:
            v = done.inputs[index]
            if not layer.wide and (layer.thin or state.step % settings.gram_every == 0):
                observe(state, index, v, weight, unit_weights, settings)
            center = layer.mean
            if layer.wide or layer.thin:
                center = batch_mean(v, None if unit_weights else weight)
            target = (changes[index], means[index], share)
            step, size = _ridge_step(state, index, v, center, target, settings.damping)
            if layer.tangent is not None:
                layer.tangent.project(step)
                size = np.sqrt(blas.squared_norm(step) / max(layer.square, 1e-20))
            means[index] -= center @ step
        _move(layer, step, means[index], size, length * state.brake, settings)
    return value


def _first_step(
    state: State, layer: LayerState, first: Float, whitened: Float | None, change: Float, l2: float
) -> tuple[Float, float]:
    """Return the first layer's step and its norm relative to that of the weights."""
    factor, inputs = 1 / len(first), state.inputs
    shape = layer.weight.shape
    out = state.buffer("step", 0, *shape)
    if whitened is None:
        blas.cross_product(first, change, factor, out)
        if l2:
            subtract(out, l2, inputs.pulled_back(inputs.to_inputs(layer.weight)))
        return out, np.sqrt(blas.squared_norm(out) / max(layer.square, 1e-20))
    if layer.fixed and layer.support is not None:
        # An exact solve on a support needs one matrix per unit; the diagonal is as accurate.
        blas.cross_product(first, change, factor, out)
        if l2:
            subtract(out, l2, layer.weight)
        square = minibatch_weights.scale_on_support(out, state.inputs.step_diagonal, layer.support)
        norm = np.square(layer.weight).sum(axis=1) @ (1 / state.inputs.step_diagonal)
        return out, np.sqrt(square / max(norm, 1e-20))
    if state.inputs.diagonal:
        blas.cross_product(whitened, change, factor, out)
        if l2:
            subtract(out, l2, inputs.pulled_back(layer.weight))
        square = blas.squared_norm(out)
        out *= state.inputs.whiten[:, None]
    else:
        plain = state.buffer("plain", 0, whitened.shape[1], shape[1])
        blas.cross_product(whitened, change, factor, plain)
        if l2:
            subtract(plain, l2, inputs.pulled_back(layer.weight))
        square = blas.squared_norm(plain)
        blas.product(state.inputs.whiten, plain, out)
    return out, np.sqrt(square / max(layer.metric_square, 1e-20))


def _ridge_step(
    state: State,
    index: int,
    v: Float,
    center: Float,
    target: tuple[Float, Float, float],
    damping: float,
) -> tuple[Float, float]:
    r"""Return the step of a layer above the first, and its relative norm.

    With X the centred inputs of the batch and M the inverse, :math:`(M X^T) D = M (X^T D)`. The
    left side is cheaper if the batch has fewer rows than the layer has outputs.
    """
    layer, (change, mean, l2) = state.layers[index], target
    step = state.buffer("step", index, *layer.weight.shape)
    support = layer.support if layer.fixed else None
    if layer.wide or (support is None and len(v) < layer.bias.size):
        centred = np.subtract(v, center, out=state.buffer("centred", index, *v.shape))
        if layer.wide:
            return wide_step(state, layer, centred, change, damping, step, l2)
        ahead = blas.product(centred, layer.inverse, state.buffer("ahead", index, *v.shape))
        blas.cross_product(ahead, change, 1 / len(v), step)
        if l2:
            penalty = state.buffer("penalty", index, *layer.weight.shape)
            subtract(step, l2, blas.product(layer.inverse, layer.weight, penalty))
        return step, np.sqrt(blas.squared_norm(step) / max(layer.square, 1e-20))
    gradient = state.buffer("gradient", index, *layer.weight.shape)
    blas.cross_product(v, change, 1 / len(v), gradient)
    blas.subtract_outer(gradient, center, mean)
    if l2:
        subtract(gradient, l2, layer.weight)
    if support is not None:
        minibatch_weights.scale_on_support(gradient, state.ones(len(gradient)), support)
    blas.product(layer.inverse, gradient, step)
    if support is not None:
        minibatch_weights.scale_on_support(step, state.ones(len(gradient)), support)
    return step, np.sqrt(blas.squared_norm(step) / max(layer.square, 1e-20))


def wide_step(
    state: State,
    layer: LayerState,
    centred: Float,
    change: Float,
    damping: float,
    step: Float,
    l2: float = 0.0,
) -> tuple[Float, float]:
    r"""Solve against the batch's own Gram matrix, for layers with too many inputs for another.

    :math:`(X^T X / B + \lambda I)^{-1} X^T D = X^T (X X^T / B + \lambda I)^{-1} D`: a system of the
    size of the batch. The same identity takes an L2 penalty to the rows:
    :math:`(X^T X / B + \lambda I)^{-1} W = \big(W - X^T (X X^T / B + \lambda I)^{-1} X W / B\big)
    / \lambda`.
    """
    n = len(centred)
    gram = (la.product(centred, centred, transposed=True) / n).astype(np.float64)
    trace = float(np.trace(gram))
    ridge = damping * float(np.vdot(gram, gram)) / max(trace, 1e-20) + 1e-6 * trace + 1e-12
    system = SPDSystem(gram, np.full(n, ridge))
    if l2:
        change = change + change.dtype.type(l2 / ridge) * la.product(centred, layer.weight)
    blas.cross_product(centred, system.solve(change).astype(step.dtype), 1 / n, step)
    if l2:
        subtract(step, l2 / ridge, layer.weight)
    if layer.fixed and layer.support is not None:
        minibatch_weights.scale_on_support(step, state.ones(len(step)), layer.support)
    return step, np.sqrt(blas.squared_norm(step) / max(layer.square, 1e-20))


def _move(
    layer: LayerState, step: Float, bias_step: Float, size: float, length: float, settings: Settings
) -> None:
    """Take the step with momentum, at a length relative to the layer's weights."""
    old = layer.step_size
    layer.step_size = size if old < 0 else _blend(old, size, settings.smooth)
    scale = max(layer.step_size, settings.floor * size)
    rate = length * settings.learning_rate / scale if scale > 1e-12 else 0.0
    keep = 1 - length * settings.weight_decay
    if layer.tied is None or layer.support is None:
        copy, support = layer.weight[:0], NOWHERE
    else:
        copy, support = layer.tied, layer.support
    layer.square = minibatch_weights.momentum_update(
        layer.weight, copy, layer.momentum, step, support, rate, settings.momentum, keep
    )
    layer.bias_momentum *= layer.bias.dtype.type(settings.momentum)
    layer.bias_momentum += bias_step
    layer.bias += layer.bias.dtype.type(rate) * layer.bias_momentum


def batch_mean(v: Float, weight: Float | None) -> Float:
    """Return the mean of the layer's inputs in this batch, which centres its step.

    A running mean lags behind the layers below. The intercept would then correct a shift that no
    longer exists, and over several layers this error was observed to grow from step to step.
    """
    if weight is None or not weight.any():
        mean: Float = v.mean(axis=0)
        return mean
    mean = np.average(v, axis=0, weights=np.repeat(weight, len(v) // len(weight)))
    return mean.astype(v.dtype, copy=False)


def _blend(old: float, new: float, share: float) -> float:
    return old + share * (new - old)


def observe(
    state: State,
    index: int,
    v: Float,
    weight: Float,
    unit_weights: bool,
    settings: Settings,
    share: float | None = None,
) -> None:
    """Move the running mean and second moment of a layer's inputs towards those of a batch.

    Parameters
    ----------
    state : State
        Modified.
    index : int
        Index of a layer above the first.
    v : (B * p, n_in) array
        Inputs of the layer.
    weight : (B,) array
        Relative sample weights.
    unit_weights : bool
        Whether all sample weights are one.
    settings : Settings
        Numbers of the method.
    share : float, optional
        Weight of the batch in the running statistics; by default its rows relative to
        ``settings.gram_rows``, at most 1 / ``settings.thin_batches``.
    """
    layer = state.layers[index]
    if share is None:
        share = 1 / settings.thin_batches
        if not layer.thin:
            share = min(share, len(weight) / settings.gram_rows)
    weight = np.repeat(weight, len(v) // len(weight))  # of the patches of a row
    keep = kernel.running_mean(v, weight, share, layer.mean)
    total = float(len(v))
    if not unit_weights:
        total = float(weight.sum())
        v = v * np.sqrt(weight)[:, None]
    if total > 0:
        blas.decay_and_add_gram(layer.gram, keep, v, (1 - keep) / total)
