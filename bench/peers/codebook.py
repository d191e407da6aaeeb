"""Few different numbers per layer: k-means on the weights, and GPTQ, from their formulas.

W is (n_in, n_out); H = X'X / n. A codebook belongs to the layer, or to each output. NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.peers.oneshot import Matrix, damped


@dataclass(frozen=True)
class Coded:
    """A matrix of few numbers: ``W_ji = levels[i, codes[j, i]]``.

    Attributes
    ----------
    levels : (n_out, 2^bits) array, or (1, 2^bits) for one codebook of the layer
        The numbers.
    codes : (n_in, n_out) array of small integers
        Which one each weight is.
    bits : int
        Bits of a code.
    """

    levels: Matrix
    codes: NDArray[np.uint8]
    bits: int

    def to_dense(self) -> Matrix:
        """Return the matrix."""
        return np.take_along_axis(np.broadcast_to(self.levels, self._full), self.codes.T, 1).T

    @property
    def _full(self) -> tuple[int, int]:
        return self.codes.shape[1], self.levels.shape[1]

    @property
    def n_bytes(self) -> int:
        """Bytes of packed codes and of the numbers as float32."""
        return -(-self.codes.size * self.bits // 8) + 4 * self.levels.size


def k_means_1d(values: Matrix, k: int, n_iter: int = 100) -> Matrix:
    """Return k sorted centres of numbers: Lloyd's iteration, the better of two starts.

    Even steps between the extremes (the best of Han et al., arXiv:1510.00149), and quantiles.
    """
    ordered = np.sort(values, axis=None)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    starts = (
        np.linspace(ordered[0], ordered[-1], k),
        np.quantile(ordered, (np.arange(k) + 0.5) / k),
    )
    found = [_lloyd(ordered, sums, centres, n_iter) for centres in starts]
    return min(found, key=lambda centres: _spread(ordered, sums, centres))


def _edges(ordered: Matrix, centres: Matrix) -> NDArray[np.intp]:
    cuts = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
    return np.concatenate([[0], cuts, [ordered.size]])


def _spread(ordered: Matrix, sums: Matrix, centres: Matrix) -> float:
    """Return the summed squares of the distances, less those of the numbers themselves."""
    edges = _edges(ordered, centres)
    return float(np.sum(np.diff(edges) * centres**2 - 2 * np.diff(sums[edges]) * centres))


def _lloyd(ordered: Matrix, sums: Matrix, centres: Matrix, n_iter: int) -> Matrix:
    for _ in range(n_iter):
        edges = _edges(ordered, centres)
        counts = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(counts, 1)
        moved = np.sort(np.where(counts > 0, means, centres))
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def nearest(values: Matrix, levels: Matrix) -> NDArray[np.uint8]:
    """Return the code of the nearest level, for one level row or one per value."""
    return np.asarray(np.abs(values[..., None] - levels).argmin(axis=-1), np.uint8)


def fitted_levels(weight: Matrix, bits: int, per_output: bool) -> Matrix:
    """Return the k-means levels of the layer, or of each output."""
    if not per_output:
        return k_means_1d(weight, 2**bits)[None]
    return np.array([k_means_1d(column, 2**bits) for column in weight.T])


def k_means(weight: Matrix, gram: Matrix, bits: int, per_output: bool = False) -> Coded:
    """Cluster the weights; every weight becomes the centre of its cluster."""
    levels = fitted_levels(weight, bits, per_output)
    codes = np.column_stack([
        nearest(column, levels[i if per_output else 0]) for i, column in enumerate(weight.T)
    ])  # fmt: skip
    return Coded(levels, codes, bits)


def uniform_levels(weight: Matrix, bits: int) -> Matrix:
    """Return the even grid between the smallest and the largest weight of each output."""
    low, high = np.minimum(weight.min(axis=0), 0), np.maximum(weight.max(axis=0), 0)
    return low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 2**bits)


def gptq(weight: Matrix, gram: Matrix, bits: int, levels: Matrix) -> Coded:
    """Round one input after the other, the later ones repair (GPTQ, arXiv:2210.17323).

    Inputs of large variance first (the authors' act-order).
    """
    order = np.argsort(-np.diag(gram), kind="stable")
    upper = np.linalg.cholesky(np.linalg.inv(damped(gram)[np.ix_(order, order)])).T
    work = weight[order].copy()
    codes = np.empty(weight.shape, np.uint8)
    for place, j in enumerate(order):
        codes[j] = nearest(work[place], levels)
        rounded = np.take_along_axis(np.broadcast_to(levels, (len(codes[j]), levels.shape[1])),
                                     codes[j][:, None], 1)[:, 0]  # fmt: skip
        error = (work[place] - rounded) / upper[place, place]
        work[place:] -= np.outer(upper[place, place:], error)
    return Coded(levels, codes, bits)


def gptq_k_means(weight: Matrix, gram: Matrix, bits: int) -> Coded:
    """Round by GPTQ to the k-means levels of each output."""
    return gptq(weight, gram, bits, fitted_levels(weight, bits, per_output=True))


def gptq_uniform(weight: Matrix, gram: Matrix, bits: int) -> Coded:
    """Round by GPTQ to an even grid for each output, as published."""
    return gptq(weight, gram, bits, uniform_levels(weight, bits))
