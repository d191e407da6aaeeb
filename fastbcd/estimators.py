"""The scikit-learn estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from fastbcd import _docs
from fastbcd import _validation as check
from fastbcd._estimator import BCDEstimator, as_dense, check_weights, forward
from fastbcd._types import Float, Float64
from fastbcd.losses import LOSSES
from fastbcd.schemes._base import SchemeChoice


@_docs.shared('{"auto", "cross_entropy", "squared"}', '"auto" is "cross_entropy".', "3e-6")
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
        """Return the most probable class of each row of ``X`` (n_samples, n_features)."""
        x = self._check_inputs(X)
        best: NDArray[Any] = self.classes_[forward(self.network_, x).argmax(axis=1)]
        return best

    def predict_proba(self, X: ArrayLike) -> Float:
        """Return class probabilities (n_samples, n_classes), ordered as ``classes_``.

        With the cross-entropy these are the softmax of the outputs; with the squared loss the
        outputs themselves, clipped to [0, 1] and normalised.
        """
        x = self._check_inputs(X)
        return LOSSES[self._loss()].probabilities(forward(self.network_, x))

    def predict_log_proba(self, X: ArrayLike) -> Float:
        """Return the logarithm of :meth:`predict_proba`."""
        with np.errstate(divide="ignore"):
            logarithms: Float = np.log(self.predict_proba(X))
        return logarithms

    def _loss(self) -> str:
        choices = ("auto", "cross_entropy", "squared")
        loss = check.check_choice("loss", self.loss, choices)
        return "cross_entropy" if loss == "auto" else loss

    def _check_training_data(self, X: Any, y: Any, reset: bool = True) -> tuple[Float, Float]:
        x, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=(np.float64, np.float32), reset=reset
        )
        check_classification_targets(y)
        if reset:
            classes = np.unique(y)
            if classes.size < 2:
                raise ValueError(
                    f"y has one class only, {classes.tolist()[0]!r}. A classifier needs rows of at least "
                    "two classes."
                )
            warm = self.warm_start and hasattr(self, "network_")
            if warm and not np.array_equal(classes, self.classes_):
                raise ValueError(
                    f"warm_start: y has classes {classes}, the fitted network {self.classes_}. "
                    "Set warm_start=False to start afresh."
                )
            self.classes_ = classes
        return as_dense(x), self._encode(y, x.dtype)

    def _encode(self, y: NDArray[Any], dtype: np.dtype[Any]) -> Float:
        index = np.clip(np.searchsorted(self.classes_, y), 0, self.classes_.size - 1)
        unknown = self.classes_[index] != y
        if unknown.any():
            raise ValueError(
                f"y contains the class {y[unknown].tolist()[0]!r}, which the fitted classes "
                f"{self.classes_} lack."
            )
        return np.eye(self.classes_.size, dtype=dtype)[index]

    def _check_weights(
        self, sample_weight: ArrayLike | None, x: Float, y: ArrayLike | None
    ) -> Float64:
        weight = check_weights(sample_weight, x)
        if self.class_weight is not None and y is not None:
            labels = np.asarray(y).ravel()
            index = np.searchsorted(self.classes_, labels)
            present = np.unique(index[weight > 0])
            by_class = np.zeros(self.classes_.size)
            by_class[present] = compute_class_weight(
                self.class_weight, classes=self.classes_[present], y=labels[weight > 0]
            )
            weight = weight * by_class[index]
        return weight

    def _own_targets(self, x: Float) -> Float:
        outputs = forward(self.network_, x)
        return LOSSES[self._loss()].probabilities(outputs).astype(x.dtype)

    def _score_outputs(self, outputs: Float, targets: Float, weight: Float64 | None) -> float:
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

    def predict(self, X: ArrayLike) -> Float:
        """Return predictions, (n_samples,) or (n_samples, n_outputs), for ``X``."""
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
        return as_dense(x), self._encode(y, x.dtype)

    def _encode(self, y: NDArray[Any], dtype: np.dtype[Any]) -> Float:
        return np.ascontiguousarray(y.reshape(len(y), -1), dtype=dtype)

    def _check_weights(
        self, sample_weight: ArrayLike | None, x: Float, y: ArrayLike | None
    ) -> Float64:
        return check_weights(sample_weight, x)

    def _own_targets(self, x: Float) -> Float:
        return forward(self.network_, x)

    def _score_outputs(self, outputs: Float, targets: Float, weight: Float64 | None) -> float:
        return float(r2_score(targets, outputs, sample_weight=weight))
