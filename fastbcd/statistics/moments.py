r"""Covariances at a layer, least-squares weights, and the sensitivity of the outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastbcd.linalg import products as la
from fastbcd.linalg.spd import SPDSystem
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float, Float64

CHUNK = 4096
"""Number of rows that are centred at once."""

SENSITIVITY_ROWS = 2000
"""Number of rows that sensitivities are estimated from; fewer if there are many outputs."""

SENSITIVITY_SIZE = 1 << 25
"""Approximate maximum number of derivatives of a layer that are held in memory."""

DAMPING = 1e-3
"""Ridge towards the old weights, relative to the variance of each input."""


@dataclass(frozen=True)
class Moments:
    """Centred second moments of the inputs V and targets U of a layer.

    Parameters
    ----------
    n_rows : int
        Number of rows with a positive weight.
    mean_in, mean_out : (d,) and (m,) float64 arrays
        Weighted means of V and U.
    covariance : (d, d) float64 array
        cov(V), symmetric.
    cross : (d, m) float64 array
        cov(V, U).
    variance_out : (m,) float64 array
        var(U).
    """

    n_rows: int
    mean_in: Float64
    mean_out: Float64
    covariance: Float64
    cross: Float64
    variance_out: Float64

    @classmethod
    def seen(
        cls, layer: Layer, v: Float, u: Float, sample_weight: Float64 | None = None
    ) -> Moments:
        """Compute the moments of ``layer`` for inputs ``v`` (n, d) and targets ``u`` (n * p, m)."""
        positions = layer.view.positions
        weight = sample_weight
        if sample_weight is not None and positions > 1:
            weight = np.repeat(sample_weight, positions)
        return cls.of(layer.view.rows(v), u, weight)

    @classmethod
    def of(cls, v: Float, u: Float, sample_weight: Float64 | None = None) -> Moments:
        """Compute the moments of inputs ``v`` (n, d) and targets ``u`` (n, m).

        Rows are centred before they are multiplied, because the difference of two large sums would
        lose digits. Products of chunks are computed in the dtype of the data and summed in float64.
        Cost: n d^2 + 2 n d m flops.

        Raises
        ------
        ValueError
            If the products overflow the dtype of the data.
        """
        n, d = v.shape
        weight = np.ones(n) if sample_weight is None else sample_weight
        total = float(weight.sum())
        mean_in, mean_out = weight @ v / total, weight @ u / total
        covariance, cross = np.zeros((d, d)), np.zeros((d, u.shape[1]))
        variance_out = np.zeros(u.shape[1])
        for lo in range(0, n, CHUNK):
            rows = slice(lo, lo + CHUNK)
            vc = np.ascontiguousarray(v[rows] - mean_in.astype(v.dtype))
            uc = np.ascontiguousarray(u[rows] - mean_out.astype(u.dtype))
            w = None if sample_weight is None else sample_weight[rows]
            covariance += la.gram(vc, w)[:d, :d]
            cross += la.cross(vc, uc, w)[:d]
            variance_out += weight[rows] @ np.square(uc, dtype=np.float64)
        finite = np.isfinite(covariance).all() and np.isfinite(cross).all()
        if not (finite and np.isfinite(variance_out).all()):
            largest = max(np.abs(v).max(initial=0), np.abs(u).max(initial=0))
            raise ValueError(
                f"The inputs or outputs of a layer reach {largest:.2g}, and their products "
                f"overflow {v.dtype}. Divide the features (or targets) by a constant before "
                "training."
            )
        covariance = np.tril(covariance)
        covariance += np.tril(covariance, -1).T
        return cls(
            n_rows=int(np.count_nonzero(weight)),
            mean_in=mean_in,
            mean_out=mean_out,
            covariance=covariance / total,
            cross=cross / total,
            variance_out=variance_out / total,
        )

    @property
    def damping(self) -> float:
        """Relative ridge towards the old weights; it is larger if rows are few.

        A covariance of d inputs estimated from n rows has a relative error of about d / n, and the
        error is largest in its small eigenvalues.
        """
        return DAMPING * max(1.0, 40.0 * self.mean_in.size / max(self.n_rows, 1))

    def best_weight(self, old: Float, ridge: Float64) -> Float64:
        r"""Return the least-squares weights (d, m) with a ridge towards the old weights.

        .. math:: W = W_0 + (\mathrm{cov}(V) + \mathrm{diag}(r))^{-1}
                      (\mathrm{cov}(V, U) - \mathrm{cov}(V) W_0)
        """
        start = np.asarray(old, np.float64)
        residual = self.cross - self.covariance @ start
        system = SPDSystem(self.covariance.copy(), ridge)
        return start + np.asarray(system.solve(np.ascontiguousarray(residual)), np.float64)

    def best_intercept(self, weight: Float) -> Float64:
        """Return the intercept (m,) that removes the mean error of ``weight``."""
        intercept: Float64 = self.mean_out - self.mean_in @ np.asarray(weight, np.float64)
        return intercept

    def relative_error(self, weight: Float) -> float:
        """Return ||U - V W - b|| / ||U - mean U|| for the best intercept."""
        w = np.asarray(weight, np.float64)
        squares = np.einsum("ij,ij->", w, self.covariance @ w - 2 * self.cross)
        total = self.variance_out.sum()
        return float(np.sqrt(max(squares + total, 0.0) / max(total, np.finfo(float).tiny)))


def sensitivities(network: Network, x: Float, centre: bool) -> list[Float64]:
    r"""Return the sensitivity of the outputs to each pre-activation of each layer.

    .. math:: h_{l,i} = E \sum_k (\partial z_k / \partial u_{l,i})^2

    Parameters
    ----------
    network : Network
        The dense network.
    x : (n, d) array
        Inputs; only the first rows are used.
    centre : bool
        Whether to subtract the mean over k from the outputs. Adding a constant to all outputs of a
        softmax classifier does not change its predictions.

    Returns
    -------
    list of (n_out,) float64 arrays
        One array per layer; for a convolution, the mean over its positions. Cost: 2 n k d m flops
        per layer for k outputs.
    """
    n_outputs = network.layers[-1].weight.shape[1]
    n = max(100, SENSITIVITY_ROWS * 10 // max(n_outputs, 10))
    widest = max(layer.view.positions * max(layer.weight.shape) for layer in network.layers)
    x = x[: min(n, max(20, SENSITIVITY_SIZE // (n_outputs * widest)))]
    n = len(x)
    before: list[Float] = []
    v = x
    for layer in network.layers:
        before.append(layer.linear(v))
        v = layer.activate(before[-1])
    projection = np.eye(n_outputs, dtype=x.dtype)
    if centre and n_outputs > 1:
        projection -= x.dtype.type(1 / n_outputs)
    # One row for each sample and output, sample by sample.
    jacobian = np.tile(projection, (n, 1))
    found = []
    for layer, u in zip(network.layers[::-1], before[::-1], strict=True):
        each = u.reshape(n, -1)
        sigma = ALL_ACTIVATIONS[layer.activation]
        if layer.pool is not None:
            # Where sigma rises, the largest pre-activation gives the largest activation.
            ranked = each if sigma.by_value else sigma.value(each)
            jacobian = layer.pool.back(jacobian, np.repeat(ranked, n_outputs, axis=0))
        left, right = sigma.slopes(each)
        jacobian = jacobian.reshape(n, n_outputs, -1) * ((left + right) / 2)[:, None, :]
        by_unit = jacobian.reshape(-1, layer.weight.shape[1])
        found.append(np.einsum("ij,ij->j", by_unit, by_unit, dtype=np.float64) / len(u))
        if layer is not network.layers[0]:
            jacobian = layer.view.fold(by_unit @ layer.weight.to_dense().T)
    return found[::-1]


def explained_share(x: Float) -> float:
    """Return the share of each input's variance explained by the other inputs, averaged, 0 to 1.

    The squared multiple correlation of input j with all others is 1 - 1 / (G_jj [G^-1]_jj). The
    average is weighted by the variances. With few rows, inputs are partly explained by chance, so
    the unexplained share is multiplied by (n - 1) / (n - d) (Ezekiel's correction). The result is
    zero if there are no more rows than inputs that vary.
    """
    covariance = Moments.of(x, x[:, :0]).covariance
    variance = np.diag(covariance).copy()
    if not variance.max(initial=0.0) > 0:
        return 0.0
    alive = np.flatnonzero(variance > 1e-7 * variance.max())
    if len(x) <= alive.size:
        return 0.0
    gram = covariance[np.ix_(alive, alive)]
    gram[np.diag_indices_from(gram)] *= 1.001
    inverse = SPDSystem(gram.copy(), np.zeros(alive.size)).solve(np.eye(alive.size))
    left = float(np.average(1 / (np.diag(gram) * np.diag(inverse)), weights=variance[alive]))
    return max(0.0, 1.0 - left * (len(x) - 1) / (len(x) - alive.size))
