"""The interface of tasks: encode targets, decode outputs and score them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbcd.network.losses.links import Link
from fastbcd.utils.types import Float, Float64


class Task(ABC):
    """Meaning of the output columns of a network.

    Training, import, export, storage and compression work with a network and a task, never with an
    estimator.

    Attributes
    ----------
    kind : {"classes", "labels", "numbers"}
        One class per row, several labels per row, or numbers.
    loss : str
        A key of :data:`fastbcd.network.losses.losses.LOSSES`.
    link : Link or None
        Maps outputs to probabilities; None for numbers.
    n_outputs : int
        Number of output columns.
    """

    kind: ClassVar[Literal["classes", "labels", "numbers"]]
    loss: str
    link: Link | None

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Number of output columns."""

    @property
    def is_softmax(self) -> bool:
        """Whether the outputs are the logits of mutually exclusive classes."""
        return self.kind == "classes" and self.loss == "cross_entropy"

    @abstractmethod
    def encode(self, y: ArrayLike, dtype: np.dtype[Any]) -> Float:
        """Return targets (n, k) for ``y``.

        Raises
        ------
        ValueError
            If ``y`` contains an unknown class.
        """

    @abstractmethod
    def decode(self, outputs: Float) -> NDArray[Any]:
        """Return the predictions for outputs (n, k)."""

    def probabilities(self, outputs: Float) -> Float:
        """Return probabilities (n, k) from outputs (n, k).

        Raises
        ------
        TypeError
            If the outputs are numbers.
        """
        if self.link is None:
            raise TypeError(f"The outputs are {self.kind}, which have no probabilities.")
        return self.link(outputs)

    @abstractmethod
    def score(self, outputs: Float, targets: Float, weight: Float64 | None = None) -> float:
        """Return the score of outputs (n, k) against targets (n, k): at most 1, more is better."""
