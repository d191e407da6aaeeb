r"""Steps within the tensor trains of given ranks.

The trains of given ranks form a manifold. A step of all weights mostly leads off it, and is lost
in the next projection: of the 78th part of the numbers a ninth of a random step is left. So the
step is projected on the tangent space of the train first (Lubich, Oseledets, Vandereycken, SIAM
Journal on Numerical Analysis 53, 2015), and its length is that of what is left. With
left-orthogonal cores U_k, and orthonormal rows Q_k that span those of the cores after k,

.. math:: P(Z) = \sum_{k<d} (U_{<k} \otimes (I - U_k U_k^T)) Z Q_k^T Q_k + U_{<d} U_{<d}^T Z .
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import qr

from fastbcd._types import Float


class TangentSpace:
    """The tangent space of a tensor train.

    Parameters
    ----------
    cores : sequence of (r_{k-1}, m_k, r_k) arrays
        The train.
    """

    def __init__(self, cores: Sequence[Float]) -> None:
        self._lefts, self._rows = _bases(cores)

    def project(self, step: Float) -> None:
        """Replace ``step``, a C-contiguous array of prod(m_k) entries, by its projection."""
        rest = step.reshape(-1)
        changes = []
        for left, row in zip(self._lefts, self._rows, strict=True):
            unfolding = rest.reshape(len(left), -1)
            rest = left.T @ unfolding
            changes.append(unfolding @ row.T - left @ (rest @ row.T))
        backwards = zip(self._lefts[::-1], self._rows[::-1], changes[::-1], strict=True)
        for left, row, change in backwards:
            rest = left @ rest.reshape(left.shape[1], -1) + change @ row
        step[...] = rest.reshape(step.shape)


def _bases(cores: Sequence[Float]) -> tuple[list[Float], list[Float]]:
    """Return orthonormal U_k (r_{k-1} m_k, r_k) and Q_k (r_k, m_{k+1} ..), k = 1 .. d - 1."""
    lefts: list[Float] = []
    carry = np.eye(1, dtype=cores[0].dtype)
    for core in cores[:-1]:
        turned = carry @ core.reshape(len(core), -1)
        left, carry = _qr(turned.reshape(-1, core.shape[2]))
        lefts.append(left)
    rows: list[Float] = []
    row = carry = np.eye(1, dtype=cores[0].dtype)
    for core in cores[:0:-1]:
        after = (core.reshape(-1, core.shape[2]) @ carry) @ row
        columns, triangle = _qr(after.reshape(len(core), -1).T)
        row, carry = np.ascontiguousarray(columns.T), triangle.T
        rows.insert(0, row)
    return lefts, rows


def _qr(matrix: Float) -> tuple[Float, Float]:
    factors: Any = qr(matrix, mode="economic", check_finite=False)
    q, r = factors
    return q, r
