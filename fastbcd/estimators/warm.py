"""The network that a warm start goes on from."""

from __future__ import annotations

from typing import Any

from fastbcd.network.layers.architecture import Architecture, check_input_shape, check_layers
from fastbcd.network.network import Network
from fastbcd.utils.types import Float


def warm_network(estimator: Any, x: Float, targets: Float) -> Network | None:
    """Return the network of ``estimator``, if any, once it fits the data and the parameters."""
    if not hasattr(estimator, "network_"):
        return None
    layout = Architecture.of(
        check_layers(estimator.hidden_layer_sizes),
        x.shape[1],
        targets.shape[1],
        check_input_shape(estimator.input_shape),
    )
    network: Network = estimator.network_
    if network.architecture != layout:
        found = list(network.architecture.shapes)
        raise ValueError(
            f"warm_start: the fitted network has layers of shapes {found}, the data and "
            f"hidden_layer_sizes ask for {list(layout.shapes)}. Set warm_start=False to start "
            "afresh."
        )
    return network
