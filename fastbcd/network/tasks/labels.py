"""Multilabel classification: any number of labels per row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbcd.network.losses.links import BY_LABEL, Link
from fastbcd.network.tasks.protocol import Task
from fastbcd.utils.types import Float, Float64


class MultilabelClassification(Task):
    """Multilabel classification: a label applies if its output exceeds :attr:`threshold`.

    Parameters
    ----------
    n_labels : int
        Number of labels, one output each.
    loss : {"logistic", "squared", "hinge"}
        Loss that the outputs were trained with.
    """

    kind = "labels"

    def __init__(self, n_labels: int, loss: str = "logistic") -> None:
        self.n_labels = int(n_labels)
        self.loss = loss
        self.link: Link = BY_LABEL[loss]

    @property
    def n_outputs(self) -> int:
        """Number of outputs: one per label."""
        return self.n_labels

    @property
    def threshold(self) -> float:
        """Output value above which a label applies, that is, where its probability is one half."""
        return self.link.shift

    def encode(self, y: ArrayLike, dtype: np.dtype[Any]) -> Float:
        """Return ``y``, zeros and ones (n, k), as an array of ``dtype``."""
        return np.ascontiguousarray(y, dtype=dtype)

    def decode(self, outputs: Float) -> NDArray[Any]:
        """Return the predicted labels as zeros and ones (n, k)."""
        chosen: NDArray[Any] = (outputs > self.threshold).astype(int)
        return chosen

    def score(self, outputs: Float, targets: Float, weight: Float64 | None = None) -> float:
        """Return the subset accuracy: the share of rows with all labels correct."""
        right = ((outputs > self.threshold) == (targets > 0.5)).all(axis=1)
        return float(np.average(right, weights=weight))
