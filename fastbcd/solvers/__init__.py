"""How F is minimised. Each solver says how it starts, steps and ends; one loop runs them all."""

from fastbcd.solvers._convergence import ConvergenceRecord as ConvergenceRecord
from fastbcd.solvers._loop import Monitor as Monitor
from fastbcd.solvers._loop import run as run
from fastbcd.solvers.full import FullSolver as FullSolver

__all__ = ["ConvergenceRecord", "FullSolver", "Monitor", "run"]
