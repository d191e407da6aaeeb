"""How F is minimised. Each solver says how it starts, steps and ends; one loop runs them all."""

from fastbcd.solvers.convergence import BlockStep as BlockStep
from fastbcd.solvers.convergence import ConvergenceRecord as ConvergenceRecord
from fastbcd.solvers.full.solver import FullSolver as FullSolver
from fastbcd.solvers.loop import Monitor as Monitor
from fastbcd.solvers.loop import run as run

__all__ = ["BlockStep", "ConvergenceRecord", "FullSolver", "Monitor", "run"]
