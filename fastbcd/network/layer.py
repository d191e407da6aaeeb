"""One layer of a network, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastbcd.formats import Format
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
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
        The form in which the layer reads its input: whole rows or patches of images.
    pool : MaxPool, optional
        Max pooling of the activations.
    """

    weight: Format
    intercept: Float
    activation: str
    view: View = WHOLE_ROW
    pool: MaxPool | None = None

    @property
    def n_inputs(self) -> int:
        """Number of inputs per row."""
        given = self.view.n_inputs
        return self.weight.shape[0] if given is None else given

    @property
    def is_plain(self) -> bool:
        """Whether the layer is a dense layer that reads rows as they are."""
        return self.view == WHOLE_ROW and self.pool is None

    @property
    def sees_images(self) -> bool:
        """Whether the layer has patches or pooling."""
        return isinstance(self.view, Patches) or self.pool is not None

    def linear(self, v: Float) -> Float:
        """Return the pre-activations (n * p, n_out) for inputs (n, d) with p patches per row."""
        z = np.ascontiguousarray(self.weight.matmul(self.view.rows(v)))
        z += self.intercept
        return z

    def activate(self, u: Float) -> Float:
        """Return the activations (n, d) for pre-activations (n * p, n_out)."""
        v = ALL_ACTIVATIONS[self.activation].value(u).reshape(len(u) // self.view.positions, -1)
        return v if self.pool is None else self.pool.forward(v)

    def forward(self, v: Float) -> Float:
        """Return the activations for inputs (n, d), after pooling."""
        return self.activate(self.linear(v))

    @property
    def n_params(self) -> int:
        """Number of parameters: stored weights, intercepts and those of the view."""
        return self.weight.n_params + self.intercept.size + self.view.n_params

    @property
    def n_bytes(self) -> int:
        """Size in bytes of all arrays: weights, indices, intercepts and those of the view."""
        return self.weight.n_bits // 8 + self.intercept.nbytes + self.view.n_bytes

    @property
    def flops(self) -> int:
        """Floating-point operations for one row, without activations and pooling."""
        products = self.weight.flops + self.intercept.size
        return self.view.flops + self.view.positions * products
