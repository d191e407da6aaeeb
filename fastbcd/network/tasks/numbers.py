"""Regression: one or several numbers per row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import r2_score

from fastbcd.network.tasks.protocol import Task
from fastbcd.utils.types import Float, Float64


class Regression(Task):
    """Regression: the outputs are the predictions.

    Parameters
    ----------
    n_numbers : int
        Number of targets per row.
    flat : bool
        Whether predictions have shape (n,) instead of (n, 1); only for one target.
    """

    kind = "numbers"
    loss = "squared"
    link = None

    def __init__(self, n_numbers: int, flat: bool = False) -> None:
        self.n_numbers = int(n_numbers)
        self.flat = bool(flat)

    @property
    def n_outputs(self) -> int:
        """Number of outputs: one per target."""
        return self.n_numbers

    def encode(self, y: ArrayLike, dtype: np.dtype[Any]) -> Float:
        """Return ``y`` as an array (n, k) of ``dtype``."""
        values = np.asarray(y)
        return np.ascontiguousarray(values.reshape(len(values), -1), dtype=dtype)

    def decode(self, outputs: Float) -> NDArray[Any]:
        """Return the predictions: (n,) if ``flat``, otherwise (n, k)."""
        return outputs[:, 0] if self.flat else outputs

    def score(self, outputs: Float, targets: Float, weight: Float64 | None = None) -> float:
        """Return R², or minus the mean squared error if all targets are constant."""
        if not np.ptp(targets, axis=0).any():
            errors = np.mean(np.square(outputs - targets), axis=1)
            return -float(np.average(errors, weights=weight))
        return float(r2_score(targets, outputs, sample_weight=weight))
