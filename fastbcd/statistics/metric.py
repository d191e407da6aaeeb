r"""The metric for the error of a layer's weights, derived from the data.

If the weights of a layer change by E, its outputs on the data change by V E. The squared change,
with each output weighted by the sensitivity of the network's result to it, is

.. math:: \|E\|^2 = \sum_i h_i \, e_i^T G e_i, \qquad G = V^T V / n + \text{ridge},

where e_i is column i of E. A scheme needs no other statistics of the data than the Gram matrix G of
the inputs and the sensitivities h.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastbcd.linalg import products as la
from fastbcd.linalg.eigen import all_eigenpairs
from fastbcd.linalg.factorisations import upper_cholesky
from fastbcd.utils.types import Float, Float64

FLOOR = 1e-7
"""Lower bound of the variances used for the ridge, relative to the largest variance."""

REACH = 5.0
"""Weights above this multiple of the weighted root mean square are treated as outliers."""


@dataclass(frozen=True)
class Metric:
    """A norm for (n_in, n_out) matrices.

    Parameters
    ----------
    gram : (n_in, n_in) float64 array
        Symmetric positive definite: covariance of the inputs plus a ridge.
    sensitivity : (n_out,) float64 array
        Positive weight of each output.
    """

    gram: Float64
    sensitivity: Float64

    @classmethod
    def of(
        cls, covariance: Float64, damping: float, sensitivity: Float64 | None, n_out: int
    ) -> Metric:
        """Return the metric of ``covariance`` plus a ridge relative to the variances.

        Parameters
        ----------
        covariance : (n_in, n_in) float64 array
            Symmetric positive semidefinite.
        damping : float
            Ridge, as a share of each input's variance.
        sensitivity : (n_out,) float64 array or None
            Non-negative; None for ones. Values below 1e-4 of the maximum are raised to it, so that
            the weights of unused outputs remain determined.
        n_out : int
            Number of outputs.
        """
        gram = covariance.copy()
        gram[np.diag_indices_from(gram)] += cls.ridge(covariance, damping)
        if sensitivity is None or not sensitivity.max() > 0:
            return cls(gram, np.ones(n_out))
        bounded = np.maximum(sensitivity, 1e-4 * sensitivity.max())
        return cls(gram, bounded / bounded.mean())

    @staticmethod
    def ridge(covariance: Float64, damping: float) -> Float64:
        """Return the ridge that is added to the diagonal, (n_in,)."""
        variance = np.diag(covariance)
        largest = float(variance.max(initial=0.0))
        if not largest > 0:
            return np.full(variance.size, damping)
        return damping * np.maximum(variance, FLOOR * largest)

    @cached_property
    def searched(self) -> dict[tuple[int, ...], tuple[Float64, list[Float64]]]:
        """Cache of search results in this metric, shared by the schemes of the layer.

        The keys are the id of the target and the amounts. The values hold the target, so that its
        id is not reused.
        """
        return {}

    @cached_property
    def input_scale(self) -> Float64:
        """Square root of the diagonal of the Gram matrix, (n_in,)."""
        return np.sqrt(np.diag(self.gram))

    @cached_property
    def output_scale(self) -> Float64:
        """Square root of the sensitivities, (n_out,)."""
        return np.sqrt(self.sensitivity)

    @cached_property
    def factor(self) -> Float64:
        """Upper triangular R with R'R = G, (n_in, n_in)."""
        return upper_cholesky(self.gram)

    @cached_property
    def scaled_eigen(self) -> tuple[Float, Float]:
        """Eigenvalues and eigenvectors, in float32, of the Gram matrix scaled to a unit diagonal.

        They only guide the search for a support; the support is evaluated in float64.
        """
        scaled = self.gram / np.outer(self.input_scale, self.input_scale)
        values, vectors = all_eigenpairs(scaled.astype(np.float32))
        floor = np.finfo(np.float32).eps * values[-1]
        return np.maximum(values, floor), np.ascontiguousarray(vectors)

    def error(self, difference: Float) -> float:
        """Return the squared norm of ``difference`` (n_in, n_out)."""
        e = np.asarray(difference, np.float64)
        return float(np.einsum("ij,ij,j->", e, la.product(self.gram, e), self.sensitivity))

    def seen(self, weight: Float64) -> Float64:
        """Return ``weight`` (n_in, n_out) with large entries of low-variance inputs clipped.

        Least squares may give an almost constant input a weight a hundred times as large as all
        others. A codebook or scale fitted to this weight would not fit the others. Let r be the
        root mean square of the non-zeros, weighted by input variance and output sensitivity.
        Entries above ``REACH * r`` in size are clipped to r. They are kept if their size times the
        standard deviation of their input, relative to the root mean variance of all inputs, is also
        above ``REACH * r``.
        """
        variance = np.diag(self.gram)
        present = (weight != 0).astype(np.float64)
        mass = max(float(variance @ present @ self.sensitivity), np.finfo(np.float64).tiny)
        usual = np.sqrt(float(variance @ np.square(weight) @ self.sensitivity) / mass)
        size = np.abs(weight)
        effect = size * np.sqrt(variance / variance.mean())[:, None]
        hidden = (size > REACH * usual) & (effect <= REACH * usual)
        return np.where(hidden, np.copysign(usual, weight), weight)

    def whiten(self, weight: Float) -> Float64:
        """Return R W H^{1/2}; its squared Frobenius norm is the squared norm of W here."""
        whitened: Float64 = (self.factor @ np.asarray(weight, np.float64)) * self.output_scale
        return whitened
