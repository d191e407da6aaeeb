r"""Acceleration under a monotone guard.

After a sweep from P to P', the point P' + beta (P' - P) is tried for all blocks at once, and taken
only if F is lower there. beta grows after a success and is halved after a failure. The
compressed copies are left as they are, so the point is one that the next sweep can start
from, and F never rises on account of it.

The idea is the extrapolation with fallback of mDLAM (Wang, Li, Zhao, 2022, arXiv 1811.04187),
applied to whole sweeps instead of blocks.

Cost of a trial: one product per layer, about a quarter of a sweep; memory: two more copies
of U and one of V.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fastbcd.objective.terms import Blocks, Problem, Terms, objective
from fastbcd.utils.types import Float

if TYPE_CHECKING:
    from collections.abc import Iterable

START = 1.0
GROWTH = 1.3
LARGEST = 20.0
SMALLEST = 0.1


class Extrapolation:
    """Remembers the last sweep's result and its own step length.

    Parameters
    ----------
    blocks : list of Blocks
        The starting point.
    """

    def __init__(self, blocks: list[Blocks]) -> None:
        self.beta: float = START
        self._old = [_variables(block, copy=True) for block in blocks]
        self._residuals = [np.empty_like(block.residual) for block in blocks]

    def attempt(self, problem: Problem, blocks: list[Blocks], terms: Terms) -> Terms:
        """Try to go on from ``blocks``; change them only if F is lower there.

        Parameters
        ----------
        problem : Problem
            The data and the penalties.
        blocks : list of Blocks
            Result of a sweep; overwritten on success.
        terms : Terms
            F at ``blocks``.

        Returns
        -------
        Terms
            F after the attempt: ``terms`` itself if it failed.
        """
        trial = [
            replace(block, weight=w, intercept=b, pre=u, act=v)
            for block, (w, b, u, v) in zip(blocks, self._ahead(blocks), strict=True)
        ]
        reached = objective(problem, trial, self._residuals)
        for old, block in zip(self._old, blocks, strict=True):
            for array, now in zip(old, _variables(block), strict=True):
                array[...] = now
        if not reached.total < terms.total:
            self.beta = max(self.beta / 2, SMALLEST)
            return terms
        self.beta = min(self.beta * GROWTH, LARGEST)
        for index, (block, new) in enumerate(zip(blocks, trial, strict=True)):
            block.weight, block.intercept = new.weight, new.intercept
            block.pre, block.act = new.pre, new.act
            block.residual, self._residuals[index] = self._residuals[index], block.residual
        return reached

    def _ahead(self, blocks: list[Blocks]) -> Iterable[list[Float]]:
        for old, block in zip(self._old, blocks, strict=True):
            beta = block.pre.dtype.type(self.beta)
            yield [
                now + beta * (now - before)
                for now, before in zip(_variables(block), old, strict=True)
            ]


def _variables(block: Blocks, copy: bool = False) -> list[Float]:
    arrays = [block.weight, block.intercept, block.pre, block.act]
    return [array.copy() for array in arrays] if copy else arrays
