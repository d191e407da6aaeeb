"""A fitted estimator from a network and a task."""

from __future__ import annotations

from fastbcd.estimators.base import BCDEstimator
from fastbcd.estimators.classifier import BCDClassifier, BCDRegressor
from fastbcd.io.importing.source import Source
from fastbcd.network.network import Network


def estimator_of(source: Source, network: Network) -> BCDEstimator:
    """Return a new fitted estimator that predicts with ``network``.

    Parameters
    ----------
    source : Source
        The model that the network comes from: its task, feature names and layers.
    network : Network
        The same layers in another form, maybe with fewer neurons.
    """
    new: BCDEstimator = BCDRegressor() if source.task.kind == "numbers" else BCDClassifier()
    if source.input_shape is not None:
        new.hidden_layer_sizes, new.input_shape = source.hidden_layer_sizes, source.input_shape
    if len(network.layers) > 1:
        new.activation = network.layers[0].activation
    new.set_task(source.task)
    if source.feature_names is not None:
        new.feature_names_in_ = source.feature_names
    return new.with_network(network)
