"""A network as plain data, and its forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fastbcd.formats.operations import take_inputs
from fastbcd.network.forward import EncodedForward, Forward, ImageForward
from fastbcd.network.layer import Layer as Layer
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.layers.view import WHOLE_ROW
from fastbcd.utils.types import Float


@dataclass(frozen=True)
class Network:
    """A chain of layers.

    Parameters
    ----------
    layers : sequence of Layer
        Layers from the input to the output.
    """

    layers: Sequence[Layer]

    def forward(self, x: Float, out: Float | None = None) -> Float:
        """Return the outputs (n, n_out) for inputs (n, n_in), without any check.

        The method is thread-safe. Work arrays are allocated on the first call with a given shape in
        each thread, and kept. With ``out``, later calls with this shape allocate no large arrays.

        Parameters
        ----------
        x : (n, n_in) array
            Finite inputs. A C-contiguous array with the dtype of the network is not copied.
        out : (n, n_out) C-contiguous array with the dtype of the network, optional
            Where to write the outputs; must not overlap ``x``.
        """
        if not self.layers:
            return x
        return self._forward(x, out)

    @property
    def is_plain(self) -> bool:
        """Whether all layers are dense layers that read rows as they are: no encoding either."""
        return all(layer.is_plain for layer in self.layers)

    @property
    def sees_images(self) -> bool:
        """Whether any layer has patches or pooling."""
        return any(layer.sees_images for layer in self.layers)

    @property
    def architecture(self) -> Architecture:
        """Shape, view and pooling of each layer."""
        layers = self.layers
        return Architecture(
            tuple(layer.weight.shape for layer in layers),
            tuple(layer.view for layer in layers),
            tuple(layer.pool for layer in layers),
        )

    @property
    def n_inputs(self) -> int:
        """Number of inputs per row."""
        return self.layers[0].n_inputs

    @property
    def encoding(self) -> PiecewiseLinearEncoding | None:
        """What the first layer reads columns through, if anything."""
        view = self.layers[0].view if self.layers else None
        return view if isinstance(view, PiecewiseLinearEncoding) else None

    @property
    def on_features(self) -> Network:
        """The network without its encoding: a function of the encoded rows."""
        if self.encoding is None:
            return self
        return Network([replace(self.layers[0], view=WHOLE_ROW), *self.layers[1:]])

    def encoded(self, encoding: PiecewiseLinearEncoding | None, keep: bool = False) -> Network:
        """Return this function of encoded rows as one of rows.

        Features without weights are left out, unless ``keep``, and if the format of the weights
        allows it. At least one remains, so that the weights have a shape.
        """
        if encoding is None:
            return self
        first = self.layers[0]
        used = np.flatnonzero(first.weight.to_dense().any(axis=1))
        if len(used) < encoding.n_features and not keep:
            used = used if len(used) else np.arange(1)
            weight = take_inputs(first.weight, used)
            smaller = weight.n_bits <= first.weight.n_bits
            if type(weight) is type(first.weight) and smaller:  # others would become dense
                encoding, first = encoding.take(used), replace(first, weight=weight)
        encoding = encoding.astype(first.weight.dtype)
        return Network([replace(first, view=encoding), *self.layers[1:]])

    @cached_property
    def _forward(self) -> Forward | ImageForward | EncodedForward:
        if self.is_plain:
            return Forward(self.layers)
        encoding = self.encoding
        if encoding is not None:
            return EncodedForward(encoding, self.on_features.layers)
        return ImageForward(self.layers)

    def __getstate__(self) -> dict[str, Any]:
        return {"layers": self.layers}

    @property
    def n_params(self) -> int:
        """Number of parameters of all layers: stored weights and intercepts."""
        return sum(layer.n_params for layer in self.layers)

    @property
    def n_bytes(self) -> int:
        """Size in bytes of all arrays of all layers."""
        return sum(layer.n_bytes for layer in self.layers)

    @property
    def flops(self) -> int:
        """Floating-point operations to predict one row, without activations and pooling."""
        return sum(layer.flops for layer in self.layers)
