r"""The published NN-BCD: exact Gauss-Seidel sweeps over all data.

One sweep updates, in this order and always with the newest values of all other blocks,

    V_L, U_L, (W_L, b_L),  then for l = L-1 .. 1:  V_l, U_l, (W_l, b_l), G_l

(arXiv 2303.06815, the order of the algorithm). Each update is the exact minimiser of F over its
block, plus ``alpha/2 ||step||^2`` for V_L, U_l (l < L) and (W_l, b_l). Since V_l (l < L) and
U_L are strongly convex blocks without it, every update lowers F by at least its modulus
times half its squared step; G_l alone is only known not to raise F, because a compressed copy
that is not nearer to W_l is refused.

Two products are arranged differently from the paper, with the same result:

* V-step: V = s + (U_next - b - s W) K, s = sigma(U), K = (W'W + gamma/rho I)^{-1} W'. It needs the
  system of the smaller side of W only, and two products with W's size instead of one with W's
  and one with a square matrix.
* Z_l = V_{l-1} W_l + b_l is formed once, when both are new. It serves F at once and the
  U-step of the next sweep.

Cost of a sweep for a layer d -> m and n samples: 8 n d m + n d^2 flops (n d^2 once per fit
for the first layer, whose Gram matrix never changes), plus the solves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from fastbcd import _linalg as la
from fastbcd._network import Layer, Network
from fastbcd._objective import (
    Blocks,
    Problem,
    Terms,
    activation_term,
    compression_term,
    layer_input,
    linear_term,
    loss_term,
    objective,
    subgradient_norm,
)
from fastbcd._types import Float, Float64
from fastbcd.formats import DenseMatrix
from fastbcd.solvers._convergence import BlockStep, ConvergenceRecord
from fastbcd.solvers._extrapolation import Extrapolation
from fastbcd_kernels.residual import weighted_squared_distance


@dataclass
class State:
    """The blocks of all layers and what is carried from sweep to sweep.

    Parameters
    ----------
    blocks : list of Blocks
        One entry per layer.
    first_gram : (n_in + 1, n_in + 1) float64 array
        Gram matrix of the inputs and a column of ones; constant.
    spare : list of arrays
        Work space of the shape of each layer's activations.
    extrapolation : Extrapolation or None
        Acceleration, if wanted.
    record : ConvergenceRecord
        The course so far.
    first_system : SPDSystem or None
        The factored system of the first layer's W-step; kept while tau stays.
    settled : bool
        Whether tau has reached its end, so that F can converge.
    """

    blocks: list[Blocks]
    first_gram: Float64
    spare: list[Float]
    extrapolation: Extrapolation | None
    record: ConvergenceRecord = field(default_factory=ConvergenceRecord)
    first_system: la.SPDSystem | None = None
    settled: bool = True


class TauRamp(NamedTuple):
    """A tau that grows geometrically, so that compression sets in gently.

    At first the weights hardly feel their compressed copies and the copies follow the weights
    (pruned entries come back); in the end the two agree.

    Parameters
    ----------
    start, end : float
        First and last tau.
    n_sweeps : int
        Sweeps after which ``end`` is reached.
    """

    start: float
    end: float
    n_sweeps: int

    def at(self, sweep: int) -> float:
        """Return tau of a sweep, counted from 0."""
        share = min(sweep / self.n_sweeps, 1.0) if self.n_sweeps else 1.0
        return float(self.start * (self.end / self.start) ** share)


class FullSolver:
    """Exact block coordinate descent over all data.

    Parameters
    ----------
    ramp : TauRamp, optional
        Course of tau; by default it stays what the problem's penalties say. Within a sweep
        tau is constant, and F does not rise for the tau of that sweep.
    accelerate : bool, default=True
        Extrapolate after each sweep where that lowers F further.
    certificate : bool, default=False
        Record the decrease of every block and the subgradient of every sweep. This costs
        about as much as the sweeps themselves.
    """

    def __init__(
        self, ramp: TauRamp | None = None, accelerate: bool = True, certificate: bool = False
    ) -> None:
        self.ramp = ramp
        self.accelerate = accelerate
        self.certificate = certificate

    def init(self, problem: Problem, weights: list[Float], intercepts: list[Float]) -> State:
        """Start from ``weights``: compressed copies, then U and V by a forward pass.

        Parameters
        ----------
        problem : Problem
            The data and the penalties.
        weights, intercepts : lists of (n_in, n_out) and (n_out,) arrays
            The starting point; copied.
        """
        blocks: list[Blocks] = []
        v = problem.x
        for weight, intercept, sigma, scheme in zip(
            weights, intercepts, problem.activations, problem.schemes, strict=True
        ):
            z = np.empty((v.shape[0], weight.shape[1]), v.dtype)
            la.linear(v, weight, intercept, z)
            block = Blocks(weight.copy(), intercept.copy(), z, z.copy(), sigma.value(z.copy()))
            if scheme is not None:
                block.compressed = scheme.project(weight)
                block.target = block.compressed.to_dense()
            blocks.append(block)
            v = block.act
        gram = la.gram(problem.x, None if problem.unit_weights else problem.sample_weight)
        state = State(
            blocks,
            gram,
            [np.empty_like(block.act) for block in blocks],
            Extrapolation(blocks) if self.accelerate else None,
        )
        problem = self._with_tau(problem, 0)
        state.record.terms.append(objective(problem, blocks))
        state.record.tau.append(problem.penalties.tau)
        return state

    def _with_tau(self, problem: Problem, sweep: int) -> Problem:
        if self.ramp is None:
            return problem
        tau = self.ramp.at(sweep)
        return replace(problem, penalties=replace(problem.penalties, tau=tau))

    def step(self, problem: Problem, state: State) -> None:
        """Sweep once over all blocks, extrapolate, and record it."""
        record = state.record
        n_done = len(record.step_norm)
        problem = self._with_tau(problem, n_done)
        if problem.penalties.tau != record.tau[-1]:
            state.first_system = None
        state.settled = self.ramp is None or n_done >= self.ramp.n_sweeps
        sweep = _Sweep(problem, state, self.certificate)
        sweep.run()
        terms = sweep.terms
        if state.extrapolation is not None:
            terms = state.extrapolation.attempt(problem, state.blocks, sweep.terms)
            record.n_accelerated += terms is not sweep.terms
        record.terms.append(terms)
        record.tau.append(problem.penalties.tau)
        record.step_norm.append(float(np.sqrt(sweep.squared_step)))
        if self.certificate:
            record.block_steps.append(sweep.block_steps)
            record.subgradient_norm.append(subgradient_norm(problem, state.blocks))

    def network(self, problem: Problem, state: State) -> Network:
        """Return the network as it stands: compressed copies where there are any, else W."""
        return Network(
            [
                Layer(
                    DenseMatrix(block.weight) if block.compressed is None else block.compressed,
                    block.intercept,
                    sigma.name,
                )
                for block, sigma in zip(state.blocks, problem.activations, strict=True)
            ]
        )


class _Sweep:
    """One backward pass over the layers; collects the parts of F as they become final."""

    def __init__(self, problem: Problem, state: State, certificate: bool) -> None:
        self.problem = problem
        self.state = state
        self.blocks = state.blocks
        n_layers = len(state.blocks)
        self.terms = Terms(0.0, [0.0] * n_layers, [0.0] * n_layers, [0.0] * n_layers)
        self.squared_step = 0.0
        self.certificate = certificate
        self.block_steps: list[BlockStep] = []

    def run(self) -> None:
        last = len(self.blocks) - 1
        self._output_step()
        self._pre_activation_step(last)
        self._weight_step(last)
        self._compressed_step(last)
        for index in range(last - 1, -1, -1):
            self._activation_step(index)
            self._pre_activation_step(index)
            self._weight_step(index)
            self._compressed_step(index)
        self._refresh_linear(0)

    def _local(self, *parts: tuple[str, int]) -> float:
        """Sum some terms of F, from scratch; zero when nobody asks for a certificate."""
        if not self.certificate:
            return 0.0
        compute = {
            "linear": linear_term,
            "activation": activation_term,
            "compression": compression_term,
        }
        return sum(compute[name](self.problem, self.blocks, index) for name, index in parts)

    def _book(self, block: str, index: int, decrease: float, promise: float, step: float) -> None:
        self.squared_step += step
        if self.certificate:
            self.block_steps.append(BlockStep(block, index, decrease, promise))

    def _output_step(self) -> None:
        problem, p, block = self.problem, self.problem.penalties, self.blocks[-1]
        index = len(self.blocks) - 1
        before = self._local(("activation", index))
        before += loss_term(problem, self.blocks) if self.certificate else 0.0
        self.terms.loss, step = problem.loss.step(
            block.act, block.pre, problem.y, p.gamma, p.alpha, problem.sample_weight
        )
        decrease = before - self._local(("activation", index)) - self.terms.loss
        # Strong convexity of the block, and the proximal term twice: once by its own
        # convexity, once because F itself does not contain it.
        modulus = problem.loss.convexity + p.gamma + 2 * p.alpha
        self._book("output", index, decrease, 0.5 * modulus * step, step)

    def _activation_step(self, index: int) -> None:
        """V = s + (U_next - b - s W) K; see the module's docstring."""
        problem, p = self.problem, self.problem.penalties
        block, after = self.blocks[index], self.blocks[index + 1]
        parts = (("activation", index), ("linear", index + 1))
        before = self._local(*parts)
        new = problem.activations[index].value(block.pre, out=self.state.spare[index])
        miss = np.subtract(after.pre, after.intercept, out=self.state.spare[index + 1])
        la.add_product(miss, new, after.weight, -1.0)
        gain = la.activation_gain(after.weight, p.gamma / p.rho).astype(new.dtype, copy=False)
        la.add_product(new, miss, gain)
        step = weighted_squared_distance(new, block.act, problem.sample_weight)
        self.state.spare[index], block.act = block.act, new
        self._refresh_linear(index + 1)
        self._book("activation", index, before - self._local(*parts), 0.5 * p.gamma * step, step)

    def _pre_activation_step(self, index: int) -> None:
        problem, p, block = self.problem, self.problem.penalties, self.blocks[index]
        parts = (("activation", index), ("linear", index))
        before = self._local(*parts)
        output = index == len(self.blocks) - 1
        alpha = 0.0 if output else p.alpha
        gap, step = problem.activations[index].step(
            block.pre, block.linear, block.act, (p.rho, p.gamma, alpha), problem.sample_weight
        )
        self.terms.activation[index] = 0.5 * p.gamma * gap
        # The hidden block is not convex: only the proximal term promises a decrease.
        modulus = p.rho + p.gamma if output else p.alpha
        decrease = before - self._local(*parts)
        self._book("pre-activation", index, decrease, 0.5 * modulus * step, step)

    def _weight_step(self, index: int) -> None:
        """Solve (rho [V 1]'S[V 1] + ridge) [W; b] = rho [V 1]'S U + alpha [W; b]_old + tau [T; 0].

        The intercept's ridge is alpha alone: the compressed copy has no intercept.
        """
        p, block = self.problem.penalties, self.blocks[index]
        v = layer_input(self.problem, self.blocks, index)
        weight = None if self.problem.unit_weights else self.problem.sample_weight
        parts = (("linear", index), ("compression", index))
        before = self._local(*parts)
        tau = 0.0 if block.target is None else p.tau
        system = self._weight_system(index, v, weight, tau)
        old = np.vstack([block.weight, block.intercept]).astype(np.float64, copy=False)
        rhs = p.rho * la.cross(v, block.pre, weight) + p.alpha * old
        if block.target is not None:
            rhs[:-1] += tau * block.target
        new = system.solve(rhs)
        block.weight = new[:-1].astype(v.dtype)
        block.intercept = new[-1].astype(v.dtype)
        squares = np.square(new - old)
        step = float(squares.sum())
        promise = p.alpha * step + 0.5 * tau * float(squares[:-1].sum())
        self._book("weight", index, before - self._local(*parts), promise, step)

    def _weight_system(
        self, index: int, v: Float, weight: Float64 | None, tau: float
    ) -> la.SPDSystem:
        """Return the factored system of a W-step; the first layer's is made once per fit."""
        p = self.problem.penalties
        if index == 0 and self.state.first_system is not None:
            return self.state.first_system
        gram = p.rho * (self.state.first_gram if index == 0 else la.gram(v, weight))
        ridge = np.full(gram.shape[0], p.alpha + tau)
        ridge[-1] = p.alpha
        system = la.SPDSystem(gram, ridge)
        if index == 0:
            self.state.first_system = system
        return system

    def _compressed_step(self, index: int) -> None:
        """Project W on the compressed set; keep the old copy where the new one is not nearer."""
        block, scheme = self.blocks[index], self.problem.schemes[index]
        if scheme is None:
            return
        before = compression_term(self.problem, self.blocks, index)
        old = block.compressed, block.target
        block.compressed = scheme.project(block.weight, block.compressed)
        block.target = block.compressed.to_dense()
        after = compression_term(self.problem, self.blocks, index)
        if after > before:
            block.compressed, block.target = old
            after = before
            self.state.record.n_kept_trains += 1
        self.terms.compression[index] = after
        self._book("compressed", index, before - after, 0.0, 0.0)

    def _refresh_linear(self, index: int) -> None:
        """Form Z = V_prev W + b, whose inputs are both new, and its term of F."""
        problem, block = self.problem, self.blocks[index]
        la.linear(
            layer_input(problem, self.blocks, index), block.weight, block.intercept, block.linear
        )
        distance = weighted_squared_distance(block.pre, block.linear, problem.sample_weight)
        self.terms.linear[index] = 0.5 * problem.penalties.rho * distance
