"""Read a ``torch.nn.Sequential`` as a network."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastbcd.formats import DenseMatrix
from fastbcd.io.importing.layout import Positions, check_width, of_images, rearranged
from fastbcd.io.importing.modules import Applied, applied_modules, evaluating
from fastbcd.io.importing.torch_images import convolution, pool_window
from fastbcd.network.layer import Layer
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.layers.patches import Shape3
from fastbcd.network.layers.specs import AveragePool2D, LayerSize, MaxPool2D
from fastbcd.network.network import Network
from fastbcd.utils.types import Float

HIDDEN = {
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "Hardtanh": "hard_tanh",
    "Tanh": "tanh",
    "Sigmoid": "logistic",
    "Softplus": "softplus",
    "SiLU": "silu",
    "GELU": "gelu",
}
FINAL = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}


class TorchNetwork(NamedTuple):
    """What is read of a ``torch.nn.Sequential``.

    Parameters
    ----------
    network : Network
        Of the type of the parameters, half precision widened to single.
    final : {"identity", "softmax", "log_softmax", "sigmoid"}
        The final activation, which the network leaves out.
    hidden_layer_sizes : tuple
        The layers, as an estimator is told of them.
    input_shape : (h, w, c) or None
        Shape of the images that the network takes.
    """

    network: Network
    final: str
    hidden_layer_sizes: tuple[LayerSize, ...]
    input_shape: Shape3 | None


def read_torch(model: Any, input_shape: tuple[int, ...] | None = None) -> TorchNetwork:
    """Return the network in evaluation mode; ``model`` stays as it is.

    Batch normalisation is folded into the layer of weights before it, or into the linear one
    behind it. Images become rows, pixel by pixel with the channels of a pixel together.

    Parameters
    ----------
    model : torch.nn.Sequential
        May be nested.
    input_shape : tuple of int, optional
        Shape of one input, if it has more than one axis: (h, w, c) for images.

    Raises
    ------
    ValueError
        For a module that is not supported; it is named.
    """
    modules = applied_modules(model)
    reader = _Reader(input_shape)
    with evaluating(model):
        for applied in modules:
            reader.add(applied)
    return reader.finish()


class _Reader:
    """Collects layers of weights module by module.

    ``positions`` says where in our rows each number is that PyTorch holds at this place: an array
    of the shape of one of PyTorch's activations, or None for rows of unknown width.
    """

    def __init__(self, input_shape: tuple[int, ...] | None) -> None:
        self.input_shape: Shape3 | None = None
        self.positions: Positions | None = None
        if input_shape is not None and len(input_shape) == 3:
            h, w, c = input_shape
            self.positions, self.input_shape = of_images(h, w, c), (h, w, c)
        elif input_shape is not None:
            self.positions = np.arange(math.prod(input_shape)).reshape(input_shape)
        self.sizes: list[LayerSize] = []
        self.weights: list[Float] = []
        self.intercepts: list[Float] = []
        self.activations: list[str] = []
        self.dtype: Any = None
        self.direct = False  # whether nothing has been applied since the last layer of weights
        self.pending: tuple[Float, Float] | None = None  # scale and shift of the next inputs
        self.final = "identity"

    def add(self, applied: Applied) -> None:
        """Take a module in."""
        where, kind, module = applied.where, applied.kind, applied.module
        if kind == "Identity" or "Dropout" in kind:
            return
        if self.final != "identity":
            raise ValueError(f"{where} follows a final {self.final}.")
        if kind in ("Flatten", "Unflatten", "ChannelShuffle"):
            self._rearrange(where, kind, module)
        elif kind == "Linear":
            self._linear(applied)
        elif kind == "Conv2d":
            self._convolution(applied)
        elif kind in ("MaxPool2d", "AvgPool2d"):
            self._pool(where, kind, module)
        elif kind in ("BatchNorm1d", "BatchNorm2d"):
            self._normalisation(applied)
        elif kind in FINAL:
            self._softmax(where, kind, module)
        else:
            self._activation(where, kind, module)

    def _append(self, size: LayerSize, weight: Float, bias: Float | None) -> None:
        self.sizes.append(size)
        self.weights.append(weight)
        self.intercepts.append(np.zeros(weight.shape[1]) if bias is None else bias)
        self.activations.append("identity")
        self.direct = True

    def _rearrange(self, where: str, kind: str, module: Any) -> None:
        before = self.positions
        self.positions = rearranged(where, kind, module, before)
        if self.positions is before:
            return
        if self.pending is not None:
            raise ValueError(f"{where} follows a batch normalisation that no layer takes in.")
        self.direct = False

    def _linear(self, applied: Applied) -> None:
        weight = self._weight(applied).T
        n_in, positions = weight.shape[0], self.positions
        if positions is not None and positions.ndim != 1:
            raise ValueError(f"{applied.where} follows images. Put a Flatten before it.")
        if positions is not None:
            check_width(applied.where, n_in, positions.size)
        bias = applied.array("bias")
        if self.pending is not None:
            scale, shift = self.pending
            bias = shift @ weight + (0 if bias is None else bias)
            weight, self.pending = scale[:, None] * weight, None
        if positions is not None:
            ordered = np.empty_like(weight)
            ordered[positions] = weight
            weight = ordered
        self._append(weight.shape[1], weight, bias)
        self.positions = np.arange(weight.shape[1])

    def _weight(self, applied: Applied) -> Float:
        weight = applied.array("weight")
        if weight is None:
            raise ValueError(f"{applied.where} has no weights.")
        self.dtype = self.dtype or weight.dtype
        return weight

    def _convolution(self, applied: Applied) -> None:
        shape = self._images(applied.where)
        size, grid = convolution(applied.where, applied.module, shape)
        weight = self._weight(applied).transpose(2, 3, 1, 0)  # height, width, channels, filters
        self._append(size, weight.reshape(-1, weight.shape[3]), applied.array("bias"))
        self.positions = of_images(*grid, weight.shape[3])

    def _pool(self, where: str, kind: str, module: Any) -> None:
        h, w, c = self._images(where)
        window = pool_window(where, module, (h, w))
        self.sizes.append(MaxPool2D(window) if kind == "MaxPool2d" else AveragePool2D(window))
        self.positions = of_images(h // window[0], w // window[1], c)
        self.direct = False

    def _images(self, where: str) -> Shape3:
        """Return the shape (h, w, c) of the images that reach a module."""
        if self.pending is not None:
            raise ValueError(f"{where} follows a batch normalisation that no layer takes in.")
        if self.positions is None or self.positions.ndim != 3:
            raise ValueError(
                f"{where} takes images. Pass X as an array (n_samples, channels, height, width), "
                "and no Flatten before it."
            )
        c, h, w = self.positions.shape
        if any(isinstance(size, int) for size in self.sizes) or not np.array_equal(
            self.positions, of_images(h, w, c)
        ):
            raise ValueError(
                f"{where} takes images that are made of rows: only rows at the start are "
                "supported, of one channel or with the channels of a pixel together. Pass X as an "
                "array (n_samples, channels, height, width), and the modules from this one on."
            )
        if not self.sizes:
            self.input_shape = (h, w, c)
        return h, w, c

    def _normalisation(self, applied: Applied) -> None:
        where, kind = applied.where, applied.kind
        scale, shift = _affine(applied)
        n_axes = 1 if self.positions is None else self.positions.ndim
        if n_axes != (1 if kind == "BatchNorm1d" else 3):
            raise ValueError(f"{where} takes other inputs than the {n_axes + 1} axes before it.")
        if self.positions is not None:
            check_width(where, scale.size, self.positions.shape[0])
        if self.direct and self.activations[-1] == "identity":
            self.weights[-1] = self.weights[-1] * scale
            self.intercepts[-1] = self.intercepts[-1] * scale + shift
        elif kind == "BatchNorm2d":
            raise ValueError(f"{where} does not directly follow a Conv2d or Linear layer.")
        elif self.pending is None:
            self.pending = (scale, shift)
        else:
            self.pending = (self.pending[0] * scale, self.pending[1] * scale + shift)

    def _activation(self, where: str, kind: str, module: Any) -> None:
        if self.pending is not None or not self.weights or self.activations[-1] != "identity":
            raise ValueError(f"{where} does not follow a Linear or Conv2d layer.")
        if isinstance(self.sizes[-1], AveragePool2D):
            raise ValueError(f"{where} follows an AvgPool2d. Only before it is it supported.")
        follows_pool = isinstance(self.sizes[-1], MaxPool2D)
        if follows_pool and not ALL_ACTIVATIONS[HIDDEN[kind]].by_value:
            raise ValueError(
                f"{where} follows a MaxPool2d. It falls before it rises, so it is not the same as "
                "before the pooling; only before it is it supported."
            )
        if kind == "Softplus" and (module.beta, module.threshold) != (1, 20):
            raise ValueError(
                f"{where}: beta={module.beta} and threshold={module.threshold} are not supported; "
                "1 and 20 are."
            )
        if kind == "GELU" and module.approximate != "none":
            raise ValueError(
                f'{where}: approximate="{module.approximate}" is not supported; "none" is. They '
                "differ by less than 0.0005: set it, and check the network on your data."
            )
        if kind == "LeakyReLU" and not np.isclose(module.negative_slope, 0.01):
            raise ValueError(f"{where}: slope {module.negative_slope} is not supported; 0.01 is.")
        if kind == "Hardtanh" and (module.min_val, module.max_val) != (-1, 1):
            raise ValueError(
                f"{where}: bounds {module.min_val} and {module.max_val} are not supported; "
                "-1 and 1 are."
            )
        self.activations[-1] = HIDDEN[kind]

    def _softmax(self, where: str, kind: str, module: Any) -> None:
        if module.dim not in (None, 1, -1) or self.positions is None or self.positions.ndim != 1:
            raise ValueError(
                f"{where} with dim={module.dim} does not normalise the outputs of each row. Only "
                "dim=1 after a Linear layer is supported."
            )
        self.final = FINAL[kind]

    def finish(self) -> TorchNetwork:
        """Return the network."""
        if not self.sizes or not isinstance(self.sizes[-1], int) or self.pending is not None:
            raise ValueError(
                "The network does not end in a Linear layer and at most an activation. Compress "
                "the part that does, such as model[:-1]."
            )
        assert self.positions is not None
        if not np.array_equal(self.positions, np.arange(self.sizes[-1])):
            raise ValueError(
                "The network rearranges its outputs after the last Linear layer. Compress the part "
                "before, such as model[:-1]."
            )
        if self.activations[-1] == "logistic" and self.final == "identity":
            self.activations[-1], self.final = "identity", "sigmoid"
        if self.activations[-1] != "identity":
            raise ValueError(
                f"A final {self.activations[-1]} is not supported; end in Linear, Sigmoid or "
                "Softmax."
            )
        hidden, n_out = tuple(self.sizes[:-1]), self.sizes[-1]
        images = any(not isinstance(size, int) for size in hidden)
        shape = self.input_shape if images else None
        n_in = self.weights[0].shape[0] if shape is None else math.prod(shape)
        layout = Architecture.of(hidden, n_in, n_out, shape)
        layers = []
        for index, weight in enumerate(self.weights):
            check_width(f"Layer {index}", weight.shape[0], layout.shapes[index][0])
            layer = Layer(
                DenseMatrix(np.ascontiguousarray(weight, self.dtype)),
                self.intercepts[index].astype(self.dtype),
                self.activations[index],
                layout.views[index],
                layout.pools[index],
            )
            layers.append(layer)
        return TorchNetwork(Network(layers), self.final, hidden, shape)


def _affine(applied: Applied) -> tuple[Float, Float]:
    """Return scale and shift of a batch normalisation in evaluation mode, in double precision."""
    mean, variance = applied.array("running_mean"), applied.array("running_var")
    if mean is None or variance is None:
        raise ValueError(
            f"{applied.where} has no running statistics to fold. Train it with "
            "track_running_stats=True."
        )
    scale = 1 / np.sqrt(variance.astype(np.float64) + applied.module.eps)
    weight, bias = applied.array("weight"), applied.array("bias")
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    return scale, shift if bias is None else shift + bias
