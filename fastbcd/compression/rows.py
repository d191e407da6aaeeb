"""The rows of a compression, checked and encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastbcd.network.chunks import as_network_type, forward
from fastbcd.network.network import Network
from fastbcd.network.tasks import Task
from fastbcd.utils.rows import check_weights
from fastbcd.utils.types import Float, Float64


@dataclass(frozen=True)
class Rows:
    """Inputs, with or without targets and weights.

    Parameters
    ----------
    x : (n, d) array
        Inputs in the type of the network.
    targets : (n, k) array or None
        Targets as the task encodes them.
    weight : (n,) array or None
        Weights; None if all are one.
    """

    x: Float
    targets: Float | None
    weight: Float64 | None = None

    def __len__(self) -> int:
        return len(self.x)


def rows_of(
    network: Network, task: Task, x: Any, y: ArrayLike | None, sample_weight: ArrayLike | None
) -> Rows:
    """Return checked inputs ``x`` with their targets and weights.

    Raises
    ------
    ValueError
        If the targets do not match the rows or the outputs, or the weights are invalid.
    """
    x = as_network_type(x, network)
    weight = check_weights(sample_weight, x)
    targets = None if y is None else _encoded(task, y, x)
    return Rows(x, targets, None if sample_weight is None else weight)


def own_targets(network: Network, task: Task, x: Float) -> Float:
    """Return the predictions of the network for rows ``x`` as targets."""
    outputs = forward(network, x)
    return task.encode(task.decode(outputs), x.dtype) if task.kind == "labels" else outputs


def _encoded(task: Task, y: ArrayLike, x: Float) -> Float:
    targets = np.asarray(y)
    if len(targets) != len(x):
        raise ValueError(f"X has {len(x)} rows, but y has {len(targets)}. Pass one target per row.")
    encoded = task.encode(targets, x.dtype)
    if encoded.shape[1] != task.n_outputs or not np.isfinite(encoded).all():
        raise ValueError(
            f"y must be finite with {task.n_outputs} columns, one per output of the network; it "
            f"has {encoded.shape[1]} columns and {np.sum(~np.isfinite(encoded))} values that are "
            "not finite."
        )
    return encoded
