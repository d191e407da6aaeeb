"""Classification with one class per row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbcd.network.losses.links import BY_CLASS, Link
from fastbcd.network.tasks.protocol import Task
from fastbcd.utils.types import Float, Float64


class Classification(Task):
    """One class per row: the class with the largest output.

    Parameters
    ----------
    classes : (k,) array
        The class labels in the order of the outputs.
    loss : {"cross_entropy", "squared", "hinge"}
        Loss that the outputs were trained with.
    """

    kind = "classes"

    def __init__(self, classes: ArrayLike, loss: str = "cross_entropy") -> None:
        self.classes: NDArray[Any] = np.asarray(classes)
        self.loss = loss
        self.link: Link = BY_CLASS[loss]

    @property
    def n_outputs(self) -> int:
        """Number of outputs: one per class."""
        return int(self.classes.size)

    def encode(self, y: ArrayLike, dtype: np.dtype[Any]) -> Float:
        """Return class indicators (n, k): 1 in the column of each row's class, 0 elsewhere."""
        labels = np.asarray(y)
        order = np.argsort(self.classes, kind="stable")
        ranked = self.classes[order]
        index = np.clip(np.searchsorted(ranked, labels), 0, ranked.size - 1)
        unknown = ranked[index] != labels
        if unknown.any():
            first = labels[unknown].tolist()[0]
            advice = ""
            if isinstance(first, str) != (self.classes.dtype.kind in "UO"):
                advice = f" Pass labels of type {type(self.classes.tolist()[0]).__name__}."
            raise ValueError(
                f"y contains the class {first!r}, which is not among the fitted classes "
                f"{self.classes}.{advice}"
            )
        return np.eye(self.classes.size, dtype=dtype)[order[index]]

    def decode(self, outputs: Float) -> NDArray[Any]:
        """Return the predicted class labels (n,)."""
        labels: NDArray[Any] = self.classes[outputs.argmax(axis=1)]
        return labels

    def score(self, outputs: Float, targets: Float, weight: Float64 | None = None) -> float:
        """Return the accuracy."""
        right = outputs.argmax(axis=1) == targets.argmax(axis=1)
        return float(np.average(right, weights=weight))
