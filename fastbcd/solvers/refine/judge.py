"""Choose the best network on rows that are held out of the steps."""

from __future__ import annotations

import numpy as np

from fastbcd.network.network import Network
from fastbcd.solvers.refine.settings import DEFAULTS, RefineSettings
from fastbcd.solvers.refine.targets import Rows, Targets
from fastbcd.utils.types import Float


class Judge:
    """Rows held out of the steps, and the best network on them.

    The rows judge fairly against the outputs of the dense network. With labels they do not: the
    dense network may have been trained on these rows, and a network that imitates its overfitting
    would win. Nor do they judge fairly if inputs are dropped, which sacrifices similarity for
    generalisation. The more labels and dropping count, the larger the loss of a later network may
    be, relative to the best one, for it to replace that network.

    Parameters
    ----------
    targets : Targets
        Targets of all rows.
    x : (r, d) array
        The rows.
    rows : (r,) integer array
        Their indices in ``targets``.
    start : Network
        The first network.
    dropping : float
        Dropped share of the inputs, relative to its default: 0 to 1.
    settings : RefineSettings
        Numbers of the method.
    """

    def __init__(
        self,
        targets: Targets,
        x: Float,
        rows: Rows,
        start: Network,
        dropping: float = 0.0,
        settings: RefineSettings = DEFAULTS,
    ) -> None:
        self._diverged = settings.diverged
        self._targets, self._x, self._rows = targets, x, rows
        self._slack = 1.0 + (self._diverged - 1.0) * max(1.0 - targets.alpha, min(dropping, 1.0))
        # The loss of the dense network itself.
        self._floor = 0.0
        if targets.labels is None and dropping == 0:
            self._floor = targets.loss(targets.dense[rows], rows)
        self.best: Network = start
        self._safe = start
        self.least: float = self._loss(start)

    def _loss(self, network: Network) -> float:
        return self._targets.loss(network.forward(self._x), self._rows) - self._floor

    def see(self, network: Network) -> float:
        """Keep ``network`` if it is the best, and return its loss."""
        loss = self._loss(network)
        if loss <= self._slack * self.least:
            self.best = network
        if loss < self.least:
            self._safe, self.least = network, loss
        return loss

    def diverged(self, loss: float) -> bool:
        """Return whether ``loss`` is NaN or far above the smallest loss."""
        diverged = not loss <= self._diverged * self.least
        if diverged:
            # The last network was already diverging.
            self.best = self._safe
        return diverged


def is_worse(found: Network, start: Network, x: Float, targets: Targets) -> bool:
    """Return whether a refinement did harm, measured on all of its rows.

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
        Targets of these rows.
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
