"""Networks as scikit-learn's own estimators."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state

from fastbcd.exceptions import ExportWarning
from fastbcd.formats import DenseMatrix
from fastbcd.formats.operations import spread_inputs
from fastbcd.io.export.refusals import refuse_encoding, refuse_images
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.layers.view import WHOLE_ROW
from fastbcd.network.losses.links import Link
from fastbcd.network.network import Layer, Network
from fastbcd.network.tasks import Classification, Task
from fastbcd.utils.types import Float
from fastbcd.utils.warnings import warn

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


def sklearn_mlp(
    network: Network,
    task: Task,
    *,
    random_state: Any = None,
    feature_names: NDArray[Any] | None = None,
    n_iter: int = 0,
) -> MLPClassifier | MLPRegressor:
    """Return scikit-learn's MLP with the same predictions; see :func:`fastbcd.export.to_sklearn`.

    Parameters
    ----------
    network, task
        The network, and what its outputs mean.
    random_state : int, RandomState or None
        The parameter of the MLP.
    feature_names : (n_features,) array of str, optional
        Names of the features.
    n_iter : int
        Passes over the data that were made so far.

    Raises
    ------
    ValueError
        For activations or class labels that scikit-learn's MLPs lack, and for an encoding with
        other activations than ReLU.
    """
    refuse_images(network, "to_sklearn")
    layers = network.layers
    if network.encoding is not None and not len(network.encoding.columns):
        layers = _with_all_columns(network, network.encoding)
    elif network.encoding is not None:
        if any(layer.activation != "relu" for layer in layers[:-1]):
            refuse_encoding(network, "to_sklearn", "Export it with to_onnx, to_c or to_torch")
        layers = _with_ramps_as_units(network, network.encoding)
    activation = _activation([layer.activation for layer in layers[:-1]])
    hidden = tuple(layer.weight.shape[1] for layer in layers[:-1])
    coefs = [layer.weight.to_dense() for layer in layers]
    intercepts = [layer.intercept.copy() for layer in layers]
    cls = MLPRegressor if task.link is None else MLPClassifier
    mlp = cls(hidden, activation=activation, random_state=random_state)
    if task.link is None:
        mlp.out_activation_ = "identity"
    else:
        mlp._label_binarizer = _binarizer(task)
        mlp.classes_ = _classes(task)
        coefs[-1], intercepts[-1], mlp.out_activation_ = _logits(
            task, task.link, coefs[-1], intercepts[-1]
        )
    mlp.coefs_, mlp.intercepts_ = coefs, intercepts
    mlp.n_layers_ = len(coefs) + 1
    mlp.n_outputs_ = coefs[-1].shape[1]
    mlp.n_features_in_ = coefs[0].shape[0]
    if feature_names is not None:
        mlp.feature_names_in_ = feature_names
    # What partial_fit counts on.
    mlp.n_iter_, mlp.t_, mlp._no_improvement_count = n_iter, 0, 0
    mlp.loss_, mlp.best_loss_, mlp.loss_curve_ = np.inf, np.inf, []
    mlp.validation_scores_ = mlp.best_validation_score_ = None
    mlp._random_state = check_random_state(random_state)
    return mlp


def _with_all_columns(network: Network, encoding: PiecewiseLinearEncoding) -> list[Layer]:
    """Return the layers of a network that reads some columns as they are, with weights for all."""
    first = network.layers[0]
    weight = spread_inputs(first.weight, encoding.plain, encoding.n_columns)
    return [replace(first, weight=weight, view=WHOLE_ROW), *network.layers[1:]]


def _with_ramps_as_units(network: Network, encoding: PiecewiseLinearEncoding) -> list[Layer]:
    """Return the layers of an encoded ReLU network with its encoding as one more hidden layer.

    A ramp is the difference of two units, max(z, 0) - max(z - 1, 0), and a column is another one,
    max(x, 0) - max(-x, 0). In float64 a unit cancels only where z exceeds 10^15.
    """
    columns = np.concatenate([encoding.plain, encoding.columns])
    n_plain, n = len(encoding.plain), len(columns)
    slopes = np.concatenate([np.ones(n_plain), encoding.slopes.astype(np.float64)])
    shifts = np.concatenate([np.zeros(n_plain), -encoding.starts * slopes[n_plain:]])
    first = np.zeros((encoding.n_columns, n))
    first[columns, np.arange(n)] = slopes
    second, low = first.copy(), shifts - 1
    second[:, :n_plain] *= -1
    low[:n_plain] = 0
    units = DenseMatrix(np.hstack([first, second]))
    layers = [Layer(units, np.concatenate([shifts, low]), "relu")]
    weight = network.layers[0].weight.to_dense().astype(np.float64)
    layers.append(
        replace(
            network.layers[0],
            weight=DenseMatrix(np.vstack([weight, -weight])),
            intercept=network.layers[0].intercept.astype(np.float64),
            view=WHOLE_ROW,
        )
    )
    for layer in network.layers[1:]:
        wide = DenseMatrix(layer.weight.to_dense().astype(np.float64))
        layers.append(replace(layer, weight=wide, intercept=layer.intercept.astype(np.float64)))
    return layers


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


def _classes(task: Task) -> NDArray[Any]:
    return task.classes if isinstance(task, Classification) else np.arange(task.n_outputs)


def _logits(task: Task, link: Link, weight: Float, intercept: Float) -> tuple[Float, Float, str]:
    """Return weight, intercept and activation of scikit-learn's output layer."""
    if link.form == "sigmoid":
        # A scale that is a power of two changes no digit.
        shift, scale = intercept.dtype.type(link.shift), intercept.dtype.type(link.scale)
        return scale * weight, scale * (intercept - shift), "logistic"
    if link.form != "softmax":
        warn(
            f"loss={task.loss!r}: the MLPClassifier predicts the same classes, but its "
            "predict_proba is the softmax of the outputs, which differs from ours. Use the classes "
            'alone, or train with loss="cross_entropy".',
            ExportWarning,
        )
    if weight.shape[1] == 2:
        return weight[:, 1:] - weight[:, :1], intercept[1:] - intercept[:1], "logistic"
    return weight, intercept, "softmax"


def _binarizer(task: Task) -> LabelBinarizer:
    """Return the LabelBinarizer that an MLPClassifier has after a fit to the same labels."""
    if not isinstance(task, Classification):
        return LabelBinarizer().fit(np.eye(task.n_outputs, dtype=int))
    try:
        return LabelBinarizer().fit(task.classes)
    except ValueError as error:
        raise ValueError(
            f"scikit-learn's MLPClassifier cannot have these classes: {error}"
        ) from None
