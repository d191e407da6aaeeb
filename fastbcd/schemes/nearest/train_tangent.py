r"""Steps within the tensor trains of given ranks.

The trains of given ranks form a manifold. A step of all weights mostly leads off it, and is lost
in the next projection: of the 78th part of the numbers a ninth of a random step is left. So the
step is projected on the tangent space of the train first (Lubich, Oseledets, Vandereycken, SIAM
Journal on Numerical Analysis 53, 2015), and its length is that of what is left. With
left-orthogonal cores U_k, and orthonormal rows Q_k that span those of the cores after k,

.. math:: P(Z) = \sum_{k<d} (U_{<k} \otimes (I - U_k U_k^T)) Z Q_k^T Q_k + U_{<d} U_{<d}^T Z .

Back to the manifold it goes by half a sweep of alternating least squares with the Q_k that are
there (Holtz, Rohwedder, Schneider, SIAM Journal on Scientific Computing 34, 2012): of a tangent
step it loses no more than a multiple of its square, as a decomposition by singular values would,
and it costs a product for each core.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import qr

from fastbcd.formats.tensor_train import chain
from fastbcd.linalg import products as la
from fastbcd.utils.types import Float


class TangentSpace:
    """The tangent space of a tensor train.

    Parameters
    ----------
    cores : sequence of (r_{k-1}, m_k, r_k) arrays
        The train.
    """

    def __init__(self, cores: Sequence[Float]) -> None:
        cores = _without_squares(cores)
        self._lefts = _left_bases(cores)
        self._rows = _row_bases(cores)

    def project(self, step: Float) -> None:
        """Replace ``step``, a C-contiguous array of prod(m_k) entries, by its projection."""
        rest = step.reshape(-1)
        changes = []
        for left, row in zip(self._lefts, self._rows, strict=True):
            unfolding = rest.reshape(len(left), -1)
            rest = la.product(np.ascontiguousarray(left.T), unfolding)
            change = la.product(unfolding, row, transposed=True)
            change -= la.product(left, la.product(rest, row, transposed=True))
            changes.append(change)
        backwards = zip(self._lefts[::-1], self._rows[::-1], changes[::-1], strict=True)
        for left, row, change in backwards:
            rest = la.product(left, rest.reshape(left.shape[1], -1))
            la.add_product(rest, change, row)
        step[...] = rest.reshape(step.shape)

    def retract(self, weight: Float) -> list[Float]:
        """Return a train near ``weight``, which is a tangent step or so away from this one.

        Where the ranks bound nothing, its modes are those of this one multiplied.
        """
        cores = []
        rest, rank = weight.reshape(-1), 1
        for left, row in zip(self._lefts, self._rows, strict=True):
            unfolding = rest.reshape(len(left), -1)
            basis = np.ascontiguousarray(_qr(la.product(unfolding, row, transposed=True))[0])
            cores.append(basis.reshape(rank, -1, basis.shape[1]))
            rest, rank = la.product(np.ascontiguousarray(basis.T), unfolding), basis.shape[1]
        return [*cores, rest.reshape(rank, -1, 1)]


def _without_squares(cores: Sequence[Float]) -> list[Float]:
    """Multiply the square cores of both ends into their neighbours: they bound nothing."""
    kept = list(cores)
    while len(kept) > 1 and kept[0].shape[1] == kept[0].shape[2]:
        first, second = kept[:2]
        kept[:2] = [chain([first, second]).reshape(1, -1, second.shape[2])]
    while len(kept) > 1 and kept[-1].shape[0] == kept[-1].shape[1]:
        before, last = kept[-2:]
        kept[-2:] = [chain([before, last]).reshape(len(before), -1, 1)]
    return kept


def _left_bases(cores: Sequence[Float]) -> list[Float]:
    """Return orthonormal U_k (r_{k-1} m_k, r_k), k = 1 .. d - 1."""
    bases: list[Float] = []
    carry = np.eye(1, dtype=cores[0].dtype)
    for core in cores[:-1]:
        turned = carry @ core.reshape(len(core), -1)
        basis, carry = _qr(turned.reshape(-1, core.shape[2]))
        bases.append(np.ascontiguousarray(basis))
    return bases


def _row_bases(cores: Sequence[Float]) -> list[Float]:
    """Return orthonormal Q_k (r_k, m_{k+1} ..), k = 1 .. d - 1."""
    rows: list[Float] = []
    row = carry = np.eye(1, dtype=cores[0].dtype)
    for core in cores[:0:-1]:
        turned = (core.reshape(-1, core.shape[2]) @ carry).reshape(len(core), -1)
        columns, triangle = _qr(turned.T)
        carry = triangle.T
        # A product with orthonormal rows: what is orthonormal in its small factor stays so.
        before = np.ascontiguousarray(columns.T).reshape(-1, len(row))
        row = la.product(before, row).reshape(columns.shape[1], -1)
        rows.insert(0, row)
    return rows


def _qr(matrix: Float) -> tuple[Float, Float]:
    factors: Any = qr(matrix, mode="economic", check_finite=False)
    q, r = factors
    return q, r
