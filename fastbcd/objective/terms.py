r"""The objective of NN-BCD and its terms.

.. math:: F = \sum_i s_i \Big[ R(v_{L,i}; y_i)
    + \sum_l \frac{\rho}{2} \|u_{l,i} - v_{l-1,i} W_l - b_l\|^2
    + \frac{\gamma}{2} \|v_{l,i} - \sigma_l(u_{l,i})\|^2 \Big]
    + \sum_{l \in C} \frac{\tau}{2} \|W_l - T(G_l)\|^2
    + \sum_l \tfrac12 \mathrm{tr}\, W_l^T \Lambda_l W_l

The objective is that of arXiv 2303.06815 with sample weights s, intercepts b and an L2 penalty with
diagonal Lambda, zero by default. Samples are rows. The penalty is one of the blocks W and not of
the copies T(G): a copy follows from its W by a projection, which knows no penalty.

Every term is computed from the blocks alone, so it verifies the quantities that the solver updates
incrementally.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fastbcd.formats import Format
from fastbcd.linalg import products as la
from fastbcd.network.layers.activations import ExactActivation
from fastbcd.network.layers.patches import View
from fastbcd.network.losses.losses import Loss
from fastbcd.parallel.row_threads import share
from fastbcd.utils.types import Float, Float64


@dataclass(frozen=True)
class Penalties:
    r"""Weights of the terms of F, and of the proximal terms in the block steps.

    Parameters
    ----------
    rho : float
        Weight of ``||U_l - V_{l-1} W_l - b_l||^2 / 2``.
    gamma : float
        Weight of ``||V_l - sigma(U_l)||^2 / 2``.
    tau : float, or one per layer
        Weight of ``||W_l - T(G_l)||^2 / 2``.
    proximal : float
        Weight of the proximal terms ``||block - old block||^2 / 2`` in the steps of the
        pre-activations, the weights and the output. With it, each step decreases F by at least
        ``proximal/2`` times the squared length of the step, even where F is not convex.
    """

    rho: float
    gamma: float
    tau: float | tuple[float, ...]
    proximal: float

    def tau_of(self, index: int) -> float:
        """Return tau of layer ``index``."""
        return self.tau[index] if isinstance(self.tau, tuple) else self.tau


class Projection(Protocol):
    """The part of a scheme that the objective needs: projection of a weight matrix."""

    def project(self, weight: Float, warm: Format | None = None) -> Format:
        """Return the compressed matrix nearest, or nearly nearest, to ``weight`` (n_in, n_out)."""
        ...


@dataclass(frozen=True)
class Problem:
    """Data and settings that are fixed during a fit.

    Parameters
    ----------
    x : (n, n_in) array
        Inputs.
    y : (n, n_out) array
        Targets: values or class indicators.
    sample_weight : (n,) float64 array
        Sample weights s.
    loss : Loss
        The loss R.
    activations : list of ExactActivation
        One per layer; the identity for the output layer.
    views : sequence of View
        View of its input for each layer: whole rows or patches.
    schemes : sequence of Projection or None
        One per layer; None leaves a layer dense.
    penalties : Penalties
        Weights of the terms.
    l2 : sequence of float or (n_in,) array
        For each layer, the weights of half the squared entries of W: one, or one for each row of W.
        Empty without an L2 penalty.
    """

    x: Float
    y: Float
    sample_weight: Float64
    loss: Loss
    activations: list[ExactActivation]
    views: Sequence[View]
    schemes: Sequence[Projection | None]
    penalties: Penalties
    l2: Sequence[float | Float64] = ()

    def l2_of(self, index: int) -> Float64 | None:
        """Return the L2 penalties of the rows of W, (n_in,) or (1,); None if there are none."""
        return np.atleast_1d(np.asarray(self.l2[index], np.float64)) if self.l2 else None

    @property
    def unit_weights(self) -> bool:
        """Whether all sample weights are 1."""
        return bool(np.all(self.sample_weight == 1))


@dataclass
class Blocks:
    """The variables of one layer.

    Parameters
    ----------
    weight : (n_in, n_out) array
        W.
    intercept : (n_out,) array
        b.
    residual : (n, n_out) array
        U - V_prev W - b. The solver keeps it up to date except during the step of W and b. In a
        convolution, W (k, m) multiplies the patches of V_prev, and a row has m entries per patch.
    pre : (n, n_out) array
        U.
    act : (n, n_out) array
        V; it has fewer columns if the activation includes pooling.
    compressed : Format or None
        G, the compressed copy of W.
    target : (n_in, n_out) array or None
        T(G), the compressed copy of W as a dense array.
    """

    weight: Float
    intercept: Float
    residual: Float
    pre: Float
    act: Float
    compressed: Format | None = None
    target: Float | None = None


@dataclass
class Terms:
    """The terms of F, each multiplied by its weight.

    Parameters
    ----------
    loss : float
        Weighted loss R over all samples.
    linear : list of float
        rho/2 ||U_l - V_{l-1} W_l - b_l||^2 by layer.
    activation : list of float
        gamma/2 ||V_l - sigma(U_l)||^2 by layer.
    compression : list of float
        tau/2 ||W_l - T(G_l)||^2 by layer.
    l2 : list of float
        The L2 penalty by layer; empty without one.
    """

    loss: float
    linear: list[float]
    activation: list[float]
    compression: list[float]
    l2: list[float] = field(default_factory=list)

    @property
    def total(self) -> float:
        """F."""
        fitted = self.loss + sum(self.linear) + sum(self.activation)
        return fitted + sum(self.compression) + sum(self.l2)

    def total_under(self, new: Penalties, old: Penalties) -> float:
        """F at the same point with penalties ``new``; the terms were computed with ``old``."""
        linear = sum(self.linear) * _ratio(new.rho, old.rho)
        activation = sum(self.activation) * _ratio(new.gamma, old.gamma)
        compression = sum(
            term * _ratio(new.tau_of(index), old.tau_of(index))
            for index, term in enumerate(self.compression)
        )
        return self.loss + linear + activation + compression + sum(self.l2)


def _ratio(new: float, old: float) -> float:
    return new / old if old else 1.0


def layer_input(problem: Problem, blocks: list[Blocks], index: int) -> Float:
    """Return V of the layer before ``index``; the inputs of the network for the first layer."""
    return problem.x if index == 0 else blocks[index - 1].act


def input_scale(problem: Problem, blocks: list[Blocks], index: int) -> float:
    """Return the mean diagonal entry of V'SV for the inputs V of layer ``index``."""
    v = layer_input(problem, blocks, index)
    return problem.views[index].square_sum(v, problem.sample_weight) / len(blocks[index].weight)


def without_intercept(block: Blocks, out: Float) -> Float:
    """Write U - b of a layer into ``out`` and return it."""
    units = block.intercept.size
    pre, miss = block.pre.reshape(-1, units), out.reshape(-1, units)
    share(lambda rows: np.subtract(pre[rows], block.intercept, out=miss[rows]), len(pre))
    return out


def residual(problem: Problem, blocks: list[Blocks], index: int, out: Float | None = None) -> Float:
    """Return U - V_prev W - b of layer ``index``, written into ``out`` if given."""
    block = blocks[index]
    out = without_intercept(block, np.empty_like(block.pre) if out is None else out)
    v = layer_input(problem, blocks, index)
    return problem.views[index].subtract_product(v, block.weight, out)


def linear_term(
    problem: Problem, blocks: list[Blocks], index: int, out: Float | None = None
) -> float:
    """Compute rho/2 ||U - V_prev W - b||^2 from the blocks; ``out`` receives the residual."""
    miss = residual(problem, blocks, index, out)
    return 0.5 * problem.penalties.rho * la.squared_norm(miss, problem.sample_weight)


def activation_term(problem: Problem, blocks: list[Blocks], index: int) -> float:
    """Compute gamma/2 ||V - sigma(U)||^2 of layer ``index`` from the blocks."""
    block = blocks[index]
    value = problem.activations[index].value(block.pre)
    return float(
        0.5 * problem.penalties.gamma * la.squared_distance(block.act, value, problem.sample_weight)
    )


def compression_term(problem: Problem, blocks: list[Blocks], index: int) -> float:
    """Compute tau/2 ||W - T(G)||^2 of layer ``index``; zero if it is not compressed."""
    block = blocks[index]
    if block.target is None:
        return 0.0
    distance = la.squared_distance(block.weight, block.target, np.ones(len(block.weight)))
    return float(0.5 * problem.penalties.tau_of(index) * distance)


def l2_term(problem: Problem, blocks: list[Blocks], index: int) -> float:
    """Compute the L2 penalty of layer ``index``."""
    l2 = problem.l2_of(index)
    if l2 is None:
        return 0.0
    return float(0.5 * np.sum(l2[:, None] * np.square(blocks[index].weight, dtype=np.float64)))


def l2_terms(problem: Problem, blocks: list[Blocks]) -> list[float]:
    """Compute the L2 penalty by layer; an empty list without one."""
    return [l2_term(problem, blocks, index) for index in range(len(problem.l2))]


def loss_term(problem: Problem, blocks: list[Blocks]) -> float:
    """Compute the weighted loss R of the output block."""
    return problem.loss.value(blocks[-1].act, problem.y, problem.sample_weight)


def objective(
    problem: Problem, blocks: list[Blocks], residuals: Sequence[Float] | None = None
) -> Terms:
    """Compute the terms of F from the blocks alone.

    The residuals are written into ``residuals``, one array per layer, if given. Cost: one product
    per layer, 2 n d_in d_out flops.
    """
    layers = range(len(blocks))
    outs = [None] * len(blocks) if residuals is None else residuals
    return Terms(
        loss=loss_term(problem, blocks),
        linear=[linear_term(problem, blocks, index, outs[index]) for index in layers],
        activation=[activation_term(problem, blocks, index) for index in layers],
        compression=[compression_term(problem, blocks, index) for index in layers],
        l2=l2_terms(problem, blocks),
    )
