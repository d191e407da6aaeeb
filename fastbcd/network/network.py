"""A fitted network: plain data and a forward pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fastbcd.formats import Format
from fastbcd.network.forward import Forward, ImageForward
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.layers.patches import WHOLE_ROW, Patches, View
from fastbcd.network.layers.pooling import MaxPool
from fastbcd.utils.types import Float


@dataclass(frozen=True)
class Layer:
    """One layer: ``pool(activation(view(v) @ weight + intercept))``.

    Parameters
    ----------
    weight : Format
        Weights, shape (n_in, n_out).
    intercept : (n_out,) array
        Intercepts.
    activation : str
        A key of :data:`fastbcd.network.layers.activations.ALL_ACTIVATIONS`.
    view : View
        How the layer sees its input: whole rows, or patches of images.
    pool : MaxPool, optional
        The maximum over windows of the activations.
    """

    weight: Format
    intercept: Float
    activation: str
    view: View = WHOLE_ROW
    pool: MaxPool | None = None

    @property
    def n_inputs(self) -> int:
        """Numbers in a row of inputs."""
        if isinstance(self.view, Patches):
            return math.prod(self.view.shape)
        return self.weight.shape[0]

    @property
    def is_plain(self) -> bool:
        """Whether the layer is a dense one: no patches, no pooling."""
        return self.view is WHOLE_ROW and self.pool is None

    def linear(self, v: Float) -> Float:
        """Return the pre-activations (n * p, n_out) for inputs (n, d), p for each row."""
        z = np.ascontiguousarray(self.weight.matmul(self.view.rows(v)))
        z += self.intercept
        return z

    def activate(self, u: Float) -> Float:
        """Return the activations (n, d) for pre-activations (n * p, n_out)."""
        v = ALL_ACTIVATIONS[self.activation].value(u).reshape(len(u) // self.view.positions, -1)
        return v if self.pool is None else self.pool.forward(v)

    def forward(self, v: Float) -> Float:
        """Return the activations for inputs (n, d)."""
        return self.activate(self.linear(v))

    @property
    def n_params(self) -> int:
        """Stored weights and intercepts."""
        return self.weight.n_params + self.intercept.size

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays of the layer: numbers, indices and intercepts."""
        return self.weight.n_bits // 8 + self.intercept.nbytes


@dataclass(frozen=True)
class Network:
    """A chain of layers.

    Parameters
    ----------
    layers : sequence of Layer
        From the input to the output.
    """

    layers: Sequence[Layer]

    def forward(self, x: Float, out: Float | None = None) -> Float:
        """Return the outputs (n, n_out) for inputs (n, n_in), without any check.

        Safe to call from several threads. What a shape needs is allocated on its first call in a
        thread and kept; with ``out``, later calls of that shape allocate nothing of its size.

        Parameters
        ----------
        x : (n, n_in) array
            Inputs, finite. C-contiguous and of the network's type it is used as it is.
        out : (n, n_out) C-contiguous array of the network's type, optional
            Where to write the outputs; other memory than ``x``.
        """
        if not self.layers:
            return x
        return self._forward(x, out)

    @property
    def is_plain(self) -> bool:
        """Whether all layers are dense ones: no patches, no pooling."""
        return all(layer.is_plain for layer in self.layers)

    @property
    def architecture(self) -> Architecture:
        """What each layer sees, and how large it is."""
        layers = self.layers
        return Architecture(
            tuple(layer.weight.shape for layer in layers),
            tuple(layer.view for layer in layers),
            tuple(layer.pool for layer in layers),
        )

    @property
    def n_inputs(self) -> int:
        """Numbers in a row of inputs."""
        return self.layers[0].n_inputs

    @cached_property
    def _forward(self) -> Forward | ImageForward:
        return Forward(self.layers) if self.is_plain else ImageForward(self.layers)

    def __getstate__(self) -> dict[str, Any]:
        return {"layers": self.layers}

    @property
    def n_params(self) -> int:
        """Stored weights and intercepts of all layers."""
        return sum(layer.n_params for layer in self.layers)

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(layer.n_bytes for layer in self.layers)

    @property
    def flops(self) -> int:
        """Floating-point operations of one prediction, activations left out."""
        return sum(
            layer.view.positions * (layer.weight.flops + layer.intercept.size)
            for layer in self.layers
        )
