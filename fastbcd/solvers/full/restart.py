"""Restart from the forward pass, under a monotone guard.

At the forward pass, U_l = V_{l-1} W_l + b_l and V_l = sigma(U_l). All penalties of F except the
compression terms are zero there, and F is the loss of the network itself. Late in a fit F can be
lower at this point than at the current blocks. The solver then moves there, so the auxiliary
variables cannot fit the targets better than the network does.

Cost of a trial: one product per layer.
"""

from __future__ import annotations

import numpy as np

from fastbcd.objective.terms import Blocks, Problem, Terms
from fastbcd.utils.types import Float


def attempt_restart(problem: Problem, blocks: list[Blocks], terms: Terms) -> Terms:
    """Move U and V to the forward pass if F is lower there; return F after the attempt.

    Parameters
    ----------
    problem : Problem
        The data and the penalties.
    blocks : list of Blocks
        The current point; overwritten on success.
    terms : Terms
        F there.
    """
    acts: list[Float] = []
    linears: list[Float] = []
    v = problem.x
    for block, sigma, view in zip(blocks, problem.activations, problem.views, strict=True):
        linears.append(view.linear(v, block.weight, block.intercept, np.empty_like(block.pre)))
        v = sigma.value(linears[-1])
        acts.append(v)
    loss = problem.loss.value(v, problem.y, problem.sample_weight)
    nothing = [0.0] * len(blocks)
    reached = Terms(loss, nothing, list(nothing), list(terms.compression), list(terms.l2))
    if not reached.total < terms.total:
        return terms
    for block, pre, act in zip(blocks, linears, acts, strict=True):
        block.pre, block.act = pre, act
        block.residual[...] = 0
    return reached
