"""Read a ``torch.nn.Sequential`` without importing PyTorch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastbcd.formats import DenseMatrix
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.layers.patches import Pair, Shape3
from fastbcd.network.layers.specs import AveragePool2D, Conv2D, LayerSize, MaxPool2D
from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float

HIDDEN = {"ReLU": "relu", "Tanh": "tanh", "Sigmoid": "logistic"}
PASSED = ("Identity", "Dropout", "Dropout2d", "AlphaDropout")
SUPPORTED = (
    "Linear, Conv2d, MaxPool2d, AvgPool2d, ReLU, LeakyReLU(0.01), Tanh, Sigmoid, Identity, "
    "Dropout, Dropout2d, BatchNorm1d, BatchNorm2d, Flatten, an Unflatten of the rows into images "
    "of one channel and a final Softmax or LogSoftmax"
)


class TorchNetwork(NamedTuple):
    """What is read of a ``torch.nn.Sequential``.

    Parameters
    ----------
    network : Network
        Of the type of the parameters.
    probabilistic : {"", "softmax", "sigmoid"}
        A final activation that was taken off.
    hidden_layer_sizes : tuple
        The layers, as an estimator is told of them.
    input_shape : (h, w, c) or None
        Shape of the images that the network takes.
    """

    network: Network
    probabilistic: str
    hidden_layer_sizes: tuple[LayerSize, ...]
    input_shape: Shape3 | None


def is_torch(model: Any) -> bool:
    """Tell whether ``model`` is a ``torch.nn.Sequential``."""
    return any(
        cls.__name__ == "Sequential" and cls.__module__.startswith("torch.")
        for cls in type(model).__mro__
    )


def read_torch(model: Any, input_shape: Shape3 | None = None) -> TorchNetwork:
    """Return the network in evaluation mode.

    Batch normalisation is folded into the layer of weights before it, or into the linear one
    behind it. Images become rows, pixel by pixel with the channels of a pixel together.

    Parameters
    ----------
    model : torch.nn.Sequential
        May be nested.
    input_shape : (h, w, c), optional
        Shape of the images that the network takes, if it takes any.

    Raises
    ------
    ValueError
        For a module that is not supported; it is named.
    """
    reader = _Reader(input_shape)
    for name, module in _modules(model, ""):
        reader.add(f"Module {name} ({type(module).__name__})", type(module).__name__, module)
    return reader.finish()


class _Reader:
    """Collects layers of weights module by module."""

    def __init__(self, image: Shape3 | None) -> None:
        self.input_shape = image
        self.image = image  # what the activations are now; None for rows
        self.flattened: Shape3 | None = None  # the image that they were, channel by channel
        self.sizes: list[LayerSize] = []
        self.weights: list[Float] = []
        self.intercepts: list[Float] = []
        self.activations: list[str] = []
        self.pooled = False  # since the last layer of weights
        self.pending: tuple[Float, Float] | None = None
        self.probabilistic = ""

    def add(self, where: str, kind: str, module: Any) -> None:
        """Take a module in."""
        if kind in PASSED:
            return
        if self.probabilistic:
            raise ValueError(f"{where} follows a final {self.probabilistic}.")
        if kind == "Flatten":
            self.flattened, self.image = self.image or self.flattened, None
        elif kind == "Unflatten":
            self._unflatten(where, module)
        elif kind == "Linear":
            self._linear(where, module)
        elif kind == "Conv2d":
            self._convolution(where, module)
        elif kind in ("MaxPool2d", "AvgPool2d"):
            self._pool(where, kind, module)
        elif kind in ("BatchNorm1d", "BatchNorm2d"):
            self._normalisation(where, kind, module)
        elif kind in HIDDEN or kind == "LeakyReLU":
            self._activation(where, kind, module)
        elif kind in ("Softmax", "LogSoftmax"):
            self.probabilistic = "softmax"
        else:
            raise ValueError(f"{where} is not supported. Supported: {SUPPORTED}.")

    def _append(self, size: LayerSize, weight: Float, bias: Any) -> None:
        self.sizes.append(size)
        self.weights.append(weight)
        zeros = np.zeros(weight.shape[1], weight.dtype)
        self.intercepts.append(zeros if bias is None else _array(bias))
        self.activations.append("identity")
        self.pooled = False

    def _unflatten(self, where: str, module: Any) -> None:
        shape = tuple(module.unflattened_size)
        if self.sizes or self.image is not None or len(shape) != 3 or shape[0] != 1:
            raise ValueError(
                f"{where}: only rows at the start, into one channel, are supported. Give X as an "
                "array (n_samples, channels, height, width), and the modules behind this one."
            )
        self.image = self.input_shape = (shape[1], shape[2], 1)

    def _linear(self, where: str, module: Any) -> None:
        if self.image is not None:
            raise ValueError(f"{where} follows images. Put a Flatten before it.")
        weight = _array(module.weight).T
        if self.flattened is not None:
            h, w, c = self.flattened
            self._check_width(where, weight.shape[0], h * w * c)
            weight = weight.reshape(c, h, w, -1).transpose(1, 2, 0, 3).reshape(h * w * c, -1)
            self.flattened = None
        self._append(weight.shape[1], weight, module.bias)
        if self.pending is not None:
            scale, shift = self.pending
            self.intercepts[-1] = self.intercepts[-1] + shift @ weight
            self.weights[-1] = scale[:, None] * weight
            self.pending = None

    def _check_width(self, where: str, wanted: int, found: int) -> None:
        if wanted != found:
            raise ValueError(
                f"{where} takes {wanted} inputs, but {found} reach it. Give images of the shape "
                "that the network was built for."
            )

    def _convolution(self, where: str, module: Any) -> None:
        h, w, c = self._images(where)
        kernel, stride = _pair(module.kernel_size), _pair(module.stride)
        if module.groups != 1 or _pair(module.dilation) != (1, 1):
            raise ValueError(f"{where}: only groups=1 and dilation=1 are supported.")
        if module.padding_mode != "zeros" or module.in_channels != c:
            raise ValueError(
                f"{where}: it takes {module.in_channels} channels padded by "
                f"{module.padding_mode!r}; what comes before it has {c}, and zeros are supported."
            )
        size = Conv2D(module.out_channels, kernel, stride, _padding(module.padding))
        kernel, stride, padding = size.check()
        if kernel[0] > h + 2 * padding[0] or kernel[1] > w + 2 * padding[1]:
            raise ValueError(f"{where} does not fit in images of {h} x {w} pixels.")
        weight = _array(module.weight).transpose(2, 3, 1, 0).reshape(math.prod(kernel) * c, -1)
        self._append(size, weight, module.bias)
        grid = [
            (n + 2 * pad - k) // step + 1
            for n, k, step, pad in zip((h, w), kernel, stride, padding, strict=True)
        ]
        self.image = (grid[0], grid[1], module.out_channels)

    def _pool(self, where: str, kind: str, module: Any) -> None:
        h, w, c = self._images(where)
        window = _pair(module.kernel_size)
        plain = _pair(module.stride) == window and _pair(module.padding) == (0, 0)
        if not plain or module.ceil_mode or _pair(getattr(module, "dilation", 1)) != (1, 1):
            raise ValueError(
                f"{where}: windows that overlap, dilation, padding and ceil_mode are not "
                "supported; stride=kernel_size is."
            )
        self.sizes.append(MaxPool2D(window) if kind == "MaxPool2d" else AveragePool2D(window))
        self.image = (h // window[0], w // window[1], c)
        self.pooled = True

    def _images(self, where: str) -> Shape3:
        if self.image is None:
            raise ValueError(
                f"{where} takes images. Give X as an array (n_samples, channels, height, width), "
                "and no Flatten before it."
            )
        return self.image

    def _normalisation(self, where: str, kind: str, module: Any) -> None:
        scale, shift = _affine(module, where)
        direct = self.weights and not self.pooled and self.flattened is None
        if direct and self.activations[-1] == "identity":
            self.weights[-1] = self.weights[-1] * scale
            self.intercepts[-1] = self.intercepts[-1] * scale + shift
        elif kind == "BatchNorm2d" or self.flattened is not None:
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
        if kind == "LeakyReLU" and not np.isclose(module.negative_slope, 0.01):
            raise ValueError(f"{where}: slope {module.negative_slope} is not supported; 0.01 is.")
        self.activations[-1] = HIDDEN.get(kind, "leaky_relu")

    def finish(self) -> TorchNetwork:
        """Return the network."""
        if not self.sizes or not isinstance(self.sizes[-1], int) or self.pending is not None:
            raise ValueError(
                "The network does not end in a Linear layer and at most an activation. Compress "
                "the part that does, such as model[:-1]."
            )
        if self.activations[-1] == "logistic" and not self.probabilistic:
            self.activations[-1], self.probabilistic = "identity", "sigmoid"
        if self.activations[-1] != "identity":
            raise ValueError(
                f"A final {self.activations[-1]} is not supported; end in Linear, Sigmoid or "
                "Softmax."
            )
        hidden, n_out, dtype = tuple(self.sizes[:-1]), self.sizes[-1], self.weights[0].dtype
        shape = self.input_shape
        n_in = self.weights[0].shape[0] if shape is None else math.prod(shape)
        layout = Architecture.of(hidden, n_in, n_out, shape)
        layers = []
        for index, weight in enumerate(self.weights):
            self._check_width(f"Layer {index}", weight.shape[0], layout.shapes[index][0])
            layer = Layer(
                DenseMatrix(np.ascontiguousarray(weight, dtype)),
                self.intercepts[index].astype(dtype),
                self.activations[index],
                layout.views[index],
                layout.pools[index],
            )
            layers.append(layer)
        return TorchNetwork(Network(layers), self.probabilistic, hidden, shape)


def _modules(model: Any, prefix: str) -> list[tuple[str, Any]]:
    """Return the modules in order with their names, nested Sequentials opened."""
    found: list[tuple[str, Any]] = []
    for key, module in model.named_children():
        name = f"{prefix}{key}"
        found += _modules(module, f"{name}.") if is_torch(module) else [(name, module)]
    return found


def _pair(value: int | tuple[int, int]) -> Pair:
    return value if isinstance(value, tuple) else (value, value)


def _padding(value: Any) -> Pair | str:
    """Return a padding as :class:`fastbcd.network.layers.specs.Conv2D` knows it."""
    if isinstance(value, str):
        return (0, 0) if value == "valid" else value
    return _pair(value)


def _array(tensor: Any) -> Float:
    values: Float = np.array(tensor.detach().cpu().numpy())
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)


def _affine(module: Any, where: str) -> tuple[Float, Float]:
    """Return scale and shift of a batch normalisation in evaluation mode."""
    if module.running_mean is None:
        raise ValueError(
            f"{where} has no running statistics to fold. Train it with track_running_stats=True."
        )
    scale = 1 / np.sqrt(_array(module.running_var) + module.eps)
    if module.weight is not None:
        scale = scale * _array(module.weight)
    shift = -_array(module.running_mean) * scale
    if module.bias is not None:
        shift = shift + _array(module.bias)
    return scale, shift
