"""The scikit-learn estimators."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d, validate_data

from fastbcd import _docs
from fastbcd import _validation as check
from fastbcd._estimator import BCDEstimator, check_weights, forward
from fastbcd._types import Float, Float64
from fastbcd.losses import LOSSES
from fastbcd.schemes._base import SchemeChoice


@_docs.shared(
    '{"auto", "cross_entropy", "squared", "hinge"}',
    '"auto" is "cross_entropy"; with several labels per row, one for each label.',
    "3e-6",
)
class BCDClassifier(ClassifierMixin, BCDEstimator):
    """A neural network classifier trained, and compressed, by block coordinate descent.

    Parameters
    ----------
    <parameters>
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied with ``sample_weight``.

    Attributes
    ----------
    classes_ : (n_classes,) array
        The class labels.
    <attributes>

    Notes
    -----
    Inputs are centred and divided by one number before the fit, and the network absorbs both.
    Features of very different scales are better standardised in a Pipeline.

    References
    ----------
    Li, Du, Wang, Chung, Zhou, Shen: On Model Compression for Neural Networks: Framework,
    Algorithm, and Convergence Guarantee. arXiv 2303.06815.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastbcd import BCDClassifier
    >>> from fastbcd.schemes import Prune
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = BCDClassifier((64,), scheme=Prune(sparsity=0.8), random_state=0).fit(X, y)
    >>> clf.layers_[0].n_params, clf.score(X, y) > 0.95
    (819, True)
    """

    _scale_targets = False
    classes_: NDArray[Any]
    _n_labels = 0

    def __init__(
        self,
        hidden_layer_sizes: int | tuple[int, ...] = (100,),
        *,
        activation: str = "relu",
        solver: str = "auto",
        loss: str = "auto",
        scheme: SchemeChoice = None,
        rho: float = 1.0,
        gamma: float = 1.0,
        tau: float | str = "auto",
        alpha: float = 1.0,
        max_iter: int = 1000,
        tol: float = 3e-6,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        class_weight: dict[Any, float] | str | None = None,
        warm_start: bool = False,
        accelerate: bool = True,
        certificate: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation=activation,
            solver=solver,
            loss=loss,
            scheme=scheme,
            rho=rho,
            gamma=gamma,
            tau=tau,
            alpha=alpha,
            max_iter=max_iter,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            warm_start=warm_start,
            accelerate=accelerate,
            certificate=certificate,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class of each row of ``X``, or its labels if there are many.

        Parameters
        ----------
        X : (n_samples, n_features) array or sparse matrix
            Inputs.

        Returns
        -------
        (n_samples,) array of classes, or (n_samples, n_labels) array of zeros and ones
        """
        x = self._check_inputs(X)
        outputs = forward(self.network_, x)
        if self._multilabel:
            chosen: NDArray[Any] = (outputs > self._threshold()).astype(int)
            return chosen
        best: NDArray[Any] = self.classes_[outputs.argmax(axis=1)]
        return best

    def predict_proba(self, X: ArrayLike) -> Float:
        """Return class probabilities (n_samples, n_classes), ordered as ``classes_``.

        With the cross-entropy these are the softmax of the outputs. With the other losses they
        are an order rather than calibrated probabilities: the squared loss's outputs and the
        hinge's margins, clipped to [0, 1] and normalised, or squashed if there are several
        labels per row.
        """
        x = self._check_inputs(X)
        outputs = forward(self.network_, x)
        loss = self._loss()
        if self._multilabel and loss != "logistic":
            squashed: Float = expit(4 * (outputs - outputs.dtype.type(self._threshold())))
            return squashed
        return LOSSES[loss].probabilities(outputs)

    def predict_log_proba(self, X: ArrayLike) -> Float:
        """Return the logarithm of :meth:`predict_proba`."""
        with np.errstate(divide="ignore"):
            logarithms: Float = np.log(self.predict_proba(X))
        return logarithms

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from some rows of a stream, once, by mini-batch steps.

        Parameters
        ----------
        X, y : arrays
            Rows and their classes, as in ``fit``.
        classes : (n_classes,) array
            All classes there will be; required in the first call.
        sample_weight : (n_samples,) array, optional
            Non-negative weights.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the rows cannot be used. The model is then as it was.
        """
        first = not hasattr(self, "classes_")
        if first and classes is None:
            raise ValueError("classes must be given in the first call of partial_fit.")
        if self.class_weight == "balanced":
            raise ValueError(
                'class_weight="balanced" needs all rows at once. Give a dict, or sample_weight.'
            )
        x, targets = self._check_training_data(X, y, reset=first, classes=classes)
        weight = self._check_weights(sample_weight, x, y)
        return self._learn(x, targets, weight)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what is accepted."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @property
    def _multilabel(self) -> bool:
        """Whether the fitted targets are several labels per row."""
        return self._n_labels > 0

    def _threshold(self) -> float:
        """Return the output above which a label is predicted."""
        return 0.5 if self._loss() == "squared" else 0.0

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
        x, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=(np.float64, np.float32),
            multi_output=True,
            reset=reset,
        )
        check_classification_targets(y)
        several = type_of_target(y) == "multilabel-indicator"
        y = np.asarray(y.todense() if hasattr(y, "todense") else y)
        if not several:
            y = column_or_1d(y, warn=True)
        if reset:
            self._learn_classes(y, several, classes)
        elif several != self._multilabel:
            raise ValueError("y must be of the kind that was fitted: one class per row, or labels.")
        return x, self._encode(y, x.dtype)

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

    def _encode(self, y: NDArray[Any], dtype: np.dtype[Any]) -> Float:
        if y.ndim == 2:
            return np.ascontiguousarray(y, dtype=dtype)
        index = np.clip(np.searchsorted(self.classes_, y), 0, self.classes_.size - 1)
        unknown = self.classes_[index] != y
        if unknown.any():
            raise ValueError(
                f"y contains the class {y[unknown].tolist()[0]!r}, which the fitted classes "
                f"{self.classes_} lack."
            )
        return np.eye(self.classes_.size, dtype=dtype)[index]

    def _check_weights(
        self, sample_weight: ArrayLike | None, x: Any, y: ArrayLike | None
    ) -> Float64:
        weight = check_weights(sample_weight, x)
        if self.class_weight is not None and y is not None:
            if self._multilabel:
                raise ValueError("class_weight needs one class per row; use sample_weight.")
            labels = np.asarray(y).ravel()
            index = np.searchsorted(self.classes_, labels)
            present = np.unique(index[weight > 0])
            by_class = np.zeros(self.classes_.size)
            by_class[present] = compute_class_weight(
                self.class_weight, classes=self.classes_[present], y=labels[weight > 0]
            )
            weight = weight * by_class[index]
        return weight

    def _score_outputs(self, outputs: Float, targets: Float, weight: Float64 | None) -> float:
        if self._multilabel:
            right = ((outputs > self._threshold()) == (targets > 0.5)).all(axis=1)
            return float(np.average(right, weights=weight))
        truth, guess = targets.argmax(axis=1), outputs.argmax(axis=1)
        return float(accuracy_score(truth, guess, sample_weight=weight))


@_docs.shared('{"auto", "squared"}', '"auto" is "squared".', "1e-6")
class BCDRegressor(RegressorMixin, BCDEstimator):
    """A neural network regressor trained, and compressed, by block coordinate descent.

    Parameters
    ----------
    <parameters>

    Attributes
    ----------
    <attributes>

    Notes
    -----
    Inputs are centred and divided by one number before the fit, and targets likewise (each output
    by its own, if the output layer is dense); the network absorbs all of it.

    References
    ----------
    Li, Du, Wang, Chung, Zhou, Shen: On Model Compression for Neural Networks: Framework,
    Algorithm, and Convergence Guarantee. arXiv 2303.06815.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from fastbcd import BCDRegressor
    >>> X, y = make_friedman1(500, random_state=0)
    >>> reg = BCDRegressor((50,), random_state=0).fit(X, y)
    >>> reg.score(X, y) > 0.9
    True
    """

    _scale_targets = True

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what is accepted."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn from some rows of a stream, once, by mini-batch steps.

        Parameters
        ----------
        X, y : arrays
            Rows and their targets, as in ``fit``. The first call fixes shift and scale of the
            targets.
        sample_weight : (n_samples,) array, optional
            Non-negative weights.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the rows cannot be used. The model is then as it was.
        """
        x, targets = self._check_training_data(X, y, reset=not hasattr(self, "network_"))
        return self._learn(x, targets, self._check_weights(sample_weight, x, y))

    def predict(self, X: ArrayLike) -> Float:
        """Return predictions, (n_samples,) or (n_samples, n_outputs).

        Parameters
        ----------
        X : (n_samples, n_features) array or sparse matrix
            Inputs.
        """
        x = self._check_inputs(X)
        outputs = forward(self.network_, x)
        return outputs if self._two_dimensional else outputs[:, 0]

    def _loss(self) -> str:
        check.check_choice("loss", self.loss, ("auto", "squared"))
        return "squared"

    def _check_training_data(self, X: Any, y: Any, reset: bool = True) -> tuple[Float, Float]:
        x, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=(np.float64, np.float32),
            multi_output=True,
            y_numeric=True,
            reset=reset,
        )
        if reset:
            self._two_dimensional = y.ndim == 2
        return x, self._encode(y, x.dtype)

    def _encode(self, y: NDArray[Any], dtype: np.dtype[Any]) -> Float:
        return np.ascontiguousarray(y.reshape(len(y), -1), dtype=dtype)

    def _check_weights(
        self, sample_weight: ArrayLike | None, x: Any, y: ArrayLike | None
    ) -> Float64:
        return check_weights(sample_weight, x)

    def _score_outputs(self, outputs: Float, targets: Float, weight: Float64 | None) -> float:
        return float(r2_score(targets, outputs, sample_weight=weight))
