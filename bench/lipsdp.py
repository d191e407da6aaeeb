"""The Lipschitz constant of LipSDP by a solver of semidefinite programs: the reference.

It needs the extra ``certify``: cvxpy with Clarabel and SCS. Formulas: M. Fazlyab et al., "Efficient
and accurate estimation of Lipschitz constants for deep neural networks", NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import block_diag


class Solved(NamedTuple):
    """What the solver returned: nothing of it is proven."""

    rho: float
    multipliers: np.ndarray
    seconds: float

    @property
    def constant(self) -> float:
        """The Lipschitz constant that the solver claims."""
        return float(np.sqrt(max(self.rho, 0.0)))


def lipsdp(
    weights: Sequence[np.ndarray], method: str = "neuron", solver: str = "CLARABEL", **options: Any
) -> Solved:
    """Return the solution for a ReLU network without a region.

    Parameters
    ----------
    weights : sequence of (n_out, n_in) arrays
        From the inputs to the outputs.
    method : {"layer", "neuron"}
        One multiplier per hidden layer or per neuron.
    solver : str
        A solver of cvxpy.
    **options
        Its options.
    """
    import cvxpy as cp

    weights = list(weights)
    if weights[0].shape[1] > weights[0].shape[0]:  # inputs that matter lie in a smaller space
        weights[0] = np.linalg.qr(weights[0].T, mode="r").T
    d, widths = weights[0].shape[1], [len(w) for w in weights[:-1]]
    n = sum(widths)
    argument = np.hstack([block_diag(*weights[:-1]), np.zeros((n, widths[-1]))])
    unit = np.hstack([np.zeros((n, d)), np.eye(n)])
    output = np.zeros((len(weights[-1]), d + n))
    output[:, -widths[-1] :] = weights[-1]
    inputs = np.zeros((d + n, d + n))
    inputs[:d, :d] = np.eye(d)
    if method == "neuron":
        free = cp.Variable(n, nonneg=True)
        each: Any = free
    else:
        free = cp.Variable(len(widths), nonneg=True)
        spread = np.zeros((n, len(widths)))
        spread[np.arange(n), np.repeat(np.arange(len(widths)), widths)] = 1
        each = spread @ free
    rho = cp.Variable(nonneg=True)
    cross = argument.T @ cp.diag(each) @ unit
    matrix = cross + cross.T - 2 * unit.T @ cp.diag(each) @ unit + output.T @ output - rho * inputs
    start = perf_counter()
    slack = cp.Variable((d + n, d + n), PSD=True)
    problem = cp.Problem(cp.Minimize(rho), [matrix + slack == 0])
    problem.solve(solver=solver, **options)
    value = np.broadcast_to(np.asarray(each.value), (n,)).copy()
    return Solved(float(rho.value), value, perf_counter() - start)
