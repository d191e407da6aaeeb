"""What a solver reports of each sweep."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fastbcd.objective.terms import Penalties, Terms
from fastbcd.utils.types import Float64


@dataclass(frozen=True)
class BlockStep:
    """One block update, as the certificate sees it.

    Parameters
    ----------
    block : str
        ``"output"``, ``"activation"``, ``"pre-activation"``, ``"weight"`` or ``"compressed"``.
    layer : int
        Layer, from 0.
    decrease : float
        By how much F fell, computed from scratch before and after.
    guaranteed : float
        The least decrease that the theory promises: modulus/2 times the squared step.
    """

    block: str
    layer: int
    decrease: float
    guaranteed: float


@dataclass
class ConvergenceRecord:
    r"""The course of a fit, one entry per sweep.

    The first entry of the objective's parts belongs to the starting point.

    Attributes
    ----------
    terms : list of Terms
        F and its parts.
    penalties : list of Penalties
        The penalties that belong to each entry of ``terms``.
    step_norm : list of float
        Norm of the change of all weights, pre-activations and activations.
    subgradient_norm : list of float
        Norm of the least subgradient of F (with ``certificate=True`` only).
    block_steps : list of list of BlockStep
        The decrease of every block (with ``certificate=True`` only).
    seconds : list of float
        Time since the start of the fit, at the end of each sweep.
    n_kept_copies : int
        How often an old compressed copy was kept because the new one was not nearer.
    n_accelerated : int
        How many sweeps ended in an extrapolation that lowered F further.
    n_restarts : int
        How often U and V were moved to the forward pass, because F was lower there.
    """

    terms: list[Terms] = field(default_factory=list)
    penalties: list[Penalties] = field(default_factory=list)
    step_norm: list[float] = field(default_factory=list)
    subgradient_norm: list[float] = field(default_factory=list)
    block_steps: list[list[BlockStep]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    n_kept_copies: int = 0
    n_accelerated: int = 0
    n_restarts: int = 0

    @property
    def objective(self) -> Float64:
        """F at the start and after each sweep."""
        return np.array([terms.total for terms in self.terms])

    @property
    def loss(self) -> Float64:
        """The loss part of F at the start and after each sweep."""
        return np.array([terms.loss for terms in self.terms])

    @property
    def rate(self) -> Float64:
        r"""K * min_{k <= K} ||g_k||^2 for K = 1, 2, ..: bounded, if the rate is O(1/k)."""
        squares = np.square(self.subgradient_norm)
        rate: Float64 = np.arange(1.0, squares.size + 1) * np.minimum.accumulate(squares)
        return rate

    @property
    def decreases(self) -> Float64:
        """By how much each sweep lowered F, for the penalties of that sweep."""
        before = [
            old.total_under(now, then)
            for old, then, now in zip(self.terms, self.penalties, self.penalties[1:], strict=False)
        ]
        fallen: Float64 = np.array(before, dtype=np.float64) - self.objective[1:]
        return fallen

    @property
    def n_rises(self) -> int:
        """Sweeps that raised F: none in float64."""
        return int(np.sum(self.decreases < 0))
