"""Probabilities of a compressed network that mean what they say.

A network that was trained to the end on few rows is right on them with probabilities near one, and
less often on others. Its compressed version imitates that. Rows that neither has learnt from tell
by which factor the outputs must shrink; the output layer absorbs it, so that all exports have it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastbcd.compression.rows import Rows
from fastbcd.network.chunks import forward
from fastbcd.network.network import Network
from fastbcd.network.tasks.protocol import Task
from fastbcd.solvers.batch import settings
from fastbcd.solvers.batch.race import TEMPERED
from fastbcd.solvers.batch.temperature import fit_temperature, row_losses


def has_temperature(task: Task) -> bool:
    """Whether outputs are logarithms of odds, which a factor makes more or less certain."""
    return task.loss in TEMPERED


def calibrated(network: Network, task: Task, rows: Rows) -> tuple[Network, str]:
    """Return the network with outputs times a factor, and a note for the report.

    Parameters
    ----------
    network : Network
        After the compression.
    task : Task
        With the loss ``"cross_entropy"`` or ``"logistic"``.
    rows : Rows
        Rows with targets that the network has not learnt from.
    """
    assert rows.targets is not None
    outputs = forward(network, rows.x)
    weight = np.ones(len(rows)) if rows.weight is None else rows.weight
    spread = settings.DEFAULTS.temperature_spread
    factor = fit_temperature(outputs, rows.targets, weight, spread, task.loss)
    before, after = (
        float(np.average(row_losses(scale * outputs, rows.targets, task.loss), weights=weight))
        for scale in (1.0, factor)
    )
    last = network.layers[-1]
    scaled = replace(
        last,
        weight=last.weight.scaled(factor),
        intercept=(last.intercept * factor).astype(last.intercept.dtype),
    )
    note = (
        f"outputs times {factor:.3g}: the log loss on validation_data falls from {before:.4g} to "
        f"{after:.4g}"
    )
    return Network([*network.layers[:-1], scaled]), note
