"""Rows held out of the steps, and the best network on them."""

from __future__ import annotations

import numpy as np

from fastbcd.network.network import Network
from fastbcd.solvers.refine.targets import Rows, Targets
from fastbcd.utils.types import Float

DIVERGED = 1.5
"""A held-out loss beyond this multiple of the least one so far means that steps are too long."""


class Judge:
    """Rows held out of the steps, and the best network on them.

    Against the dense network's own outputs the rows judge fairly. With labels they do not: the
    dense network may have been trained on these rows, and who imitates its overfitting would
    win. Nor do they where inputs are dropped, which trades likeness for generalisation. The more
    that holds, the more a later network may lose against the best one and still take its place.

    Parameters
    ----------
    targets : Targets
        What the outputs shall become.
    x : (r, d) array
        The rows.
    rows : (r,) integer array
        Their places in ``targets``.
    start : Network
        The first network.
    dropping : float
        0 if no inputs are dropped, 1 if as many as ever.
    """

    def __init__(
        self, targets: Targets, x: Float, rows: Rows, start: Network, dropping: float = 0.0
    ) -> None:
        self._targets, self._x, self._rows = targets, x, rows
        self._slack = 1.0 + (DIVERGED - 1.0) * max(1.0 - targets.alpha, min(dropping, 1.0))
        # What even the dense network would lose.
        self._floor = 0.0
        if targets.labels is None and dropping == 0:
            self._floor = targets.loss(targets.dense[rows], rows)
        self.best: Network = start
        self._safe = start
        self.least: float = self._loss(start)

    def _loss(self, network: Network) -> float:
        return self._targets.loss(network.forward(self._x), self._rows) - self._floor

    def see(self, network: Network) -> float:
        """Judge ``network``, keep it if it is the best, and return its loss."""
        loss = self._loss(network)
        if loss <= self._slack * self.least:
            self.best = network
        if loss < self.least:
            self._safe, self.least = network, loss
        return loss

    def diverged(self, loss: float) -> bool:
        """Tell whether ``loss`` is no number or far above the least."""
        diverged = not loss <= DIVERGED * self.least
        if diverged:
            # What came last was on the way there.
            self.best = self._safe
        return diverged


def is_worse(found: Network, start: Network, x: Float, targets: Targets) -> bool:
    """Return whether a refinement did harm, by all of its rows.

    A classifier is worse if it is wrong on more rows by more than two standard errors of the
    difference (McNemar 1947), or on more rows with a larger loss. Without labels the classes of the
    dense network are right. A regression is worse if its loss is larger.

    Parameters
    ----------
    found, start : Network
        After and before the refinement.
    x : (n, d) array
        Inputs.
    targets : Targets
        What the outputs of these rows shall become.
    """
    rows = np.arange(targets.n_rows)
    after, before = found.forward(x), start.forward(x)
    larger = targets.loss(after, rows) > targets.loss(before, rows)
    if not targets.classify:
        return larger
    wrong_after, wrong_before = targets.wrong(after), targets.wrong(before)
    lost = int(np.count_nonzero(wrong_after & ~wrong_before))
    gained = int(np.count_nonzero(wrong_before & ~wrong_after))
    return lost - gained > 2 * np.sqrt(lost + gained) or (lost > gained and larger)
