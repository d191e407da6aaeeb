"""Adapt the settings of a refinement to the rows, the targets and the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastbcd.network.network import Network
from fastbcd.solvers.reconstruct.settings import DEFAULTS as RECONSTRUCT
from fastbcd.solvers.refine.adversary import certainty, plenty
from fastbcd.solvers.refine.settings import RefineSettings
from fastbcd.solvers.refine.targets import Targets
from fastbcd.statistics.moments import explained_share
from fastbcd.utils.types import Float


def adapted(
    settings: RefineSettings, targets: Targets, x: Float, network: Network
) -> RefineSettings:
    """Return ``settings`` adapted to the data and the network.

    Parameters
    ----------
    settings : RefineSettings
        The settings to start from.
    targets : Targets
        Targets of all rows.
    x : (n, d) array
        Some of the rows, whose redundancy is measured.
    network : Network
        The network to refine.
    """
    if not targets.classify:
        return replace(settings, drop=0.0, decay=0.0, moving=0.0, radius=0.0)
    low, high = settings.redundant_from, settings.redundant_to
    factor = float(np.clip((explained_share(x) - low) / (high - low), 0, 1))
    sure = certainty(targets.dense, targets.several) >= settings.certain
    radius = plenty(network, targets.n_rows, settings) * settings.radius if sure else 0.0
    momentum, rate = settings.momentum, settings.rate
    if targets.n_rows >= RECONSTRUCT.enough:
        momentum = factor * settings.momentum + (1 - factor) * settings.momentum_undropped
    elif any(layer.weight.is_pruned for layer in network.layers):
        rate *= settings.careful ** max(0.0, 2 * factor - 1)
    return replace(
        settings,
        rate=rate,
        drop=factor * settings.drop,
        radius=radius,
        decay=factor * settings.decay,
        momentum=momentum,
    )
