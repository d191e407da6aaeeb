r"""Reconstruction of a classifier: its probabilities matter, not its outputs.

A change dz of the outputs z of a row changes its probabilities p = softmax(z / T) by

.. math:: T^2\, \mathrm{KL}(p_z \,\|\, p_{z + dz}) \approx
          \tfrac12\, dz^\top (\mathrm{diag}(p) - p p^\top)\, dz ,

with a matrix of trace 1 - ||p||^2. A large error is harmless for rows of which the network is
certain, but not for rows near a boundary. The rows are therefore weighted while the layers are
fitted, and the output layer is fitted to the probabilities themselves.
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from fastbcd.linalg.spd import SPDSystem
from fastbcd.solvers.reconstruct.settings import DEFAULTS, ReconstructSettings
from fastbcd.statistics.moments import Moments
from fastbcd.utils.types import Float, Float64


def row_weights(
    outputs: Float,
    sample_weight: Float64 | None = None,
    settings: ReconstructSettings = DEFAULTS,
) -> Float64 | None:
    """Return the weight of each row, (n,), from the sensitivity of its probabilities; mean one.

    If there are few rows, or the network is certain of all, return ``sample_weight`` itself.

    Parameters
    ----------
    outputs : (n, k) array
        Outputs of the dense network.
    sample_weight : (n,) float64 array, optional
        Weights of the rows; the result is multiplied by them.
    """
    own = np.ones(len(outputs)) if sample_weight is None else sample_weight
    if np.count_nonzero(own) < settings.enough:
        return sample_weight
    p = softmax(outputs.astype(np.float64) / settings.temperature, axis=1)
    uncertain: Float64 = 1.0 - np.square(p).sum(axis=1)
    mean = float(own @ uncertain) / float(own.sum())
    if not mean > 0:
        return sample_weight
    share = settings.uncertain
    weights: Float64 = own * ((1.0 - share) + share / mean * uncertain)
    return weights


def imitate(
    v: Float,
    outputs: Float,
    weight: Float64,
    ridge: Float64,
    sample_weight: Float64 | None = None,
    settings: ReconstructSettings = DEFAULTS,
) -> tuple[Float64, Float64]:
    r"""Fit an output layer to the probabilities of the dense network.

    .. math:: \min_{W, b}\; T^2\, E\, \mathrm{KL}\big(\mathrm{softmax}(z / T) \,\|\,
              \mathrm{softmax}((W^\top v + b) / T)\big) + \tfrac12 \|R^{1/2} (W - W_0)\|^2

    The curvature in the outputs is at most 1/2 (Boehning, Ann. Inst. Stat. Math. 44, 1992).
    Therefore the steps, which solve systems with one matrix,

    .. math:: W \leftarrow W + (\tfrac12 \mathrm{cov}(V) + R)^{-1}
              \big(T\, E\, (v - \bar v) (p - q)^\top - R (W - W_0)\big), \qquad
              b \leftarrow b + 2 T\, E (p - q) \;\text{ at } v = \bar v,

    never raise the objective. They are accelerated (Nesterov), with a restart whenever the next
    step opposes the last one (O'Donoghue, Candes, arXiv:1204.3982).

    Parameters
    ----------
    v : (n, d) array
        Inputs of the layer.
    outputs : (n, k) array
        z, outputs of the dense network.
    weight : (d, k) float64 array
        W_0, the start.
    ridge : (d,) float64 array
        Diagonal of R, which ties the weights to W_0.
    sample_weight : (n,) float64 array, optional
        Weights of the rows.

    Returns
    -------
    weight, intercept : (d, k) and (k,) float64 arrays
        The fitted layer. Cost: n d^2 flops, then 4 n d k flops and n k exponentials for each of
        the steps.
    """
    dtype, n = v.dtype, len(v)
    temperature = settings.temperature
    moments = Moments.of(v, outputs, sample_weight)
    share = np.full(n, 1.0 / n) if sample_weight is None else sample_weight / sample_weight.sum()
    share = share.astype(dtype)[:, None]
    goal = softmax(outputs / dtype.type(temperature), axis=1)
    system = SPDSystem(0.5 * moments.covariance, ridge)
    varies = np.diag(moments.covariance) > np.square(settings.constant * moments.mean_in)
    # With intercepts at the mean of the inputs, their steps and the steps of the weights are
    # independent.
    at = here = np.vstack([weight, moments.mean_out])
    momentum = 1.0
    for _ in range(settings.steps):
        z = v @ at[:-1].astype(dtype)
        z += (at[-1] - moments.mean_in @ at[:-1]).astype(dtype)
        z /= dtype.type(temperature)
        pull = share * (goal - softmax(z, axis=1))
        total = pull.sum(axis=0, dtype=np.float64)
        gradient = (v.T @ pull).astype(np.float64) - np.outer(moments.mean_in, total)
        gradient = temperature * gradient - ridge[:, None] * (at[:-1] - weight)
        gradient[~varies] = 0.0
        solved = np.asarray(system.solve(np.ascontiguousarray(gradient)), np.float64)
        step = np.vstack([solved, 2 * temperature * total])
        after = at + step
        if np.vdot(step, after - here) < 0:
            momentum, at = 1.0, here
            continue
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        at = after + (momentum - 1) / following * (after - here)
        here, momentum = after, following
    return here[:-1], here[-1] - moments.mean_in @ here[:-1]
