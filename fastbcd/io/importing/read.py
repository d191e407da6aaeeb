"""Read a trained network from scikit-learn or PyTorch, and write a fitted estimator.

What is read is a :class:`fastbcd.network.network.Network` and what an estimator must know
besides: the classes, the names of the features, the shape of the predictions. The source is never
changed.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.validation import check_is_fitted

from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.formats import DenseMatrix
from fastbcd.io.importing.torch import is_torch, read_torch
from fastbcd.network.layers.patches import Shape3
from fastbcd.network.layers.specs import LayerSize
from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float

SUPPORTED = (
    "a fitted BCDClassifier or BCDRegressor, scikit-learn's MLPClassifier or MLPRegressor, "
    "a Pipeline that ends in one of them, or torch.nn.Sequential"
)


@dataclass(frozen=True)
class Source:
    """A trained network and its surroundings.

    Parameters
    ----------
    network : Network
        Layers with dense or compressed weights; the outputs of a classifier are logits.
    classes : (k,) array or None
        Labels of the outputs of a classifier; None for a regressor.
    flat : bool
        Whether a regressor predicts (n,) rather than (n, k).
    template : BCDClassifier or BCDRegressor or None
        Where parameters are copied from.
    feature_names : array of str or None
        Names of the features, if the network was trained with any.
    hidden_layer_sizes : tuple
        The hidden layers, where they are more than numbers of units.
    input_shape : (h, w, c) or None
        What images the rows are, if the network takes images.
    """

    network: Network
    classes: NDArray[Any] | None
    flat: bool = False
    template: BCDClassifier | BCDRegressor | None = None
    feature_names: NDArray[Any] | None = None
    hidden_layer_sizes: tuple[LayerSize, ...] = ()
    input_shape: Shape3 | None = None

    def estimator(self, network: Network) -> BCDClassifier | BCDRegressor:
        """Return a new fitted estimator that predicts with ``network``."""
        if self.template is not None:
            new = copy(self.template)
        elif self.classes is not None:
            new = BCDClassifier()
        else:
            new = BCDRegressor()
        if self.input_shape is not None:
            new.hidden_layer_sizes, new.input_shape = self.hidden_layer_sizes, self.input_shape
        if network.is_plain:  # convolutions keep their filters
            new.hidden_layer_sizes = tuple(layer.weight.shape[1] for layer in network.layers[:-1])
        if self.template is None and len(network.layers) > 1:
            new.activation = network.layers[0].activation
        new.network_ = network
        new.n_features_in_ = network.n_inputs
        if isinstance(new, BCDClassifier) and self.classes is not None:
            new.classes_ = self.classes
        elif isinstance(new, BCDRegressor):
            new._two_dimensional = not self.flat
        if self.feature_names is not None:
            new.feature_names_in_ = self.feature_names
        new._forget_training()
        return new


def image_rows(model: Any, X: Any) -> tuple[Any, Shape3 | None]:
    """Return images (n, c, h, w) for a PyTorch network as rows, and their (h, w, c); else ``X``.

    The rows are pixel by pixel with the channels of a pixel together, which is what
    :mod:`fastbcd.network.layers.specs` takes for images.
    """
    if not is_torch(model) or getattr(X, "ndim", 2) != 4:
        return X, None
    images = np.asarray(X).transpose(0, 2, 3, 1)
    h, w, c = images.shape[1:]
    return images.reshape(len(images), -1), (h, w, c)


def read(model: Any, y: ArrayLike | None = None, input_shape: Shape3 | None = None) -> Source:
    """Read the network of ``model``.

    Parameters
    ----------
    model : object
        A fitted BCD estimator, MLPClassifier, MLPRegressor or torch.nn.Sequential.
    y : array, optional
        Targets, from which the kind of a PyTorch network is told: labels make it a classifier.
    input_shape : (h, w, c), optional
        Shape of the images that a PyTorch network takes.

    Raises
    ------
    TypeError
        For any other object.
    ValueError
        For a network that cannot be represented, or whose weights are not finite.
    """
    if isinstance(model, BCDClassifier | BCDRegressor):
        check_is_fitted(model)
        if getattr(model, "_n_labels", 0):
            raise ValueError(
                "A network with several labels per row can be projected, compress(scheme=...) "
                "without data, but not yet fitted to data while it is compressed."
            )
        source = Source(
            model.network_,
            getattr(model, "classes_", None),
            flat=not getattr(model, "_two_dimensional", False),
            template=model,
        )
    elif isinstance(model, MLPClassifier | MLPRegressor):
        check_is_fitted(model)
        source = _read_mlp(model)
    elif is_torch(model):
        found = read_torch(model, input_shape)
        source = _torch_source(found.network, found.probabilistic, y)
        if not found.network.is_plain:
            sizes, shape = found.hidden_layer_sizes, found.input_shape
            source = replace(source, hidden_layer_sizes=sizes, input_shape=shape)
    else:
        if isinstance(model, type):
            raise TypeError(f"Cannot compress the class {model.__name__}: give a fitted instance.")
        raise TypeError(f"Cannot compress {type(model).__name__}. Supported are {SUPPORTED}.")
    for index, layer in enumerate(source.network.layers):
        if not (np.isfinite(layer.weight.to_dense()).all() and np.isfinite(layer.intercept).all()):
            raise ValueError(
                f"Layer {index} of the network has weights that are NaN or infinite. "
                "Its training diverged; there is nothing to compress."
            )
    return source


def _read_mlp(model: Any) -> Source:
    names = getattr(model, "feature_names_in_", None)
    activations = [model.activation] * (model.n_layers_ - 2) + ["identity"]
    layers = [
        Layer(DenseMatrix(np.array(weight)), np.array(intercept), activation)
        for weight, intercept, activation in zip(
            model.coefs_, model.intercepts_, activations, strict=True
        )
    ]
    out = model.out_activation_
    if isinstance(model, MLPRegressor):
        if out != "identity":
            raise ValueError(
                f"MLPRegressor with the output activation {out!r} (loss={model.loss!r}) is not "
                "supported; the identity is."
            )
        # scikit-learn flattens predictions of one output, whatever the shape of y was.
        return Source(Network(layers), None, flat=model.n_outputs_ == 1, feature_names=names)
    if out == "logistic":
        if model.n_outputs_ > 1:
            raise ValueError(
                "A multilabel MLPClassifier is not supported; one with two or more exclusive "
                "classes is."
            )
        layers[-1] = two_logits(layers[-1])
    return Source(Network(layers), np.array(model.classes_), feature_names=names)


def two_logits(layer: Layer) -> Layer:
    """Turn one logit z into the two logits (-z/2, z/2), which have the same probabilities."""
    half = np.array([-0.5, 0.5], layer.intercept.dtype)
    weight = layer.weight.to_dense() * half
    return replace(layer, weight=DenseMatrix(weight), intercept=layer.intercept * half)


def _torch_source(network: Network, probabilistic: str, y: ArrayLike | None) -> Source:
    """Decide what a PyTorch network is: it does not say."""
    n_outputs = network.layers[-1].weight.shape[1]
    labels = None if y is None else np.asarray(y)
    looks_discrete = labels is not None and labels.ndim == 1 and labels.dtype.kind not in "f"
    if probabilistic == "sigmoid" and n_outputs == 1:
        network = Network([*network.layers[:-1], two_logits(network.layers[-1])])
        n_outputs = 2
    elif probabilistic == "sigmoid":
        raise ValueError("A final Sigmoid of more than one output (multilabel) is not supported.")
    if not probabilistic and (n_outputs == 1 or not (looks_discrete or labels is None)):
        return Source(network, None, flat=labels is not None and labels.ndim == 1)
    if labels is None and not probabilistic:
        return Source(network, None)
    classes: NDArray[Any] = np.arange(n_outputs)
    if labels is not None:
        found = np.unique(labels)
        if not np.isin(found, classes).all():
            if found.size != n_outputs:
                raise ValueError(
                    f"y has {found.size} classes, the network {n_outputs} outputs. Give labels "
                    f"0 to {n_outputs - 1}, or rows of every class."
                )
            classes = found
    return Source(network, classes)


def as_network_type(x: Any, network: Network) -> Float:
    """Return ``x`` as a C-contiguous array of the type of the network's numbers."""
    dense = x.toarray() if hasattr(x, "toarray") else x
    return np.ascontiguousarray(dense, dtype=network.layers[0].weight.dtype)
