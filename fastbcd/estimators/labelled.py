"""Class labels and the rows of numbers that stand for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from fastbcd.estimators.base import BCDEstimator
from fastbcd.network.tasks import Classification, MultilabelClassification, Task
from fastbcd.utils import validation as check
from fastbcd.utils.rows import check_training_rows, check_weights
from fastbcd.utils.types import Float, Float64


class LabelledEstimator(ClassifierMixin, BCDEstimator):
    """An estimator whose targets are one class per row, or several labels per row."""

    classes_: NDArray[Any]
    class_weight: dict[Any, float] | str | None
    _scale_targets = False
    _n_labels = 0

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy of the predictions.

        Parameters
        ----------
        X : (n_samples, n_features) array or sparse matrix
            Inputs.
        y : (n_samples,) or (n_samples, n_labels) array
            True labels. With several labels per row, all labels of a row must be right.
        sample_weight : (n_samples,) array, optional
            Weights of the rows.

        Returns
        -------
        float
            Share of the rows that are predicted right.

        Raises
        ------
        ValueError
            If the labels are texts and those of the fit numbers, or the other way round.
        """
        if hasattr(self, "network_") and isinstance(self.task_, Classification):
            self.task_.check_kind(y)
        score: float = super().score(X, y, sample_weight)
        return score

    @property
    def _multilabel(self) -> bool:
        """Whether the fitted targets are several labels per row."""
        return self._n_labels > 0

    @property
    def task_(self) -> Task:
        """What the outputs of the fitted network mean."""
        if self._multilabel:
            return MultilabelClassification(self._n_labels, self._loss())
        return Classification(self.classes_, self._loss())

    def set_task(self, task: Task) -> None:
        """Take over the classes, or the number of labels, of a network trained elsewhere."""
        self._n_labels = task.n_outputs if task.kind == "labels" else 0
        classes = task.classes if isinstance(task, Classification) else None
        self.classes_ = np.arange(task.n_outputs) if classes is None else classes

    def _loss(self) -> str:
        choices = ("auto", "cross_entropy", "squared", "hinge")
        loss = check.check_choice("loss", self.loss, choices)
        if loss in ("auto", "cross_entropy"):
            # Several labels per row: one two-class cross-entropy each.
            return "logistic" if getattr(self, "_n_labels", 0) else "cross_entropy"
        return loss

    def _check_training_data(
        self, X: Any, y: Any, reset: bool = True, classes: Any = None
    ) -> tuple[Any, Float]:
        x, y = check_training_rows(self, X, y, numeric=False, reset=reset)
        check_classification_targets(y)
        several = type_of_target(y) == "multilabel-indicator"
        y = np.asarray(y.todense() if hasattr(y, "todense") else y)
        if not several:
            y = column_or_1d(y, warn=True)
        if reset:
            self._learn_classes(y, several, classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={np.unique(classes).tolist()} are not those of the first call, "
                f"{self.classes_.tolist()}. Leave them out, or use a new estimator."
            )
        elif several != self._multilabel:
            kinds = ("one class per row", "several labels per row")
            raise ValueError(
                f"y has {kinds[several]}, the estimator was fitted with {kinds[not several]}. Give "
                "targets of that kind, or use a new estimator."
            )
        # One byte each: a memory map may have many rows. The solvers convert what they use.
        return x, self.task_.encode(y, np.dtype(np.int8))

    def _learn_classes(self, y: NDArray[Any], several: bool, classes: Any) -> None:
        """Set ``classes_`` from ``y``, or from what partial_fit was told."""
        told = y if classes is None else classes
        found = np.arange(y.shape[1]) if several else np.unique(told)
        if not several and found.size < 2:
            raise ValueError(
                f"y has one class only, {found.tolist()[0]!r}. "
                "A classifier needs rows of at least two classes."
            )
        warm = self.warm_start and hasattr(self, "network_")
        if warm and not np.array_equal(found, self.classes_):
            raise ValueError(
                f"warm_start: y has classes {found}, the fitted network {self.classes_}. "
                "Set warm_start=False to start afresh."
            )
        self.classes_ = found
        self._n_labels = y.shape[1] if several else 0

    def _check_weights(
        self, sample_weight: ArrayLike | None, x: Any, y: ArrayLike | None
    ) -> Float64:
        weight = check_weights(sample_weight, x)
        if self.class_weight is not None and y is not None:
            if self._multilabel:
                raise ValueError(
                    f"class_weight={self.class_weight!r} needs one class per row; y has several "
                    "labels. Leave it out, or weigh the rows by sample_weight."
                )
            labels = np.asarray(y).ravel()
            index = np.searchsorted(self.classes_, labels)
            by_class = np.zeros(self.classes_.size)
            # "balanced" is about the rows that count, a dict about all classes.
            asked = np.arange(by_class.size)
            if not isinstance(self.class_weight, dict):
                asked = np.unique(index[weight > 0])
            by_class[asked] = compute_class_weight(
                self.class_weight, classes=self.classes_[asked], y=labels[weight > 0]
            )
            wrong = ~((by_class >= 0) & np.isfinite(by_class))
            if wrong.any():
                raise ValueError(
                    f"class_weight gives the class {self.classes_[wrong].tolist()[0]!r} the weight "
                    f"{by_class[wrong][0]:g}; weights must be finite and not negative."
                )
            weight = weight * by_class[index]
            if not weight.any():
                raise ValueError(
                    f"class_weight={self.class_weight!r} and sample_weight leave no row a weight "
                    "above zero; at least one must have one."
                )
        return weight
