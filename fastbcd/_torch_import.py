"""Read a ``torch.nn.Sequential`` without importing PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbcd._network import Layer, Network
from fastbcd._types import Float
from fastbcd.formats import DenseMatrix

HIDDEN = {"ReLU": "relu", "Tanh": "tanh", "Sigmoid": "logistic"}
PASSED = ("Identity", "Dropout", "AlphaDropout", "Flatten")
SUPPORTED = (
    "Linear, ReLU, LeakyReLU(0.01), Tanh, Sigmoid, Identity, Dropout, BatchNorm1d, Flatten and a "
    "final Softmax or LogSoftmax"
)


def is_torch(model: Any) -> bool:
    """Tell whether ``model`` is a ``torch.nn.Sequential``."""
    return any(
        cls.__name__ == "Sequential" and cls.__module__.startswith("torch.")
        for cls in type(model).__mro__
    )


def read_torch(model: Any) -> tuple[Network, str]:
    """Return the network in evaluation mode, and what turns its outputs into probabilities.

    Batch normalisation is folded into the linear layer before it, or into the one behind it.

    Parameters
    ----------
    model : torch.nn.Sequential
        May be nested.

    Returns
    -------
    network : Network
        Of the type of the parameters.
    probabilistic : {"", "softmax", "sigmoid"}
        A final activation that was taken off.

    Raises
    ------
    ValueError
        For a module that is not supported; it is named.
    """
    weights: list[Float] = []
    intercepts: list[Float] = []
    activations: list[str] = []
    pending: tuple[Float, Float] | None = None
    probabilistic = ""
    for name, module in _modules(model, ""):
        kind = type(module).__name__
        if kind in PASSED:
            continue
        if probabilistic:
            raise ValueError(f"Module {name} ({kind}) follows a final {probabilistic}.")
        if kind == "Linear":
            weight = _array(module.weight).T
            bias = np.zeros(weight.shape[1], weight.dtype)
            if module.bias is not None:
                bias = _array(module.bias)
            if pending is not None:
                scale, shift = pending
                bias = bias + shift @ weight
                weight = scale[:, None] * weight
                pending = None
            weights.append(weight)
            intercepts.append(bias)
            activations.append("identity")
        elif kind == "BatchNorm1d":
            scale, shift = _affine(module, name)
            if weights and activations[-1] == "identity":
                weights[-1] = weights[-1] * scale
                intercepts[-1] = intercepts[-1] * scale + shift
            elif pending is None:
                pending = (scale, shift)
            else:
                pending = (pending[0] * scale, pending[1] * scale + shift)
        elif kind in HIDDEN or kind == "LeakyReLU":
            if pending is not None or not weights or activations[-1] != "identity":
                raise ValueError(f"Module {name} ({kind}) does not follow a Linear layer.")
            if kind == "LeakyReLU" and not np.isclose(module.negative_slope, 0.01):
                raise ValueError(
                    f"Module {name}: LeakyReLU with slope {module.negative_slope} is not "
                    "supported; 0.01 is."
                )
            activations[-1] = HIDDEN.get(kind, "leaky_relu")
        elif kind in ("Softmax", "LogSoftmax"):
            probabilistic = "softmax"
        else:
            raise ValueError(f"Module {name} ({kind}) is not supported. Supported: {SUPPORTED}.")
    if not weights or pending is not None:
        raise ValueError(
            "The network does not end in a Linear layer and at most an activation. Compress the "
            "part that does, such as model[:-1]."
        )
    if activations[-1] == "logistic" and not probabilistic:
        activations[-1], probabilistic = "identity", "sigmoid"
    if activations[-1] != "identity":
        raise ValueError(
            f"A final {activations[-1]} is not supported; end in Linear, Sigmoid or Softmax."
        )
    layers = [
        Layer(DenseMatrix(weight.astype(weights[0].dtype)), bias.astype(weights[0].dtype), name)
        for weight, bias, name in zip(weights, intercepts, activations, strict=True)
    ]
    return Network(layers), probabilistic


def _modules(model: Any, prefix: str) -> list[tuple[str, Any]]:
    """Return the modules in order with their names, nested Sequentials opened."""
    found: list[tuple[str, Any]] = []
    for key, module in model.named_children():
        name = f"{prefix}{key}"
        found += _modules(module, f"{name}.") if is_torch(module) else [(name, module)]
    return found


def _array(tensor: Any) -> Float:
    values: Float = np.array(tensor.detach().cpu().numpy())
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)


def _affine(module: Any, name: str) -> tuple[Float, Float]:
    """Return scale and shift of a batch normalisation in evaluation mode."""
    if module.running_mean is None:
        raise ValueError(
            f"Module {name} (BatchNorm1d) has no running statistics to fold. "
            "Train it with track_running_stats=True."
        )
    scale = 1 / np.sqrt(_array(module.running_var) + module.eps)
    if module.weight is not None:
        scale = scale * _array(module.weight)
    shift = -_array(module.running_mean) * scale
    if module.bias is not None:
        shift = shift + _array(module.bias)
    return scale, shift
