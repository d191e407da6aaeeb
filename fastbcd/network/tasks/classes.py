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
            label = labels[unknown].tolist()[0]
            raise ValueError(f"y contains the class {label!r}, {self._known(label)}")
        return np.eye(self.classes.size, dtype=dtype)[order[index]]

    def check_kind(self, y: ArrayLike) -> None:
        """Raise ValueError if labels are texts and the classes are not, or the other way round."""
        for label in np.asarray(y).ravel().tolist()[:1]:
            if self._other_kind(label):
                raise ValueError(f"y contains the class {label!r}, {self._known(label)}")

    def _other_kind(self, label: Any) -> bool:
        return isinstance(label, str) != isinstance(self.classes.tolist()[0], str)

    def _known(self, label: Any) -> str:
        """End a message about an unknown label: the known ones, and their type if it differs."""
        advice = ""
        if self._other_kind(label):
            advice = f" Pass labels of type {type(self.classes.tolist()[0]).__name__}."
        return f"which is not among the fitted classes {self.classes}.{advice}"

    def decode(self, outputs: Float) -> NDArray[Any]:
        """Return the predicted class labels (n,)."""
        labels: NDArray[Any] = self.classes[outputs.argmax(axis=1)]
        return labels

    def score(self, outputs: Float, targets: Float, weight: Float64 | None = None) -> float:
        """Return the accuracy."""
        right = outputs.argmax(axis=1) == targets.argmax(axis=1)
        return float(np.average(right, weights=weight))
