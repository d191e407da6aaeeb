r"""What inputs and neurons are worth: second-order prices, and the exact repair of what stays.

A unit is an input or a neuron. It leaves with its outgoing weights, row j of the weights W of the
layer that reads it, and with its own incoming weights. With the damped covariance A of that layer's
inputs and the curvature B = R R' of the loss in its pre-activations, the change W + D of the
weights raises the loss by 1/2 tr(D' A D B). The least rise with row j at zero is the price

.. math:: \frac{\| W_j R \|^2}{2\, [A^{-1}]_{jj}} ,

as in optimal brain surgeon (Hassibi and Stork, 1992) for a whole row at once. It is in units of the
loss, nats in a classification, in every layer, so that units of different layers compare. The least
price per weight saved goes first, and prices are updated exactly after each removal. The rows of
different layers are disjoint, so each layer has its own system; the removal of a neuron changes the
prices in the layer before it only in the next round.

An input that is read through several features, as the ramps of an encoding, leaves with all of
them, and a block of H takes the place of its diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import DenseMatrix
from fastbcd.linalg.eigen import all_eigenpairs
from fastbcd.linalg.factorisations import cholesky_inverse
from fastbcd.network.network import Network
from fastbcd.statistics.curvature import curvatures
from fastbcd.statistics.metric import Metric
from fastbcd.statistics.moments import Moments
from fastbcd.utils.types import Float, Float64

Index = NDArray[np.intp]

NEGLIGIBLE = 1e-7
"""Eigenvalues of B below this share of the largest are rounding: a number of the machine."""


class Row:
    """The units that one layer reads, and their prices.

    Parameters
    ----------
    weight : (d, m) array
        Weights of the layer.
    gram : (d, d) float64 array
        Damped covariance of its inputs.
    curvature : (m, m) float64 array
        B.
    groups : sequence of integer arrays
        Rows of the weights that belong to each unit, disjoint.
    """

    def __init__(
        self, weight: Float, gram: Float64, curvature: Float64, groups: Sequence[Index]
    ) -> None:
        values, vectors = all_eigenpairs(curvature)
        keep = values > NEGLIGIBLE * max(float(values[-1]), 0.0)
        root = vectors[:, keep] * np.sqrt(values[keep])
        self._passed: Float64 = weight.astype(np.float64) @ root
        self._inverse: Float64 = cholesky_inverse(gram)
        self._groups = list(groups)
        self._single = all(group.size == 1 for group in groups)
        self.alive: NDArray[np.bool_] = np.ones(len(self._groups), bool)
        # Rows of the arrays that are left, and units in their order where each has one row.
        self._rows = np.concatenate(self._groups) if self._groups else np.zeros(0, np.intp)
        if self._single:
            self._inverse = self._inverse[np.ix_(self._rows, self._rows)]
            self._passed = self._passed[self._rows]
            self._units = np.arange(len(self._groups))

    def prices(self) -> Float64:
        """Return the price of each unit; infinity for those that are gone."""
        found = np.full(len(self._groups), np.inf)
        if self._single:
            left = self.alive[self._units]
            squares = np.einsum("ij,ij->i", self._passed, self._passed)[left]
            found[self._units[left]] = squares / (2 * np.diag(self._inverse)[left])
            return found
        for unit in np.flatnonzero(self.alive):
            rows = self._groups[unit]
            passed = self._passed[rows]
            solved = cholesky_inverse(self._inverse[np.ix_(rows, rows)]) @ passed
            found[unit] = np.einsum("ij,ij->", passed, solved) / 2
        return found

    def remove(self, unit: int) -> None:
        """Remove a unit and move the other weights to where they repair most of it."""
        self.alive[unit] = False
        if not self._single:
            rows = self._groups[unit]
            block = self._inverse[np.ix_(rows, rows)]
            gain = self._inverse[:, rows] @ cholesky_inverse(block)
            self._passed -= gain @ self._passed[rows]
            self._inverse -= gain @ self._inverse[rows]
            return
        at = int(np.flatnonzero(self._units == unit)[0])
        column = self._inverse[:, at] / self._inverse[at, at]
        self._passed -= np.outer(column, self._passed[at])
        self._inverse -= np.outer(column, self._inverse[at])
        left = self.alive[self._units]
        if 4 * np.count_nonzero(left) < 3 * left.size:  # smaller arrays are faster
            self._inverse = self._inverse[np.ix_(left, left)]
            self._passed, self._units = self._passed[left], self._units[left]


@dataclass(frozen=True)
class Removed:
    """A network after removals.

    Parameters
    ----------
    network : Network
        As a function of all inputs or features: rows of the first weights are zero if their input
        is gone. Neurons are taken out.
    price : float
        Sum of the prices that were paid, in units of the loss.
    """

    network: Network
    price: float


def remove_units(
    network: Network,
    x: Float,
    loss: str,
    layers: Sequence[int],
    stays: Callable[[list[int]], bool],
    floors: Sequence[int],
    groups: Sequence[Index] | None = None,
    sample_weight: Float64 | None = None,
    n_curvature: int | None = None,
    worth: float = 1.0,
) -> Removed:
    """Return ``network`` without the units of least price per weight saved.

    Parameters
    ----------
    network : Network
        Dense layers that read whole rows.
    x : (n, d) array
        Rows that the prices are measured on.
    loss : {"softmax", "sigmoid", "squared"}
        What the outputs mean; see :func:`fastbcd.statistics.curvature.curvatures`.
    layers : sequence of int
        Layers whose inputs may go: 0 for the inputs of the network, l for the neurons of hidden
        layer l - 1.
    stays : callable
        Told the numbers of units of all layers, features that are left first; the removal ends
        once it returns True.
    floors : sequence of int
        Number of units of each layer that stay at least.
    groups : sequence of integer arrays, optional
        Features of each input; by default one each. Features without weights are gone already.
    sample_weight : (n,) float64 array, optional
        Weights of the rows.
    n_curvature : int, optional
        Rows that B is measured on; by default all.
    worth : float, default=1.0
        Factor of the prices of inputs. Later training recovers much of what a neuron was worth,
        and little of what an input was.

    Returns
    -------
    Removed
        The other weights of each layer are the least-squares repair, and the intercepts keep the
        mean pre-activations. Cost: O(d^3) for the inverse of a layer of d inputs and m outputs, and
        O(d (d + m)) for each removal.
    """
    dense = [layer.weight.to_dense() for layer in network.layers]
    if groups is None:
        groups = [np.array([j]) for j in range(dense[0].shape[0])]
    groups = [group for group in groups if dense[0][group].any()]
    some = slice(None) if n_curvature is None else slice(0, n_curvature)
    own = None if sample_weight is None else sample_weight[some]
    bent = curvatures(network, x[some], loss, own)
    rows: dict[int, Row] = {}
    grams: dict[int, Float64] = {}
    means: dict[int, Float64] = {}
    v = x
    for index, layer in enumerate(network.layers):
        if index in layers:
            seen = Moments.of(v, v[:, :0], sample_weight)
            gram = seen.covariance.copy()
            gram[np.diag_indices_from(gram)] += Metric.ridge(seen.covariance, seen.damping)
            own_groups = groups if index == 0 else [np.array([j]) for j in range(len(gram))]
            rows[index] = Row(dense[index], gram, bent[index], own_groups)
            grams[index], means[index] = gram, seen.mean_in
        if index + 1 < len(dense):
            v = layer.forward(v)
    sizes = np.array([group.size for group in groups])
    widths = [int(sizes.sum()), *(w.shape[1] for w in dense)]
    counts = [len(groups), *widths[1:-1]]
    prices = {index: row.prices() for index, row in rows.items()}
    paid = 0.0
    while not stays(widths):
        best: tuple[float, int, int] | None = None
        for index, price in prices.items():
            if counts[index] <= max(1, floors[index]):
                continue
            each = widths[1] if index == 0 else widths[index - 1] + widths[index + 1]
            rate = worth * price / (each * sizes) if index == 0 else price / each
            unit = int(np.argmin(rate))
            if best is None or rate[unit] < best[0]:
                best = float(rate[unit]), index, unit
        if best is None:
            break
        _, index, unit = best
        paid += float(prices[index][unit])
        rows[index].remove(unit)
        prices[index] = rows[index].prices()
        counts[index] -= 1
        widths[index] -= int(sizes[unit]) if index == 0 else 1
    left: dict[int, Index] = {}
    for index, row in rows.items():
        if row.alive.all():
            continue
        kept = np.flatnonzero(row.alive)
        if index == 0:
            kept = np.sort(np.concatenate([groups[unit] for unit in kept]))
        left[index] = kept
    return Removed(_without(network, dense, left, grams, means), paid)


def _without(
    network: Network,
    dense: Sequence[Float],
    left: dict[int, Index],
    grams: dict[int, Float64],
    means: dict[int, Float64],
) -> Network:
    """Return ``network`` with the units ``left``, the weights repaired."""
    layers = list(network.layers)
    for index, layer in enumerate(layers):
        weight, intercept = dense[index], layer.intercept
        if index in left:
            kept = left[index]
            repaired = repair(weight, grams[index], kept)
            moved = weight.astype(np.float64)
            moved[kept] -= repaired
            intercept = (intercept + means[index] @ moved).astype(intercept.dtype)
            if index == 0:
                weight = np.zeros_like(weight)
                weight[kept] = repaired
            else:
                weight = repaired.astype(weight.dtype)
        if index + 1 in left:
            weight, intercept = weight[:, left[index + 1]], intercept[left[index + 1]]
        stored = DenseMatrix(np.ascontiguousarray(weight))
        layers[index] = replace(layer, weight=stored, intercept=np.ascontiguousarray(intercept))
    return Network(layers)


def repair(weight: Float, gram: Float64, kept: Index) -> Float64:
    """Return the rows ``kept`` of the weights that best replace all of them, (k, m).

    They minimise tr(D' A D B) for every B, with the damped covariance A = ``gram``.
    """
    gone = np.ones(len(gram), bool)
    gone[kept] = False
    start = weight[kept].astype(np.float64)
    lost = gram[np.ix_(kept, gone)] @ weight[gone].astype(np.float64)
    fixed: Float64 = start + cholesky_inverse(gram[np.ix_(kept, kept)]) @ lost
    return fixed
