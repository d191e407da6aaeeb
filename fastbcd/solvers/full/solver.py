r"""The published NN-BCD: exact Gauss-Seidel sweeps over all data.

One sweep updates, in this order and always with the newest values of all other blocks,

    V_L, U_L, (W_L, b_L),  then for l = L-1 .. 1:  V_l, U_l, (W_l, b_l), G_l

(arXiv 2303.06815, the order of the algorithm). Each update is the exact minimiser of F over its
block, plus ``proximal/2 ||step||^2`` for V_L, U_l (l < L) and (W_l, b_l). Since V_l (l < L) and
U_L are strongly convex blocks without it, every update lowers F by at least its modulus
times half its squared step; G_l alone is only known not to raise F, because a compressed copy
that is not nearer to W_l is refused.

Two products are arranged differently from the paper, with the same result:

* V-step: V = s + (U_next - b - s W) K, s = sigma(U), K = (W'W + gamma/rho I)^{-1} W'. It needs the
  system of the smaller side of W only, and the residual U_next - b - V W comes with it at
  no more than another product's cost; see :mod:`fastbcd.network.layers.row_step`.
  A convolution's V-step has no such form; see :mod:`fastbcd.network.layers.patches`.
* The residual U_l - V_{l-1} W_l - b_l is formed once, when V_{l-1} and W_l are new. It serves F at
  once and the U-step of the next sweep, which brings it up to date for the W-step.

Cost of a sweep for a layer d -> m and n samples: 8 n d m + n d^2 flops (n d^2 once per fit
for the first layer, whose Gram matrix never changes), plus the solves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fastbcd.formats import DenseMatrix
from fastbcd.linalg.spd import SPDSystem
from fastbcd.network.layers.view import WholeRow
from fastbcd.network.network import Layer, Network
from fastbcd.objective.subgradient import subgradient_norm
from fastbcd.objective.terms import Blocks, Problem, objective
from fastbcd.parallel import blas_threads as blas_threads
from fastbcd.parallel.row_threads import row_threads
from fastbcd.solvers.convergence import ConvergenceRecord
from fastbcd.solvers.full.extrapolation import Extrapolation
from fastbcd.solvers.full.restart import attempt_restart
from fastbcd.solvers.full.schedule import Growth, Schedule, TauRamp
from fastbcd.solvers.full.settings import DEFAULTS, FullSettings
from fastbcd.solvers.full.sweep import Sweep
from fastbcd.utils.types import Float


@dataclass
class State:
    """The blocks of all layers and the data that sweeps share.

    Parameters
    ----------
    blocks : list of Blocks
        One entry per layer.
    first_gram : (n_in + 1, n_in + 1) array
        Gram matrix of the inputs and a column of ones; constant.
    spare : list of arrays
        Work space of the shape of each layer's activations.
    extrapolation : Extrapolation or None
        Acceleration, if requested.
    record : ConvergenceRecord
        The training history so far.
    first_system : SPDSystem or None
        The factored system of the first layer's W-step; kept while its penalties are constant.
    settled : bool
        Whether the penalties have reached their final values, so that F can converge.
    """

    blocks: list[Blocks]
    first_gram: Float
    spare: list[Float]
    extrapolation: Extrapolation | None
    record: ConvergenceRecord = field(default_factory=ConvergenceRecord)
    first_system: SPDSystem | None = None
    settled: bool = True


ROW_THREADS = 8
"""Maximum number of threads that share rows. With more, BLAS's own threads are faster, by a count
of the operations. A number of the machine: it does not change the result beyond rounding."""


class FullSolver:
    """Exact block coordinate descent over all data.

    Parameters
    ----------
    ramp : TauRamp, optional
        Schedule of tau; by default tau is constant. Within a sweep all penalties are constant, and
        F under these penalties does not rise.
    accelerate : bool, default=True
        Whether to extrapolate after each sweep and to try a restart from the forward pass after
        every tenth sweep. Either is accepted only if it lowers F.
    certificate : bool, default=False
        Whether to record the decrease of every block and the subgradient of every sweep. This takes
        about as long as the sweeps themselves.
    growth : Growth, optional
        Schedule of the other penalties; by default they are constant.
    settings : FullSettings
        Numbers of the acceleration.
    """

    sweep_name = "sweep"

    def __init__(
        self,
        ramp: TauRamp | None = None,
        accelerate: bool = True,
        certificate: bool = False,
        growth: Growth | None = None,
        settings: FullSettings = DEFAULTS,
    ) -> None:
        self.settings = settings
        self.schedule: Schedule = Schedule(ramp, growth)
        self.accelerate = accelerate
        self.certificate = certificate

    def init(self, problem: Problem, weights: list[Float], intercepts: list[Float]) -> State:
        """Return the state at ``weights``: their compressed copies, and U and V of a forward pass.

        Parameters
        ----------
        problem : Problem
            The data and the penalties.
        weights, intercepts : lists of (n_in, n_out) and (n_out,) arrays
            The starting point; copied.
        """
        blocks: list[Blocks] = []
        v = problem.x
        for weight, intercept, sigma, view, scheme in zip(
            weights, intercepts, problem.activations, problem.views, problem.schemes, strict=True
        ):
            z = np.empty((v.shape[0], view.positions * weight.shape[1]), v.dtype)
            view.linear(v, weight, intercept, z)
            block = Blocks(weight.copy(), intercept.copy(), np.zeros_like(z), z, sigma.value(z))
            if scheme is not None:
                block.compressed = scheme.project(weight)
                block.target = block.compressed.to_dense()
            blocks.append(block)
            v = block.act
        sample_weight = None if problem.unit_weights else problem.sample_weight
        gram = problem.views[0].gram(problem.x, sample_weight)
        state = State(
            blocks,
            gram,
            [np.empty_like(block.act) for block in blocks],
            Extrapolation(blocks, self.settings) if self.accelerate else None,
        )
        problem = self.schedule.apply(problem, blocks, state.record)
        state.record.terms.append(objective(problem, blocks))
        state.record.penalties.append(problem.penalties)
        return state

    def step(self, problem: Problem, state: State) -> None:
        """Sweep once over all blocks, extrapolate, and record it."""
        problem = self.schedule.apply(problem, state.blocks, state.record)
        largest = max(
            view.positions * block.weight.size
            for view, block in zip(problem.views, state.blocks, strict=True)
        )
        if 2 * len(problem.x) * largest < blas_threads.ONE_THREAD_BELOW:
            threads = blas_threads.one_blas_thread()
        elif self._shares_rows(problem):
            threads = row_threads()
        else:
            threads = blas_threads.one_blas_pool()
        with threads:
            self._sweep(problem, state)

    @staticmethod
    def _shares_rows(problem: Problem) -> bool:
        """Whether the package's threads share the rows, rather than BLAS's threads each product.

        The V-step of a convolution is not divided by rows. The factorisations and the sums of
        partial products run on one thread, which costs more the more threads there are.
        """
        dense = all(isinstance(view, WholeRow) for view in problem.views)
        return dense and blas_threads.n_blas_threads() <= ROW_THREADS

    def _sweep(self, problem: Problem, state: State) -> None:
        record = state.record
        n_done = len(record.step_norm)
        now, then = problem.penalties, record.penalties[-1]
        if (now.rho, now.proximal, now.tau_of(0)) != (then.rho, then.proximal, then.tau_of(0)):
            state.first_system = None
        state.settled = n_done >= self.schedule.settles
        sweep = Sweep(problem, state, self.certificate)
        sweep.run()
        terms = sweep.terms
        if state.extrapolation is not None:
            terms = state.extrapolation.attempt(problem, state.blocks, sweep.terms)
            record.n_accelerated += terms is not sweep.terms
            if (n_done + 1) % self.settings.restart_every == 0:
                before = terms
                terms = attempt_restart(problem, state.blocks, terms)
                record.n_restarts += terms is not before
        record.n_kept_copies += sweep.n_kept
        record.terms.append(terms)
        record.penalties.append(problem.penalties)
        record.step_norm.append(float(np.sqrt(sweep.squared_step)))
        if self.certificate:
            record.block_steps.append(sweep.block_steps)
            record.subgradient_norm.append(subgradient_norm(problem, state.blocks))

    def network(self, problem: Problem, state: State) -> Network:
        """Return the current network: the compressed copies, or W where there is none."""
        return Network(
            [
                Layer(
                    DenseMatrix(block.weight) if block.compressed is None else block.compressed,
                    block.intercept,
                    sigma.name,
                    view,
                    sigma.pool,
                )
                for block, sigma, view in zip(
                    state.blocks, problem.activations, problem.views, strict=True
                )
            ]
        )
