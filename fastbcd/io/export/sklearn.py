"""Fitted networks as scikit-learn's own estimators."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.exceptions import ExportWarning
from fastbcd.io.export.refusals import refuse_images
from fastbcd.utils.types import Float

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


def to_sklearn(estimator: Any) -> MLPClassifier | MLPRegressor:
    """Return scikit-learn's MLP with dense weights and the same predictions.

    ``predict``, ``predict_proba``, ``score`` and ``partial_fit`` work on it, and so do the tools
    that take an MLP, such as converters. Two classes share one logit there, the difference of ours.

    Parameters
    ----------
    estimator : BCDClassifier or BCDRegressor
        Fitted, all hidden layers of one activation among identity, logistic, tanh and relu.

    Returns
    -------
    MLPClassifier or MLPRegressor
        Fitted. One output is predicted as (n,), also where ``estimator`` gives (n, 1).

    Raises
    ------
    ValueError
        For activations or class labels that scikit-learn's MLPs lack.

    Warns
    -----
    ExportWarning
        With the hinge or the squared loss and one class per row: the predicted classes are the
        same, but ``predict_proba`` is the softmax of the outputs.
    """
    check_is_fitted(estimator)
    if not isinstance(estimator, BCDClassifier | BCDRegressor):
        raise TypeError(
            f"to_sklearn takes a BCDClassifier or BCDRegressor, not {type(estimator).__name__}."
        )
    refuse_images(estimator.network_, "to_sklearn")
    layers = estimator.network_.layers
    activation = _activation([layer.activation for layer in layers[:-1]])
    hidden = tuple(layer.weight.shape[1] for layer in layers[:-1])
    coefs = [layer.weight.to_dense() for layer in layers]
    intercepts = [layer.intercept.copy() for layer in layers]
    cls = MLPClassifier if isinstance(estimator, BCDClassifier) else MLPRegressor
    mlp = cls(hidden, activation=activation, random_state=estimator.random_state)
    if isinstance(estimator, BCDClassifier):
        mlp._label_binarizer = _binarizer(estimator)
        mlp.classes_ = estimator.classes_
        coefs[-1], intercepts[-1], mlp.out_activation_ = _logits(
            estimator, coefs[-1], intercepts[-1]
        )
    else:
        mlp.out_activation_ = "identity"
    mlp.coefs_, mlp.intercepts_ = coefs, intercepts
    mlp.n_layers_ = len(coefs) + 1
    mlp.n_outputs_ = coefs[-1].shape[1]
    mlp.n_features_in_ = coefs[0].shape[0]
    if hasattr(estimator, "feature_names_in_"):
        mlp.feature_names_in_ = estimator.feature_names_in_
    # What partial_fit counts on.
    mlp.n_iter_, mlp.t_, mlp._no_improvement_count = int(estimator.n_iter_), 0, 0
    mlp.loss_, mlp.best_loss_, mlp.loss_curve_ = np.inf, np.inf, []
    mlp.validation_scores_ = mlp.best_validation_score_ = None
    mlp._random_state = check_random_state(estimator.random_state)
    return mlp


def _activation(hidden: list[str]) -> str:
    """Return the one activation of all hidden layers."""
    for index, name in enumerate(hidden):
        if name not in ACTIVATIONS:
            raise ValueError(
                f"Layer {index} has the activation {name!r}, which scikit-learn's MLPs lack: they "
                f"have {', '.join(ACTIVATIONS)}. to_onnx and to_torch can express it."
            )
    if len(set(hidden)) > 1:
        raise ValueError(
            f"The hidden layers have the activations {', '.join(hidden)}; scikit-learn's MLPs have "
            "one for all. to_onnx and to_torch can express several."
        )
    return hidden[0] if hidden else "identity"


def _logits(estimator: BCDClassifier, weight: Float, intercept: Float) -> tuple[Float, Float, str]:
    """Return weight, intercept and activation of scikit-learn's output layer."""
    loss = estimator._loss()
    if estimator._multilabel:
        if loss == "logistic":
            return weight, intercept, "logistic"
        # As in predict_proba; a power of two changes no digit.
        shift = intercept.dtype.type(estimator._threshold())
        return 4 * weight, 4 * (intercept - shift), "logistic"
    if loss != "cross_entropy":
        warnings.warn(
            f"loss={loss!r}: the MLPClassifier predicts the same classes, but its predict_proba is "
            "the softmax of the outputs, which differs from ours. Use the classes alone, or train "
            'with loss="cross_entropy".',
            ExportWarning,
            stacklevel=3,
        )
    if weight.shape[1] == 2:
        return weight[:, 1:] - weight[:, :1], intercept[1:] - intercept[:1], "logistic"
    return weight, intercept, "softmax"


def _binarizer(estimator: BCDClassifier) -> LabelBinarizer:
    """Return the LabelBinarizer that an MLPClassifier has after a fit to the same labels."""
    if estimator._multilabel:
        return LabelBinarizer().fit(np.eye(len(estimator.classes_), dtype=int))
    try:
        return LabelBinarizer().fit(estimator.classes_)
    except ValueError as error:
        raise ValueError(
            f"scikit-learn's MLPClassifier cannot have these classes: {error}"
        ) from None
