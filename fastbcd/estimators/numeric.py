"""Targets that are numbers: one, or several, per row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin

from fastbcd.estimators.base import BCDEstimator
from fastbcd.network.tasks import Regression, Task
from fastbcd.utils import validation as check
from fastbcd.utils.rows import check_training_rows, check_weights
from fastbcd.utils.types import Float, Float64


class NumericEstimator(RegressorMixin, BCDEstimator):
    """An estimator whose targets are numbers."""

    _scale_targets = True
    _least_judges = 2  # R² of one row is no number
    _two_dimensional = False

    if TYPE_CHECKING:  # scikit-learn ships no types

        def score(
            self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
        ) -> float:
            """Return the coefficient of determination R² of the predictions, at most 1."""
            ...

    @property
    def task_(self) -> Task:
        """What the outputs of the fitted network mean."""
        layers = self.network_.layers if hasattr(self, "network_") else ()
        n_outputs = layers[-1].weight.shape[1] if layers else 1
        return Regression(n_outputs, flat=not self._two_dimensional)

    def set_task(self, task: Task) -> None:
        """Take over the shape of the predictions of a network that was trained elsewhere."""
        self._two_dimensional = not (isinstance(task, Regression) and task.flat)

    def _loss(self) -> str:
        check.check_choice("loss", self.loss, ("auto", "squared"))
        return "squared"

    def _check_training_data(self, X: Any, y: Any, reset: bool = True) -> tuple[Float, Float]:
        x, y = check_training_rows(self, X, y, numeric=True, reset=reset)
        if reset:
            self._two_dimensional = y.ndim == 2
            self._n_targets = 1 if y.ndim == 1 else y.shape[1]
        targets = Regression(1).encode(y, np.dtype(np.float64))
        known = getattr(self, "_n_targets", self.task_.n_outputs)
        if targets.shape[1] != known:
            raise ValueError(
                f"y has {targets.shape[1]} target(s) per row, but the estimator learns {known}. "
                "Pass as many as in the first call, or use a new estimator."
            )
        # float64 until they are centred: neighbours in float32 may be further apart than targets.
        return x, targets

    def _check_weights(
        self, sample_weight: ArrayLike | None, x: Any, y: ArrayLike | None
    ) -> Float64:
        return check_weights(sample_weight, x)
