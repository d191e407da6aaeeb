"""Read scikit-learn's MLPClassifier and MLPRegressor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.neural_network import MLPRegressor

from fastbcd.formats import DenseMatrix
from fastbcd.io.importing.source import Origin, Source
from fastbcd.network.layer import Layer
from fastbcd.network.network import Network
from fastbcd.network.tasks import Classification, MultilabelClassification, Regression

LINKS = {"identity": "identity", "softmax": "softmax", "logistic": "sigmoid"}


def read_mlp(model: Any) -> Source:
    """Return the network of a fitted MLPClassifier or MLPRegressor.

    Raises
    ------
    ValueError
        For an output activation that is not supported.
    """
    names = getattr(model, "feature_names_in_", None)
    activations = [model.activation] * (model.n_layers_ - 2) + ["identity"]
    layers = [
        Layer(DenseMatrix(np.array(weight)), np.array(intercept), activation)
        for weight, intercept, activation in zip(
            model.coefs_, model.intercepts_, activations, strict=True
        )
    ]
    network, out = Network(layers), model.out_activation_
    name = type(model).__name__
    if isinstance(model, MLPRegressor):
        if out != "identity":
            raise ValueError(
                f"MLPRegressor with the output activation {out!r} (loss={model.loss!r}) is not "
                "supported; the identity is."
            )
        # scikit-learn flattens predictions of one output, whatever the shape of y was.
        return Source(
            network,
            Regression(model.n_outputs_, flat=model.n_outputs_ == 1),
            feature_names=names,
            origin=Origin(name, network, "identity", model.predict),
        )
    source = Source(
        network,
        Classification(model.classes_),
        feature_names=names,
        origin=Origin(name, network, LINKS[out], model.predict_proba),
    )
    if out != "logistic":
        return source
    if model.n_outputs_ > 1:
        return replace(source, task=MultilabelClassification(model.n_outputs_))
    two = Network([*network.layers[:-1], two_logits(network.layers[-1])])
    return replace(
        source, network=two, origin=Origin(name, network, "two_classes", model.predict_proba)
    )


def two_logits(layer: Layer) -> Layer:
    """Turn one logit z into the two logits (-z/2, z/2), which have the same probabilities."""
    half = np.array([-0.5, 0.5], layer.intercept.dtype)
    weight = layer.weight.to_dense() * half
    return replace(layer, weight=DenseMatrix(weight), intercept=layer.intercept * half)
