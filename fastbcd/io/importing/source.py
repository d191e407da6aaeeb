"""What an import found: a network, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.network.layers.patches import Shape3
from fastbcd.network.layers.specs import LayerSize
from fastbcd.network.network import Network
from fastbcd.network.tasks import Task
from fastbcd.utils.types import Float

NAMES = {"classes": "classification", "labels": "multilabel", "numbers": "regression"}
"""Kinds of tasks as :func:`fastbcd.compress` calls them."""


@dataclass(frozen=True)
class Origin:
    """The model that a network was read from, to compare them.

    Parameters
    ----------
    name : str
        What messages call the model.
    network : Network
        As it was read, before its outputs were brought into another form.
    link : {"identity", "softmax", "log_softmax", "sigmoid", "two_classes"}
        What turns the network's outputs into the model's.
    run : callable
        The model itself: rows, as the model takes them, to outputs.
    """

    name: str
    network: Network
    link: str
    run: Callable[[Any], Float]


@dataclass(frozen=True)
class Source:
    """A trained network and its surroundings.

    Parameters
    ----------
    network : Network
        Layers with dense or compressed weights; the outputs of a classifier are logits.
    task : Task
        What the outputs mean.
    feature_names : array of str or None
        Names of the features, if the network was trained with any.
    hidden_layer_sizes : tuple
        The hidden layers, where they are more than numbers of units.
    input_shape : (h, w, c) or None
        What images the rows are, if the network takes images.
    columns : (k,) array or None
        The classes in the order of the model's outputs, where that is not the task's, which is
        sorted.
    origin : Origin or None
        The model to compare with; None where the network is the model's own.
    column_is_usual : bool
        Whether the model itself was trained on targets (n, 1), so that they deserve no warning.
    """

    network: Network
    task: Task
    feature_names: NDArray[Any] | None = None
    hidden_layer_sizes: tuple[LayerSize, ...] = ()
    input_shape: Shape3 | None = None
    columns: NDArray[Any] | None = None
    origin: Origin | None = None
    column_is_usual: bool = False

    @property
    def task_name(self) -> str:
        """What :func:`fastbcd.compress` calls the task."""
        return NAMES[self.task.kind]

    def check_finite(self) -> None:
        """Raise a ValueError if the weights hold NaN or infinities."""
        for index, layer in enumerate(self.network.layers):
            finite = np.isfinite(layer.weight.to_dense()).all()
            if not (finite and np.isfinite(layer.intercept).all()):
                raise ValueError(
                    f"Layer {index} of the network has weights that are NaN or infinite. "
                    "Its training diverged; there is nothing to compress."
                )
