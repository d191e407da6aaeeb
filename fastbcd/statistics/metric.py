r"""The metric in which a layer's error is measured: what the data say about its weights.

Changing the weights of a layer by E changes its outputs on the data by V E. The squared
change, each output weighted by how much the network's result depends on it, is

.. math:: \|E\|^2 = \sum_i h_i \, e_i^T G e_i, \qquad G = V^T V / n + \text{ridge},

so that the Gram matrix G of the inputs and the sensitivities h are all that a scheme needs to
know of the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cholesky

from fastbcd.linalg import products as la
from fastbcd.linalg.eigen import all_eigenpairs
from fastbcd.utils.types import Float, Float64

FLOOR = 1e-7
"""An input whose variance is below this share of the largest says nothing; it counts as this."""

REACH = 5.0
"""Weights beyond this multiple of their root mean square, as the data see it, are huge."""


@dataclass(frozen=True)
class Metric:
    """A norm for (n_in, n_out) matrices.

    Parameters
    ----------
    gram : (n_in, n_in) float64 array
        Symmetric positive definite: covariance of the inputs plus a ridge.
    sensitivity : (n_out,) float64 array
        Positive weights of the outputs.
    """

    gram: Float64
    sensitivity: Float64

    @classmethod
    def of(
        cls, covariance: Float64, damping: float, sensitivity: Float64 | None, n_out: int
    ) -> Metric:
        """Damp ``covariance``, relative to each input's own variance.

        Parameters
        ----------
        covariance : (n_in, n_in) float64 array
            Symmetric positive semidefinite.
        damping : float
            Share of each input's variance that is added to it.
        sensitivity : (n_out,) float64 array or None
            Non-negative; None for ones. An output that nothing depends on gets a small weight,
            so that its weights remain determined.
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
        """Return what is added to the diagonal, (n_in,)."""
        variance = np.diag(covariance)
        largest = float(variance.max(initial=0.0))
        if not largest > 0:
            return np.full(variance.size, damping)
        return damping * np.maximum(variance, FLOOR * largest)

    @cached_property
    def searched(self) -> dict[tuple[int, ...], tuple[Float64, list[Float64]]]:
        """What was searched for in this metric, kept for the other schemes of the layer.

        By the identity of the target, which is held so that it remains one, and the amounts.
        """
        return {}

    @cached_property
    def input_scale(self) -> Float64:
        """Root of the diagonal of the Gram matrix, (n_in,)."""
        return np.sqrt(np.diag(self.gram))

    @cached_property
    def output_scale(self) -> Float64:
        """Root of the sensitivities, (n_out,)."""
        return np.sqrt(self.sensitivity)

    @cached_property
    def factor(self) -> Float64:
        """Upper triangular R with R'R = G, (n_in, n_in)."""
        upper: Float64 = cholesky(self.gram, lower=False, check_finite=False)
        return upper

    @cached_property
    def scaled_eigen(self) -> tuple[Float, Float]:
        """Eigenvalues and vectors, in float32, of the Gram matrix scaled to a unit diagonal.

        They only steer the search for a support, which is judged in float64 afterwards.
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
        """Return ``weight`` (n_in, n_out) with huge entries that the data hardly see made usual.

        Least squares may give an input that hardly varies a weight a hundred times as large as all
        others. A codebook or scale that is fitted to it would miss those. Entries beyond ``REACH``
        times the root mean square of the non-zeros, each weighted with the variance of its input
        and the sensitivity of its output, become that in size, unless their inputs vary so much
        that they count as such an entry of a usual input does.
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
        """Return R W H^{1/2}, whose plain squared norm is that of W in this metric."""
        whitened: Float64 = (self.factor @ np.asarray(weight, np.float64)) * self.output_scale
        return whitened
