"""The published sweeps over all rows, exact block by block."""

from fastbcd.solvers.full.solver import FullSolver as FullSolver

__all__ = ["FullSolver"]
