r"""The running covariance of the inputs of a stream, and the ridge solve with it.

With S the covariance and :math:`\lambda` its ridge, few columns are solved for exactly. For many,
only the k largest eigenpairs (s, V) of S are told apart from zero:

.. math:: (S + \lambda I)^{-1} \approx \tfrac1\lambda \big(I - V \mathrm{diag}(\tfrac{s}{s +
          \lambda}) V^T\big) .

What is neglected is small: the ridge is half of the variance of a typical strong direction, and few
directions are as strong.
"""

from __future__ import annotations

import numpy as np

from fastbcd.linalg import batch_products as blas
from fastbcd.linalg.eigen import all_eigenpairs
from fastbcd.statistics.inputs import MANY
from fastbcd.utils.types import Float, Float64

EXACT = 256
"""Number of columns up to which the inverse is computed. Its cost sets this number."""

STRONG = 64
"""Number of eigenpairs beyond. Their cost sets this number."""

ROUNDS = 8
"""Rounds of the first subspace iteration; one is enough once the last subspace is known."""


class Metric:
    """S and S + lambda I.

    Parameters
    ----------
    d : int
        Number of columns.
    damping : float
        lambda relative to tr(S^2) / tr(S).
    rng : Generator
        Where the first subspace comes from.

    Attributes
    ----------
    mean, gram : arrays
        Means and second moments of u, float32; of many columns only the diagonal, (d,), else the
        lower triangle.
    turn : (d,) array
        The gradient of half the squared weights of raw rows, relative to the weights.
    """

    def __init__(self, d: int, damping: float, rng: np.random.Generator) -> None:
        self.damping = damping
        self.total = 0.0
        self.mean: Float = np.zeros(d, np.float32)
        self.gram: Float = np.zeros((d, d) if d <= MANY else d, np.float32)
        self.turn: Float = np.ones(d, np.float32)
        self._rng = rng
        self._vectors: Float = np.zeros((d, 0), np.float32)
        self._rows: Float = np.zeros((0, d), np.float32)
        self._strength: Float = np.zeros(0, np.float32)
        self._matrix = self._inverse = np.zeros((0, 0), np.float32)
        self._diagonal: Float = np.ones(d, np.float32)
        self._ridge = 1.0

    @property
    def trace(self) -> float:
        """Total second moment of the inputs."""
        return float((np.diag(self.gram) if self.gram.ndim == 2 else self.gram).sum())

    def own_arrays(self) -> None:
        """Replace read-only arrays, such as joblib's memory maps, by copies."""
        if not self.gram.flags.writeable:
            self.gram = self.gram.copy()

    def add(self, u: Float, weight: Float, most: float) -> None:
        """Count rows in, and forget what is older than ``most`` rows."""
        n = float(weight.sum(dtype=np.float64))
        if n <= 0:
            return
        self.total = min(self.total, max(most - n, 0.0)) + n
        share = n / self.total
        self.mean = self.mean + np.float32(share) * (weight @ u / np.float32(n) - self.mean)
        left = u if np.all(weight == 1) else u * np.sqrt(weight)[:, None]
        if self.gram.ndim == 1:
            self.gram += np.float32(share) * (np.square(left).sum(axis=0) / n - self.gram)
        else:
            blas.decay_and_add_gram(self.gram, 1 - share, left, share / n)

    def change(self, shift: Float64, ratio: Float64, fresh: Float64, unit: Float64) -> None:
        """Express the moments in another frame.

        Parameters
        ----------
        shift : (d,) array
            By how much the origin moves, in old units.
        ratio : (d,) array
            New units over old ones.
        fresh : (d,) array
            Variance of the columns that vary only now, in new units; zero for others.
        unit : (d,) array
            The new units.
        """
        mean = self.mean.astype(np.float64)
        if self.gram.ndim == 1:
            squares = (self.gram - 2 * mean * shift + shift**2) / ratio**2 + fresh
            self.gram = squares.astype(np.float32)
        else:
            gram = blas.symmetric(self.gram)
            cross = np.outer(mean, shift)
            gram += np.outer(shift, shift) - cross - cross.T
            gram /= np.outer(ratio, ratio)
            gram[np.diag_indices_from(gram)] += fresh
            self.gram = gram.astype(np.float32)
        self.mean = ((mean - shift) / ratio).astype(np.float32)
        self.turn = np.square(1 / unit).astype(np.float32)

    def refresh(self) -> None:
        """Renew the ridge solve."""
        if self.gram.ndim == 1:
            variance = np.maximum(self.gram - np.square(self.mean), 0)
            self._ridge = self._ridge_for(float(variance @ variance), float(variance.sum()))
            self._diagonal = variance + np.float32(self._ridge)
            return
        c = self.gram if len(self.mean) > EXACT else blas.symmetric(self.gram)
        if len(self.mean) > EXACT:
            c = np.tril(c)
            c += np.tril(c, -1).T
        c -= np.outer(self.mean, self.mean)
        self._ridge = self._ridge_for(float(np.vdot(c, c)), float(np.trace(c)))
        if len(c) <= EXACT:
            c[np.diag_indices_from(c)] += self._ridge
            self._matrix = c.astype(np.float32)
            self._inverse = blas.spd_inverse(c).astype(np.float32)
            return
        v, rounds = self._vectors, 2
        if not v.size:
            v, rounds = self._rng.standard_normal((len(c), STRONG)).astype(np.float32), ROUNDS
        image, c = np.empty_like(v), np.ascontiguousarray(c)
        for _ in range(rounds):
            v = _orthonormal(blas.product(c, np.ascontiguousarray(v), image))
        small = (v.T @ blas.product(c, v, image)).astype(np.float64)
        s, turn = all_eigenpairs((small + small.T) / 2)
        self._vectors = np.ascontiguousarray(v @ turn.astype(np.float32))
        self._rows = np.ascontiguousarray(self._vectors.T)
        self._strength = np.maximum(s, 0).astype(np.float32)

    def _ridge_for(self, square: float, trace: float) -> float:
        ridge = self.damping * square / trace if trace > 0 else 1.0
        if not np.isfinite(ridge):
            raise np.linalg.LinAlgError("The statistics of the inputs are not finite.")
        return ridge + 1e-6 * max(trace, 0.0) + 1e-12

    def solve_rows(self, u: Float) -> Float:
        """Return (u - mean) (S + lambda I)^-1 for rows ``u`` (n, d).

        The step of the first layer is its product with the targets. It costs less than to solve for
        that product, which has as many columns as the layer has units.
        """
        return self._solved(u - self.mean)

    def solve(self, matrix: Float) -> Float:
        """Return (S + lambda I)^-1 ``matrix``, (d, h)."""
        return np.ascontiguousarray(self._solved(np.ascontiguousarray(matrix.T)).T)

    def _solved(self, u: Float) -> Float:
        """Return u (S + lambda I)^-1; may overwrite ``u``."""
        if self.gram.ndim == 1:
            u /= self._diagonal
            return u
        if u.shape[1] <= EXACT:
            return blas.product(u, self._inverse, np.empty_like(u))
        part = blas.product(u, self._vectors, np.empty((len(u), STRONG), np.float32))
        part *= self._strength / (self._strength + np.float32(self._ridge))
        u -= blas.product(part, self._rows, np.empty_like(u))
        u *= np.float32(1 / self._ridge)
        return u

    def norm(self, weight: Float) -> float:
        """Return tr W'(S + lambda I) W."""
        if self.gram.ndim == 1:
            return float(self._diagonal @ np.square(weight).sum(axis=1))
        if len(weight) <= EXACT:
            image = blas.product(self._matrix, weight, np.empty_like(weight))
            return float(np.vdot(weight, image))
        part = blas.cross_product(
            self._vectors, weight, 1.0,
            np.empty((len(self._strength), weight.shape[1]), np.float32),
        )  # fmt: skip
        strong = float(self._strength @ np.square(part).sum(axis=1))
        return self._ridge * blas.squared_norm(weight) + strong


def _orthonormal(v: Float) -> Float:
    """Return an orthonormal basis of the columns of ``v``; zeros for what rounding hides."""
    s, turn = all_eigenpairs((v.T @ v).astype(np.float64))
    root = np.where(s > 1e-6 * s[-1], 1 / np.sqrt(np.maximum(s, 1e-300)), 0.0)
    return np.ascontiguousarray(v @ (turn * root).astype(np.float32))
