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
    network: Network = estimator.network_
    inside, n_in = network.on_features, x.shape[1]
    if network.encoding is not None and network.n_inputs == n_in:
        n_in = inside.n_inputs  # the encoding stays as it is
    elif network.encoding is not None:
        raise ValueError(
            f"warm_start: the fitted network takes {network.n_inputs} features, X has "
            f"{x.shape[1]}. Pass the same columns, or set warm_start=False to start afresh."
        )
    layout = Architecture.of(
        check_layers(estimator.hidden_layer_sizes),
        n_in,
        targets.shape[1],
        check_input_shape(estimator.input_shape),
    )
    if inside.architecture != layout:
        found = list(inside.architecture.shapes)
        raise ValueError(
            f"warm_start: the fitted network has layers of shapes {found}, the data and "
            f"hidden_layer_sizes ask for {list(layout.shapes)}. Set warm_start=False to start "
            "afresh."
        )
    return network
