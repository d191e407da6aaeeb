"""The settings of a refinement, and how they follow the rows and the network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fastbcd.network.network import Network
from fastbcd.solvers.reconstruct.imitation import ENOUGH
from fastbcd.solvers.refine.adversary import CERTAIN, certainty, plenty
from fastbcd.solvers.refine.targets import Targets
from fastbcd.statistics.moments import explained_share
from fastbcd.utils.types import Float

REDUNDANT = (0.6, 0.9)
"""Share of an input's variance that the others explain: below the first nothing is dropped,
above the second all of ``Course.drop``."""

CAREFUL = 0.25
"""Pruned layers take steps so many times as long on few rows of the most redundant inputs: what a
batch says of directions in which inputs hardly differ is noise, and with few rows batches are
small. It sets in halfway between the two shares. Codes have a caution of their own."""


@dataclass(frozen=True)
class Course:
    """Settings of :func:`refine`.

    Parameters
    ----------
    epochs : float
        Passes over the rows; a batch that is seen again, moved, counts twice.
    batch_size : int
        Rows per step.
    rate : float
        eta at the start; it falls to zero along a cosine. See ``CAREFUL``.
    momentum, decay : float
        mu, and the pull of the weights towards zero relative to m.
    drop : float
        Share of the inputs that are set to zero in each batch, in a classification; the dense
        network still answers for the whole row. Where inputs cannot be told from
        each other less is dropped, and nothing where they are independent. ``decay`` follows.
    radius : float
        How far every second batch is moved to where the network does worst, relative to the root
        of the inputs' total variance, in a classification with plenty of weights of which the
        dense network is certain; see :mod:`.adversary`.
    momentum_undropped : float
        mu where no inputs are dropped from many rows: their pulls are less noisy.
    averaged : float
        Share of the steps, the last ones, whose iterates are averaged.
    moving : float
        Share of the steps, the first ones, during which the supports of pruned layers may move, in
        a classification. There the squared pulls tell the curvature of the loss.
    moved : float
        Share of a support that may move at a time, in the beginning; falls to zero.
    shrinking : float
        Share of the steps, the first ones, during which supports shrink to what is wanted.
    """

    epochs: float = 6.0
    batch_size: int = 200
    rate: float = 2.0
    momentum: float = 0.7
    decay: float = 2e-4
    drop: float = 0.1
    radius: float = 0.1
    momentum_undropped: float = 0.9
    averaged: float = 0.3
    moving: float = 0.4
    moved: float = 0.1
    shrinking: float = 0.5

    def suited_to(self, targets: Targets, x: Float, network: Network) -> Course:
        """Return the course with what suits rows ``x``, the targets and the network."""
        if not targets.classify:
            return replace(self, drop=0.0, decay=0.0, moving=0.0, radius=0.0)
        low, high = REDUNDANT
        factor = float(np.clip((explained_share(x) - low) / (high - low), 0, 1))
        sure = certainty(targets.dense, targets.several) >= CERTAIN
        radius = plenty(network, targets.n_rows) * self.radius if sure else 0.0
        momentum, rate = self.momentum, self.rate
        if targets.n_rows >= ENOUGH:
            momentum = factor * self.momentum + (1 - factor) * self.momentum_undropped
        elif any(layer.weight.is_pruned for layer in network.layers):
            rate *= CAREFUL ** max(0.0, 2 * factor - 1)
        return replace(
            self,
            rate=rate,
            drop=factor * self.drop,
            radius=radius,
            decay=factor * self.decay,
            momentum=momentum,
        )
