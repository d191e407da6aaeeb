r"""Incremental quadratic constraints of a network, and their exact Schur form.

For two inputs of a region let :math:`v = (\Delta x, \Delta z)` hold the differences of the inputs
and of the values of all units. A unit with slopes in :math:`[\alpha, \beta]` and a difference
:math:`p^T v` of its argument satisfies

.. math:: (\beta p^T v - \Delta z) (\Delta z - \alpha p^T v) \ge 0 ,

so that any quadratic form :math:`\sigma(v)` is bounded by

.. math:: \sigma(v) \le \rho |\Delta x|^2 \quad\text{if}\quad
   \sigma + 2 \sum_i \lambda_i (\beta_i p_i^T v - \Delta z_i)(\Delta z_i - \alpha_i p_i^T v)
   \preceq \rho |\Delta x|^2, \quad \lambda \ge 0 .

Let :math:`N` be the matrix on the left. For given multipliers the least rho is the largest
eigenvalue of :math:`G = N_{xx} - N_{xz} N_{zz}^{-1} N_{zx}`, provided that :math:`-N_{zz}` is
positive definite. Its derivative with respect to :math:`\lambda_i` is the constraint of unit i at
:math:`(w, -N_{zz}^{-1} N_{zx} w)` for the eigenvector w (Danskin's theorem). Units with a known
slope (:math:`\alpha = \beta`) are linear and leave the problem.

One evaluation costs :math:`n^3 / 3 + n^2 d + n d^2` multiply-adds for n units and d inputs, and the
largest eigenvalues of a d x d matrix. If there are more inputs than units of the first layer, an
orthonormal basis of its rows takes their place.

References
----------
M. Fazlyab, A. Robey, H. Hassani, M. Morari, G. J. Pappas, "Efficient and accurate estimation of
Lipschitz constants for deep neural networks", NeurIPS 2019.

N. Hashemi, J. Ruths, M. Fazlyab, "Certifying incremental quadratic constraints for neural networks
via convex optimization", L4DC 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastbcd.inspection.certificates.relaxation import Bounds
from fastbcd.inspection.certificates.slopes import slopes
from fastbcd.inspection.certificates.stages import Stages
from fastbcd.inspection.certificates.verified import UNIT, is_positive_definite
from fastbcd.linalg.eigen import largest_eigenpairs
from fastbcd.linalg.factorisations import reduced_qr, solve_upper, upper_cholesky
from fastbcd.utils.types import Float64


class Evaluation(NamedTuple):
    """The bound for some multipliers."""

    values: Float64
    """The largest eigenvalues of G, in ascending order: the last one is rho."""
    gradients: Float64
    """(k, n): the derivative of each of these eigenvalues with respect to each multiplier."""


@dataclass(frozen=True)
class Increments:
    """The differences of all units as functions of those of the inputs and of the free units.

    Parameters
    ----------
    arguments : (n, d + n) array
        The argument of each free unit, one of which the slope is not known, as a function of v.
    least, most : (n,) arrays
        Its slopes.
    layer : (n,) integer array
        The stage of each free unit.
    outputs : (m, d + n) array
        The outputs as functions of v.
    n_inputs : int
        d.
    argument_sizes, output_sizes : arrays
        The sums of the magnitudes of the terms of ``arguments`` and ``outputs``, however they
        cancel: rounding errors are relative to them.
    rounding : float
        Bound of these relative errors.
    """

    arguments: Float64
    least: Float64
    most: Float64
    layer: np.ndarray[tuple[int], np.dtype[np.intp]]
    outputs: Float64
    n_inputs: int
    argument_sizes: Float64
    output_sizes: Float64
    rounding: float

    @classmethod
    def of(cls, stages: Stages, bounds: Sequence[Bounds] | None) -> Increments:
        """Return the differences of a network, with slopes for ``bounds`` or for all arguments."""
        d = stages[0].matrix.shape[1]
        each = unit_slopes(stages, bounds)
        n = sum(int(np.sum(least < most)) for least, most in each)
        values = np.hstack([np.eye(d), np.zeros((d, n))])
        sizes = values
        arguments, argument_sizes, least_of, most_of, layer_of = [], [], [], [], []
        place = d
        for number, (stage, (least, most)) in enumerate(zip(stages, each, strict=True)):
            before, before_sizes = stage.matrix @ values, np.abs(stage.matrix) @ sizes
            free = np.flatnonzero(least < most)
            values, sizes = least[:, None] * before, np.abs(least)[:, None] * before_sizes
            for each_of in (values, sizes):
                each_of[free] = 0
                each_of[free, place + np.arange(len(free))] = 1
            place += len(free)
            arguments.append(before[free])
            argument_sizes.append(before_sizes[free])
            least_of.append(least[free])
            most_of.append(most[free])
            layer_of.append(np.full(len(free), number, np.intp))
        width = max(max(stage.matrix.shape) for stage in stages)
        return cls(
            np.vstack(arguments),
            np.concatenate(least_of),
            np.concatenate(most_of),
            np.concatenate(layer_of),
            values,
            d,
            np.vstack(argument_sizes),
            sizes,
            2 * len(stages) * (width + 2) * UNIT,
        )

    @property
    def n_units(self) -> int:
        """Number of free units."""
        return len(self.least)

    def reduced(self) -> Increments:
        """Return the same with fewer inputs, if what reads them spans a smaller space."""
        d = self.n_inputs
        rows = np.vstack([self.arguments[:, :d], self.outputs[:, :d]])
        used = rows[rows.any(axis=1)]
        if len(used) >= d or not len(used):
            return self
        basis, _ = reduced_qr(used.T)
        arguments = np.hstack([self.arguments[:, :d] @ basis, self.arguments[:, d:]])
        outputs = np.hstack([self.outputs[:, :d] @ basis, self.outputs[:, d:]])
        return Increments(
            arguments, self.least, self.most, self.layer, outputs, basis.shape[1],
            np.abs(arguments), np.abs(outputs), self.rounding,
        )  # fmt: skip

    def coupling(self, multipliers: Float64) -> Float64:
        """Return the matrix N of the units' constraints alone, (d + n, d + n)."""
        d, n = self.n_inputs, self.n_units
        p = self.arguments
        found = np.zeros((d + n, d + n))
        inner = -2 * self.least * self.most * multipliers
        if inner.any():
            found += p.T @ (inner[:, None] * p)
        cross = ((self.least + self.most) * multipliers)[:, None] * p
        found[d:] += cross
        found[:, d:] += cross.T
        place = d + np.arange(n)
        found[place, place] -= 2 * multipliers
        return found


def unit_slopes(stages: Stages, bounds: Sequence[Bounds] | None) -> list[tuple[Float64, Float64]]:
    """Return the slopes of the units of each stage, between bounds of their arguments if given."""
    found = []
    for number, stage in enumerate(stages):
        n = len(stage.bias)
        low, high = np.full(n, -np.inf), np.full(n, np.inf)
        if bounds is not None:
            low, high = bounds[number]
        parts = [slopes(name, low[a:b], high[a:b]) for name, a, b in stage.activations]
        least, most = (np.concatenate(side) for side in zip(*parts, strict=True))
        found.append((least, most))
    return found


class Bound:
    """rho as a function of the multipliers, for one quadratic form of inputs and outputs.

    Parameters
    ----------
    increments : Increments
        Of the network.
    supply : (d + n, d + n) array
        The quadratic form that is bounded.
    size : (d + n, d + n) array, optional
        The sums of the magnitudes of the terms of ``supply``. Without it nothing is verified.
    """

    def __init__(
        self, increments: Increments, supply: Float64, size: Float64 | None = None
    ) -> None:
        self.increments: Increments = increments
        self.supply: Float64 = supply
        self.size: Float64 | None = size

    def matrix(self, multipliers: Float64) -> Float64:
        """Return N."""
        return self.supply + self.increments.coupling(multipliers)

    def evaluate(self, multipliers: Float64, n_values: int = 1) -> Evaluation | None:
        """Return rho and its gradient, or None if the multipliers bound nothing.

        Parameters
        ----------
        multipliers : (n,) array
            Not negative.
        n_values : int, default=1
            How many of the largest eigenvalues to return.
        """
        own = self.increments
        d = own.n_inputs
        full = self.matrix(multipliers)
        schur = full[:d, :d]
        if own.n_units:
            try:
                upper = upper_cholesky(-full[d:, d:])
            except np.linalg.LinAlgError:
                return None
            inner = solve_upper(upper, full[d:, :d], transposed=True)
            schur = schur + inner.T @ inner
        if not np.isfinite(schur).all():
            return None
        found = largest_eigenpairs(schur, min(n_values, d))
        values, vectors = (np.asarray(part, np.float64) for part in found)
        if not own.n_units:
            return Evaluation(values, np.zeros((len(values), 0)))
        z = solve_upper(upper, inner @ vectors)
        argument = own.arguments @ np.vstack([vectors, z])
        least, most = own.least[:, None], own.most[:, None]
        gradients = 2 * (z - least * argument) * (most * argument - z)
        return Evaluation(values, gradients.T)

    def verified(self, multipliers: Float64, rho: float) -> float | None:
        """Return a value, hardly above ``rho``, that is proven to be a bound; None without proof.

        The proof is that rho |dx|^2 - N is positive definite, rounding of N included.
        """
        if self.size is None:
            return None
        own = self.increments
        d, n = own.n_inputs, own.n_units
        multipliers = np.maximum(multipliers, 0)
        full = self.matrix(multipliers)
        p = own.argument_sizes
        size = self.size.copy()
        inner = 2 * np.abs(own.least * own.most) * multipliers
        if inner.any():
            size += p.T @ (inner[:, None] * p)
        cross = (np.maximum(np.abs(own.least), np.abs(own.most)) * 2 * multipliers)[:, None] * p
        size[d:] += cross
        size[:, d:] += cross.T
        place = d + np.arange(n)
        size[place, place] += 2 * multipliers
        error = (3 * own.rounding + 4 * (n + len(own.outputs) + 4) * UNIT) * size
        inputs = np.arange(d)
        for digits in range(11, 1, -1):
            # rho may be negative, or nothing beside the constraints that it is the rest of.
            bound = rho + 10.0**-digits * max(abs(rho), 1e-30)
            shifted = -full
            shifted[inputs, inputs] += bound
            error[inputs, inputs] += 2 * UNIT * abs(bound)
            if is_positive_definite(shifted, error):
                return bound
        return None
