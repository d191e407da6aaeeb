"""One exact Gauss-Seidel sweep of NN-BCD, block by block; see :mod:`.solver`."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from fastbcd.formats import Format
from fastbcd.linalg import products as la
from fastbcd.linalg.spd import SPDSystem, solving_type
from fastbcd.objective.terms import (
    Blocks,
    Problem,
    Terms,
    activation_term,
    compression_term,
    l2_term,
    l2_terms,
    layer_input,
    linear_term,
    loss_term,
    residual,
    without_intercept,
)
from fastbcd.parallel.row_threads import each, row_threads, share
from fastbcd.solvers.convergence import BlockStep
from fastbcd.utils.types import Float, Float64


class SweepState(Protocol):
    """What a sweep reads and changes."""

    blocks: list[Blocks]
    first_gram: Float
    first_system: SPDSystem | None
    spare: list[Float]


class Sweep:
    """One backward pass over the layers; collects the parts of F as they become final."""

    def __init__(self, problem: Problem, state: SweepState, certificate: bool) -> None:
        self.problem = problem
        self.state = state
        self.blocks = state.blocks
        n_layers = len(state.blocks)
        self.terms = Terms(0.0, [0.0] * n_layers, [0.0] * n_layers, [0.0] * n_layers)
        self.squared_step = 0.0
        self.certificate = certificate
        self.block_steps: list[BlockStep] = []
        self.n_kept = 0

    def run(self) -> None:
        """Update all blocks, from the output to the input."""
        last = len(self.blocks) - 1
        self._output_step()
        self._pre_activation_step(last)
        self.weight_step(last)
        for index in range(last - 1, -1, -1):
            self._activation_step(index)
            self._pre_activation_step(index)
            self.weight_step(index)
        residual(self.problem, self.blocks, 0, self.blocks[0].residual)
        self._book_linear()
        self.terms.l2 = l2_terms(self.problem, self.blocks)
        self._compressed_steps()

    def _local(self, *parts: tuple[str, int]) -> float:
        """Compute the sum of some terms of F; zero without a certificate."""
        if not self.certificate:
            return 0.0
        compute = {
            "linear": linear_term,
            "activation": activation_term,
            "compression": compression_term,
            "l2": l2_term,
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
            block.act, block.pre, problem.y, p.gamma, p.proximal, problem.sample_weight
        )
        decrease = before - self._local(("activation", index)) - self.terms.loss
        # Strong convexity of the block, plus the proximal term twice: once for its own convexity,
        # once because F does not contain it.
        modulus = problem.loss.convexity + p.gamma + 2 * p.proximal
        self._book("output", index, decrease, 0.5 * modulus * step, step)

    def _activation_step(self, index: int) -> None:
        """Minimise over V_l; see :mod:`fastbcd.network.layers.view` and :mod:`.solver`."""
        problem, p = self.problem, self.problem.penalties
        block, after = self.blocks[index], self.blocks[index + 1]
        parts = (("activation", index), ("linear", index + 1))
        before = self._local(*parts)
        new, miss = self.state.spare[index], self.state.spare[index + 1]
        if miss.shape != after.pre.shape:  # with a pooling between the two
            miss = np.empty_like(after.pre)
        sigma, pre = problem.activations[index], block.pre
        share(lambda rows: sigma.value(pre[rows], out=new[rows]), len(pre))
        without_intercept(after, miss)
        view, ratio = problem.views[index + 1], p.gamma / p.rho
        view.solve_activation(new, miss, block.act, after.weight, ratio, after.residual)
        step = la.squared_distance(new, block.act, problem.sample_weight)
        self.state.spare[index], block.act = block.act, new
        self._book("activation", index, before - self._local(*parts), 0.5 * p.gamma * step, step)

    def _pre_activation_step(self, index: int) -> None:
        problem, p, block = self.problem, self.problem.penalties, self.blocks[index]
        parts = (("activation", index), ("linear", index))
        before = self._local(*parts)
        output = index == len(self.blocks) - 1
        proximal = 0.0 if output else p.proximal
        sigma, weight = problem.activations[index], problem.sample_weight

        def take(rows: slice) -> tuple[float, float]:
            pre, miss, act = block.pre[rows], block.residual[rows], block.act[rows]
            return sigma.step(pre, miss, act, (p.rho, p.gamma, proximal), weight[rows])

        gap, step = map(sum, zip(*share(take, len(block.pre)), strict=True))
        self.terms.activation[index] = 0.5 * p.gamma * gap
        # The hidden block is not convex: only the proximal term promises a decrease.
        modulus = p.rho + p.gamma if output else p.proximal
        decrease = before - self._local(*parts)
        self._book("pre-activation", index, decrease, 0.5 * modulus * step, step)

    def weight_step(self, index: int) -> None:
        """Solve (rho [V 1]'S[V 1] + ridge) [dW; db] = rho [V 1]'S (U - Z) + [tau (T - W) - L W; 0].

        L is the diagonal of the L2 penalty; the ridge of W includes it. Solving for the step
        [dW; db], not for its end, makes the rounding of the solution one of the step. The
        intercept's ridge is the proximal weight alone: it has no compressed copy and no penalty.
        """
        p, block = self.problem.penalties, self.blocks[index]
        v = layer_input(self.problem, self.blocks, index)
        weight = None if self.problem.unit_weights else self.problem.sample_weight
        parts = (("linear", index), ("compression", index), ("l2", index))
        before = self._local(*parts)
        l2 = self.problem.l2_of(index)
        tau = 0.0 if block.target is None else p.tau_of(index)
        system = self._weight_system(index, v, weight, tau)
        slope = self.problem.views[index].cross(v, block.residual, weight, wide=False)
        slope *= p.rho
        if block.target is not None:
            away = block.target - block.weight
            away *= v.dtype.type(tau)
            slope[:-1] += away
        if l2 is not None:
            slope[:-1] -= (l2[:, None] * block.weight).astype(v.dtype, copy=False)
        moved = system.solve(slope)
        old = block.weight
        block.weight = np.add(old, moved[:-1], dtype=v.dtype, casting="same_kind")
        block.intercept = np.add(block.intercept, moved[-1], dtype=v.dtype, casting="same_kind")
        by_weight = la.squared_distance(block.weight, old, np.ones(len(old)))
        step = by_weight + float(np.sum(np.square(moved[-1], dtype=np.float64)))
        promise = p.proximal * step + 0.5 * tau * by_weight
        if l2 is not None:
            squares = np.square(block.weight - old, dtype=np.float64)
            promise += 0.5 * float(np.sum(l2[:, None] * squares))
        self._book("weight", index, before - self._local(*parts), promise, step)

    def _weight_system(self, index: int, v: Float, weight: Float64 | None, tau: float) -> SPDSystem:
        """Return the factored system of a W-step; the first layer's is made once per fit."""
        p = self.problem.penalties
        if index == 0 and self.state.first_system is not None:
            return self.state.first_system
        view = self.problem.views[index]
        gram = self.state.first_gram if index == 0 else view.gram(v, weight, wide=False)
        ridge = np.full(gram.shape[0], p.proximal + tau)
        l2 = self.problem.l2_of(index)
        if l2 is not None:
            ridge[:-1] += l2
        ridge[-1] = p.proximal
        dtype = solving_type(p.rho * float(np.trace(gram)), ridge, v.dtype)
        scaled = np.multiply(gram, p.rho, out=None if index == 0 else gram)
        system = SPDSystem(scaled.astype(dtype, copy=False), ridge)
        if index == 0:
            self.state.first_system = system
        return system

    def _compressed_steps(self) -> None:
        """Project every W on its compressed set.

        No other block of the sweep depends on the copies, so all of them are made at the end of the
        sweep, several at a time: one projection is too small for several threads. The largest
        layers come first, so that the threads finish at about the same time.
        """
        indices = [i for i, scheme in enumerate(self.problem.schemes) if scheme is not None]
        indices.sort(key=lambda index: self.blocks[index].weight.size, reverse=True)
        with row_threads():
            copies = each(self._compress, indices)
        for index, copy in zip(indices, copies, strict=True):
            self._compressed_step(index, *copy)

    def _compress(self, index: int) -> tuple[Format, Float]:
        block, scheme = self.blocks[index], self.problem.schemes[index]
        assert scheme is not None
        copy = scheme.project(block.weight, block.compressed)
        return copy, copy.to_dense()

    def _compressed_step(self, index: int, compressed: Format, target: Float) -> None:
        """Replace the compressed copy of W, unless the new copy is not nearer to W."""
        block = self.blocks[index]
        before = compression_term(self.problem, self.blocks, index)
        old = block.compressed, block.target
        block.compressed, block.target = compressed, target
        after = compression_term(self.problem, self.blocks, index)
        if after > before:
            block.compressed, block.target = old
            after = before
            self.n_kept += 1
        self.terms.compression[index] = after
        self._book("compressed", index, before - after, 0.0, 0.0)

    def _book_linear(self) -> None:
        """Record the linear terms of F; V, W and b of every layer are up to date now."""
        problem = self.problem
        for index, block in enumerate(self.blocks):
            square = la.squared_norm(block.residual, problem.sample_weight)
            self.terms.linear[index] = 0.5 * problem.penalties.rho * square
