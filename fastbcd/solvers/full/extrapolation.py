r"""Acceleration under a monotone guard.

After a sweep from P to P', the solver tries the point P' + beta (P' - P) for all blocks at once. It
moves there only if F is lower. beta grows after a success and is halved after a failure. The
compressed copies do not change, so the next sweep can start from the new point, and the
extrapolation never raises F.

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
from fastbcd.solvers.full.settings import FullSettings
from fastbcd.utils.types import Float

if TYPE_CHECKING:
    from collections.abc import Iterable


class Extrapolation:
    """The result of the last sweep and the length of the next extrapolation.

    Parameters
    ----------
    blocks : list of Blocks
        The starting point.
    settings : FullSettings
        First length, growth and bounds.
    """

    def __init__(self, blocks: list[Blocks], settings: FullSettings) -> None:
        self._settings = settings
        self.beta: float = settings.extrapolation_start
        self._old = [_variables(block, copy=True) for block in blocks]
        self._residuals = [np.empty_like(block.residual) for block in blocks]

    def attempt(self, problem: Problem, blocks: list[Blocks], terms: Terms) -> Terms:
        """Extrapolate from ``blocks``; change them only if F is lower there.

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
            self.beta = max(self.beta / 2, self._settings.extrapolation_smallest)
            return terms
        longer = self.beta * self._settings.extrapolation_growth
        self.beta = min(longer, self._settings.extrapolation_largest)
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
