r"""Views, which map the input of a layer to the rows its weights multiply; the dense view.

A view is a linear map A from a row v of activations to p rows that the weights multiply,
Z = A(v) W + b. A dense layer has p = 1. Solvers access the inputs of a layer only through its view:
for products, for the Gram matrix and the cross product of the W-step, and for the V-step, which
minimises

.. math:: \frac{\gamma}{2} \|V - s\|^2 + \frac{\rho}{2} \|A(V) W + b - U\|^2

with s = sigma(U) of the layer before. The views of convolutions are in
:mod:`fastbcd.network.layers.patches`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from fastbcd.linalg import products as la
from fastbcd.network.layers.row_step import ActivationSystem
from fastbcd.utils.types import Float, Float64


class View(ABC):
    """The interface of a view."""

    @property
    def n_inputs(self) -> int | None:
        """Number of entries of an input row, or None for as many as the weights have rows."""
        return None

    @property
    def n_params(self) -> int:
        """Number of parameters of the view itself."""
        return 0

    @property
    def n_bytes(self) -> int:
        """Size in bytes of the arrays of the view itself."""
        return 0

    @property
    def flops(self) -> int:
        """Floating-point operations per row of the view itself, before any product."""
        return 0

    @property
    @abstractmethod
    def positions(self) -> int:
        """Number of rows p that the weights multiply for one input row."""

    @abstractmethod
    def rows(self, v: Float) -> Float:
        """Return A(v), (n * p, k), for activations (n, d)."""

    @abstractmethod
    def fold(self, rows: Float) -> Float:
        """Return A'(rows), (n, d), with the adjoint A' of A."""

    @abstractmethod
    def linear(self, v: Float, weight: Float, bias: Float, out: Float) -> Float:
        """Write A(v) W + b into ``out`` (n, p * m) and return it."""

    @abstractmethod
    def subtract_product(self, v: Float, weight: Float, out: Float) -> Float:
        """Subtract A(v) W from ``out`` (n, p * m) and return it."""

    @abstractmethod
    def gram(self, v: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return [A(v) 1]' S [A(v) 1]; see :func:`fastbcd.linalg.products.gram`."""

    @abstractmethod
    def square_sum(self, v: Float, sample_weight: Float64) -> float:
        """Return the weighted sum of squares of A(v)."""

    @abstractmethod
    def cross(self, v: Float, u: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return [A(v) 1]' S u, (k + 1, m), for ``u`` (n, p * m)."""

    @abstractmethod
    def pull_back(self, u: Float, weight: Float) -> Float:
        """Return A'(u W'), (n, d), for ``u`` (n, p * m)."""

    @abstractmethod
    def solve_activation(
        self, new: Float, miss: Float, old: Float, weight: Float, ratio: float, residual: Float
    ) -> None:
        """Perform the V-step: ``new`` changes from s to V, ``residual`` becomes U - A(V) W - b.

        Parameters
        ----------
        new : (n, d) array
            Contains s; overwritten with the new V.
        miss : (n, p * m) array
            U - b of the layer with this view; destroyed.
        old : (n, d) array
            V before the step.
        weight : (k, m) array
            W of the layer with this view.
        ratio : float
            gamma / rho.
        residual : (n, p * m) array
            Overwritten with U - A(V) W - b.
        """


@dataclass(frozen=True, repr=False)
class WholeRow(View):
    """The view of a dense layer: the row itself.

    Instances compare equal: pickle and deepcopy may create new ones.
    """

    @property
    def positions(self) -> int:
        """The number of rows p, which is 1."""
        return 1

    def rows(self, v: Float) -> Float:
        """Return ``v``."""
        return v

    def fold(self, rows: Float) -> Float:
        """Return ``rows``."""
        return rows

    def linear(self, v: Float, weight: Float, bias: Float, out: Float) -> Float:
        """Write ``v @ weight + bias`` into ``out``."""
        return la.linear(v, weight, bias, out)

    def subtract_product(self, v: Float, weight: Float, out: Float) -> Float:
        """Subtract ``v @ weight`` from ``out``."""
        return la.add_product(out, v, weight, -1.0)

    def gram(self, v: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return [v 1]' S [v 1]."""
        return la.gram(v, sample_weight, wide)

    def square_sum(self, v: Float, sample_weight: Float64) -> float:
        """Return the weighted sum of squares of ``v``."""
        return float(sample_weight @ np.sum(np.square(v), axis=1, dtype=np.float64))

    def cross(self, v: Float, u: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return [v 1]' S u."""
        return la.cross(v, u, sample_weight, wide)

    def pull_back(self, u: Float, weight: Float) -> Float:
        """Return ``u @ weight.T``."""
        return la.product(u, weight, transposed=True)

    def solve_activation(
        self, new: Float, miss: Float, old: Float, weight: Float, ratio: float, residual: Float
    ) -> None:
        """Perform the V-step, V = s + (U - b - s W) K; see ``fastbcd.network.layers.row_step``."""
        system = ActivationSystem(weight, ratio)
        shrinkage = system.shrinkage()
        if shrinkage is None:
            residual[...] = miss
            self.subtract_product(new, weight, miss)
            la.add_product(new, miss, system.gain())
            self.subtract_product(new, weight, residual)
        else:
            self.subtract_product(new, weight, miss)
            la.symmetric_product(miss, shrinkage, residual)
            la.add_product(new, residual, weight, 1 / ratio, transposed=True)

    def __repr__(self) -> str:
        return "WHOLE_ROW"


WHOLE_ROW = WholeRow()
