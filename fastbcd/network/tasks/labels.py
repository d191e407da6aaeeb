"""Several labels per row, each of which applies or not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbcd.network.losses.links import BY_LABEL, Link
from fastbcd.network.tasks.protocol import Task
from fastbcd.utils.types import Float, Float64


class MultilabelClassification(Task):
    """Several labels per row: those whose output exceeds :attr:`threshold`.

    Parameters
    ----------
    n_labels : int
        Number of labels, one output each.
    loss : {"logistic", "squared", "hinge"}
        What the outputs were trained with.
    """

    kind = "labels"

    def __init__(self, n_labels: int, loss: str = "logistic") -> None:
        self.n_labels = int(n_labels)
        self.loss = loss
        self.link: Link = BY_LABEL[loss]

    @property
    def n_outputs(self) -> int:
        """One output per label."""
        return self.n_labels

    @property
    def threshold(self) -> float:
        """Output above which a label applies; its probability is one half there."""
        return self.link.shift

    def encode(self, y: ArrayLike, dtype: np.dtype[Any]) -> Float:
        """Return ``y``, zeros and ones (n, k), in the type ``dtype``."""
        return np.ascontiguousarray(y, dtype=dtype)

    def decode(self, outputs: Float) -> NDArray[Any]:
        """Return zeros and ones (n, k)."""
        chosen: NDArray[Any] = (outputs > self.threshold).astype(int)
        return chosen

    def score(self, outputs: Float, targets: Float, weight: Float64 | None = None) -> float:
        """Return the share of rows all of whose labels are right."""
        right = ((outputs > self.threshold) == (targets > 0.5)).all(axis=1)
        return float(np.average(right, weights=weight))
