"""The scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbcd.estimators import docs as _docs
from fastbcd.estimators.labelled import LabelledEstimator
from fastbcd.estimators.numeric import NumericEstimator
from fastbcd.estimators.refused import unchanged_if_refused
from fastbcd.network.chunks import forward
from fastbcd.network.layers.specs import LayerSize
from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.utils.types import Float


@_docs.shared(
    '{"auto", "cross_entropy", "squared", "hinge"}',
    '"auto" is "cross_entropy"; with several labels per row, one for each label.',
    "3e-6",
)
class BCDClassifier(LabelledEstimator):
    """A neural network classifier that can be compressed during or after training.

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
    Inputs are centred and scaled before the fit, and the network absorbs both. Features whose range
    is more than 10 times larger or smaller than the typical one are scaled to it; the full solver
    can do that only if the first layer has no scheme. Otherwise standardise such features in a
    Pipeline, or choose ``solver="minibatch"``.

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

    saved_as = "BCDClassifier"

    def __init__(
        self,
        hidden_layer_sizes: LayerSize | Sequence[LayerSize] = (100,),
        *,
        input_shape: tuple[int, ...] | None = None,
        random_shift: int = 0,
        activation: str = "relu",
        encoding: str | None = "auto",
        solver: str = "auto",
        loss: str = "auto",
        scheme: SchemeChoice = None,
        alpha: float = 0.0,
        batch_size: int | str = "auto",
        rho: float = 1.0,
        gamma: float = 1.0,
        tau: float | str = "auto",
        proximal: float = 1.0,
        init: str = "orthogonal",
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
            input_shape=input_shape,
            random_shift=random_shift,
            activation=activation,
            encoding=encoding,
            solver=solver,
            loss=loss,
            scheme=scheme,
            alpha=alpha,
            batch_size=batch_size,
            rho=rho,
            gamma=gamma,
            tau=tau,
            proximal=proximal,
            init=init,
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
        return self.task_.decode(forward(self.network_, x))

    def predict_proba(self, X: ArrayLike) -> Float:
        """Return class probabilities (n_samples, n_classes), ordered as ``classes_``.

        With the cross-entropy these are the softmax of the outputs. With the other losses they
        order the classes as ``predict`` does but are not calibrated: the probability vector nearest
        to the outputs of the squared loss, or to the margins of the hinge mapped from [-1, 1] to
        [0, 1]; with several labels per row, the logistic function of each output.

        Parameters
        ----------
        X : (n_samples, n_features) array or sparse matrix
            Inputs.
        """
        x = self._check_inputs(X)
        return self.task_.probabilities(forward(self.network_, x))

    def predict_log_proba(self, X: ArrayLike) -> Float:
        """Return the logarithm of :meth:`predict_proba` for the rows of ``X``."""
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
        """Learn from some rows of a stream, once, by steps on batches of them.

        Parameters
        ----------
        X, y : arrays
            Rows and their classes, as in ``fit``.
        classes : (n_classes,) array
            All classes there will be; required in the first call, and the same in later ones.
        sample_weight : (n_samples,) array, optional
            Non-negative weights.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the rows cannot be used. The model is then as it was.

        Warns
        -----
        ConvergenceWarning
            If steps diverged and were undone.
        """
        first = not hasattr(self, "classes_")
        if first and classes is None:
            raise ValueError(
                "classes must be given in the first call of partial_fit: all that there will be."
            )
        if self.class_weight == "balanced":
            raise ValueError(
                'class_weight="balanced" needs all rows at once. Pass a dict, or sample_weight.'
            )
        with unchanged_if_refused(self):
            x, targets = self._check_training_data(X, y, reset=first, classes=classes)
            return self._learn(x, targets, self._check_weights(sample_weight, x, y))

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what is accepted."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@_docs.shared('{"auto", "squared"}', '"auto" is "squared".', "1e-6")
class BCDRegressor(NumericEstimator):
    """A neural network regressor that can be compressed during or after training.

    Parameters
    ----------
    <parameters>

    Attributes
    ----------
    <attributes>

    Notes
    -----
    Inputs are centred and scaled before the fit, as in :class:`BCDClassifier`, and targets likewise
    (each output by its own number, if the output layer is dense); the network absorbs all of it.
    float32 inputs give a float32 network, unless float32 cannot tell the targets apart, such as
    seconds since 1970: then the network is float64.

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

    saved_as = "BCDRegressor"

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what is accepted."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn from some rows of a stream, once, by steps on batches of them.

        Parameters
        ----------
        X, y : arrays
            Rows and their targets, as in ``fit``.
        sample_weight : (n_samples,) array, optional
            Non-negative weights.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the rows cannot be used. The model is then as it was.

        Warns
        -----
        ConvergenceWarning
            If steps diverged and were undone.
        """
        with unchanged_if_refused(self):
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
        return self.task_.decode(forward(self.network_, x))
