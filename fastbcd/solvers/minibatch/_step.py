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
running Gram matrix, which has seen many more rows than the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastbcd import _linalg as la
from fastbcd._architecture import Architecture
from fastbcd._types import Float
from fastbcd.activations import Activation
from fastbcd.losses import Loss
from fastbcd.solvers.minibatch import _products as blas
from fastbcd.solvers.minibatch._schedule import Settings
from fastbcd.solvers.minibatch._state import LayerState, State
from fastbcd_kernels import minibatch_step as kernel

SMOOTH = 0.1
"""Weight of the newest step in the running step size."""

FLOOR = 0.3
"""A step much longer than the running size is shortened to 1/FLOOR of the intended length."""

GRAM_EVERY = 2
"""Steps between two updates of the running Gram matrices."""

GRAM_ROWS = 5000
"""Rows over which the Gram matrices remember."""


class Pass(NamedTuple):
    """What a forward pass leaves behind, layer by layer.

    Parameters
    ----------
    inputs : list of (B * p, k) arrays
        V as the weights see it: rows, or patches.
    outputs : list of (B * p, m) arrays
        Activations before any pooling; of the last layer the products without bias.
    """

    inputs: list[Float]
    outputs: list[Float]


def forward(state: State, layout: Architecture, activation: Activation, first: Float) -> Pass:
    """Run the inputs of the first layer through the network."""
    done = Pass([first], [])
    n = len(first) // layout.views[0].positions
    last = len(state.layers) - 1
    for index, layer in enumerate(state.layers):
        seen = done.inputs[-1]
        out = state.buffer("value", index, len(seen), layer.weight.shape[1])
        blas.product(seen, layer.used, out)
        done.outputs.append(out)
        if index == last:
            break
        activation.add_bias(out, layer.bias)
        pool = layout.pools[index]
        v = out.reshape(n, -1)
        if pool is not None:
            v = pool.forward(v, state.buffer("pooled", index, n, pool.n_out))
        done.inputs.append(layout.views[index + 1].rows(v))
    return done


def backward(
    state: State, layout: Architecture, activation: Activation, done: Pass
) -> tuple[list[Float], list[Float]]:
    """Return D_1 .. D_L and their column means; D_L stands in the last output already."""
    last = len(state.layers) - 1
    changes, means = (
        [done.outputs[-1]],
        [state.buffer("mean", last, 1, done.outputs[-1].shape[1])[0]],
    )
    n = len(done.outputs[-1])
    for index in range(last - 1, -1, -1):
        width = state.layers[index].weight.shape[1]
        gain = state.layers[index + 1].gain
        d = state.buffer("change", index, len(changes[0]), gain.shape[1])
        mean = state.buffer("mean", index, 1, width)[0]
        blas.product(changes[0], gain, d)
        d = layout.views[index + 1].fold(d)
        pool, out = layout.pools[index], done.outputs[index]
        if pool is not None:
            d = pool.back(d, out.reshape(n, -1), state.buffer("spread", index, n, pool.n_in))
        d = d.reshape(out.shape)
        activation.mask(d, out, mean)
        changes.insert(0, d)
        means.insert(0, mean)
    return changes, means


def take_step(
    state: State,
    layout: Architecture,
    activation: Activation,
    loss: Loss,
    settings: Settings,
    batch: tuple[Float, Float | None, Float, Float],
    length: float,
    unit_weights: bool,
) -> float:
    """Update all layers by one batch, in place.

    Parameters
    ----------
    state : State
        Changed, unless the loss is not acceptable.
    layout, activation, loss
        Of the network.
    settings : Settings
        Numbers of the method.
    batch : (V_0, Z, Y, weights)
        Inputs of the first layer; the same whitened if they are not whitened themselves; targets;
        relative sample weights.
    length : float
        Step length at this time, relative to the largest.
    unit_weights : bool
        Whether all weights are one.

    Returns
    -------
    float
        Mean loss of the batch before the step. If it is not finite, or fifty times that of the
        start, nothing was changed.
    """
    first, whitened, y, weight = batch
    layers = state.layers
    done = forward(state, layout, activation, first)
    last = len(layers) - 1
    mean = state.buffer("mean", last, 1, y.shape[1])[0]
    value = loss.descend(done.outputs[-1], layers[-1].bias, y, weight, settings.smoothing, mean)
    if not np.isfinite(value) or value > 50 * max(state.first_loss, 1e-3):
        return value
    changes, means = backward(state, layout, activation, done)
    for index, layer in enumerate(layers):
        if index == 0:
            step, size = _first_step(state, layer, first, whitened, changes[0])
        else:
            if state.step % GRAM_EVERY == 0:
                observe(state, index, done.inputs[index], weight, unit_weights)
            step, size = _ridge_step(
                state, index, done.inputs[index], changes[index], means[index], settings.damping
            )
            means[index] -= layer.mean @ step
        _move(layer, step, means[index], size, length * state.brake, settings)
    return value


def _first_step(
    state: State, layer: LayerState, first: Float, whitened: Float | None, change: Float
) -> tuple[Float, float]:
    """Return the first layer's step and its norm relative to that of the weights."""
    factor = 1 / len(first)
    shape = layer.weight.shape
    out = state.buffer("step", 0, *shape)
    if whitened is None:
        blas.cross_product(first, change, factor, out)
        return out, np.sqrt(blas.squared_norm(out) / max(layer.square, 1e-20))
    if layer.fixed and layer.support is not None:
        # The solve on a support would need one matrix per unit; its diagonal does as well.
        blas.cross_product(first, change, factor, out)
        square = kernel.scale_on_support(out, state.inputs.step_diagonal, layer.support)
        norm = kernel.squared_norm_by_row(layer.weight, state.inputs.step_diagonal)
        return out, np.sqrt(square / max(norm, 1e-20))
    if state.inputs.diagonal:
        blas.cross_product(whitened, change, factor, out)
        square = blas.squared_norm(out)
        out *= state.inputs.whiten[:, None]
    else:
        plain = state.buffer("plain", 0, whitened.shape[1], shape[1])
        blas.cross_product(whitened, change, factor, plain)
        square = blas.squared_norm(plain)
        blas.product(state.inputs.whiten, plain, out)
    return out, np.sqrt(square / max(layer.metric_square, 1e-20))


def _ridge_step(
    state: State, index: int, v: Float, change: Float, mean: Float, damping: float
) -> tuple[Float, float]:
    """Return the step of a layer above the first, and its relative norm."""
    layer = state.layers[index]
    step = state.buffer("step", index, *layer.weight.shape)
    if layer.wide:
        return _wide_step(state, index, v, change, damping, step)
    gradient = state.buffer("gradient", index, *layer.weight.shape)
    blas.cross_product(v, change, 1 / len(v), gradient)
    blas.subtract_outer(gradient, layer.mean, mean)
    support = layer.support if layer.fixed else None
    if support is not None:
        kernel.scale_on_support(gradient, state.ones(len(gradient)), support)
    blas.product(layer.inverse, gradient, step)
    if support is not None:
        kernel.scale_on_support(step, state.ones(len(gradient)), support)
    return step, np.sqrt(blas.squared_norm(step) / max(layer.square, 1e-20))


def _wide_step(
    state: State, index: int, v: Float, change: Float, damping: float, step: Float
) -> tuple[Float, float]:
    r"""Solve against the batch's own Gram matrix, where one of all inputs would be too large.

    With X the centred inputs, :math:`(X^T X / B + \lambda I)^{-1} X^T D
    = X^T (X X^T / B + \lambda I)^{-1} D`: a system of the size of the batch.
    """
    layer, n = state.layers[index], len(v)
    centred = np.subtract(v, layer.mean, out=state.buffer("centred", index, *v.shape))
    gram = (la.product(centred, centred, transposed=True) / n).astype(np.float64)
    trace = float(np.trace(gram))
    ridge = damping * float(np.vdot(gram, gram)) / max(trace, 1e-20) + 1e-6 * trace + 1e-12
    system = la.SPDSystem(gram, np.full(n, ridge))
    blas.cross_product(centred, system.solve(change).astype(v.dtype), 1 / n, step)
    if layer.fixed and layer.support is not None:
        kernel.scale_on_support(step, state.ones(len(step)), layer.support)
    return step, np.sqrt(blas.squared_norm(step) / max(layer.square, 1e-20))


def _move(
    layer: LayerState, step: Float, bias_step: Float, size: float, length: float, settings: Settings
) -> None:
    """Take the step with momentum, at a length relative to the layer's weights."""
    layer.step_size = size if layer.step_size < 0 else _blend(layer.step_size, size, SMOOTH)
    scale = max(layer.step_size, FLOOR * size)
    rate = length * settings.learning_rate / scale if scale > 1e-12 else 0.0
    keep = 1 - length * settings.weight_decay
    if layer.used is layer.weight or layer.support is None:
        layer.square = kernel.momentum_update(
            layer.weight, layer.momentum, step, rate, settings.momentum, keep
        )
    else:
        layer.square = kernel.momentum_update_copy(
            layer.weight, layer.used, layer.momentum, step, layer.support, rate,
            settings.momentum, keep,
        )  # fmt: skip
    layer.bias_momentum *= layer.bias.dtype.type(settings.momentum)
    layer.bias_momentum += bias_step
    layer.bias += layer.bias.dtype.type(rate) * layer.bias_momentum


def _blend(old: float, new: float, share: float) -> float:
    return old + share * (new - old)


def observe(
    state: State,
    index: int,
    v: Float,
    weight: Float,
    unit_weights: bool,
    share: float | None = None,
) -> None:
    """Move the running mean and second moment of a layer's inputs towards those of a batch.

    Parameters
    ----------
    state : State
        Changed.
    index : int
        The layer, not the first.
    v : (B * p, n_in) array
        Its inputs.
    weight : (B,) array
        Relative sample weights.
    unit_weights : bool
        Whether they are all one.
    share : float, optional
        How much the batch counts; by default its share of the rows remembered, at most 0.1.
    """
    layer = state.layers[index]
    if share is None:
        share = min(0.1, len(weight) / GRAM_ROWS)
    weight = np.repeat(weight, len(v) // len(weight))  # of the patches of a row
    keep = kernel.running_mean(v, weight, share, layer.mean)
    total = float(len(v))
    if not unit_weights:
        total = float(weight.sum())
        v = v * np.sqrt(weight)[:, None]
    if total > 0 and not layer.wide:
        blas.decay_and_add_gram(layer.gram, keep, v, (1 - keep) / total)


def refresh(state: State, settings: Settings) -> None:
    """Renew what is derived from the statistics and weights: the small inverses and gains."""
    dtype = state.layers[0].weight.dtype
    for index, layer in enumerate(state.layers):
        if index == 0:
            if layer.scheme is not None:
                layer.metric_square = state.inputs.metric_norm(layer.weight)
            continue
        layer.gain = la.activation_gain(layer.used, 1 / settings.gain).astype(dtype, copy=False)
        if layer.wide:
            continue
        covariance = blas.symmetric(layer.gram)
        mean = layer.mean.astype(np.float64)
        covariance -= np.outer(mean, mean)
        trace = float(np.trace(covariance))
        ridge = settings.damping * float(np.vdot(covariance, covariance)) / max(trace, 1e-20)
        covariance[np.diag_indices_from(covariance)] += ridge + 1e-6 * max(trace, 0) + 1e-12
        layer.inverse = blas.spd_inverse(covariance).astype(dtype)
