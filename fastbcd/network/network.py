"""A fitted network: plain data and a forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastbcd.network.forward import Forward, ImageForward
from fastbcd.network.layer import Layer as Layer
from fastbcd.network.layers.architecture import Architecture
from fastbcd.utils.types import Float


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
