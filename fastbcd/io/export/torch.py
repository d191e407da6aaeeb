"""Networks as PyTorch modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbcd.formats.operations import factors as thin_factors
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.layers.patches import Patches, Shape3
from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float

if TYPE_CHECKING:
    import torch

LEAK = 0.01
"""Slope of the leaky ReLU for negative arguments."""


def torch_module(network: Network) -> torch.nn.Sequential:
    """Return the network as PyTorch's own modules; see :func:`fastbcd.export.to_torch`.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch needs PyTorch: pip install 'fastbcd[torch]'") from None
    activations: dict[str, Callable[[], torch.nn.Module]] = {
        "relu": torch.nn.ReLU,
        "leaky_relu": lambda: torch.nn.LeakyReLU(LEAK),
        "hard_tanh": torch.nn.Hardtanh,
        "logistic": torch.nn.Sigmoid,
        "tanh": torch.nn.Tanh,
        "softplus": torch.nn.Softplus,
        "silu": torch.nn.SiLU,
        "gelu": torch.nn.GELU,
    }
    modules: list[torch.nn.Module] = []
    shape: Shape3 | None = None  # of images (n, c, h, w); None for rows
    for layer in network.layers:
        view = layer.view
        if isinstance(view, PiecewiseLinearEncoding):
            modules.append(_encoding(torch, view.astype(layer.weight.dtype)))
        if isinstance(view, Patches):
            if shape is None:
                modules += _to_images(torch, view.shape)
            if view.window != (1, 1):
                modules.append(torch.nn.AvgPool2d(view.window))
            shape = view.pooled_shape
        if isinstance(view, Patches) and not view.is_whole:
            modules += _convolutions(torch, layer, view)
            shape = (*view.grid, layer.weight.shape[1])
        else:
            if shape is not None:
                modules += _to_rows(torch, shape)
            *thin, last = thin_factors(layer.weight)
            modules += [_linear(torch, factor) for factor in thin]
            modules.append(_linear(torch, last, layer.intercept))
            shape = None
        if layer.activation != "identity":
            modules.append(activations[layer.activation]())
        if layer.pool is not None and shape is not None:
            modules.append(torch.nn.MaxPool2d(layer.pool.window))
            shape = layer.pool.shape_out
    if shape is not None:
        modules += _to_rows(torch, shape)
    return torch.nn.Sequential(*modules).eval()


def _encoding(torch: Any, view: PiecewiseLinearEncoding) -> Any:
    """Return what makes features of columns: a torch.fx.GraphModule, which needs no code of ours.

    Its numbers are buffers, so they move with the module and are not trained.
    """
    import torch.fx

    root, graph = torch.nn.Module(), torch.fx.Graph()
    arrays = {
        "plain": view.plain.astype(np.int64),
        "columns": view.columns.astype(np.int64),
        "starts": view.starts.copy(),
        "slopes": view.slopes.copy(),
    }
    for name, array in arrays.items():
        root.register_buffer(name, torch.from_numpy(array))
    x = graph.placeholder("x")
    own = {name: graph.get_attr(name) for name in arrays}
    plain = graph.call_method("index_select", (x, 1, own["plain"]))
    ramps = graph.call_method("index_select", (x, 1, own["columns"]))
    ramps = graph.call_method("sub", (ramps, own["starts"]))
    ramps = graph.call_method("mul", (ramps, own["slopes"]))
    ramps = graph.call_method("clamp", (ramps, 0, 1))
    graph.output(graph.call_function(torch.cat, ([plain, ramps], 1)))
    return torch.fx.GraphModule(root, graph, "PiecewiseLinearEncoding")


def _to_images(torch: Any, shape: Shape3) -> list[Any]:
    """Return what turns rows (n, h * w * c) into images (n, c, h, w)."""
    h, w, c = shape
    shuffled = _transposed(torch, h * w, c)
    return [*shuffled, torch.nn.Unflatten(1, (c, h, w))]


def _to_rows(torch: Any, shape: Shape3) -> list[Any]:
    """Return what turns images (n, c, h, w) into rows (n, h * w * c)."""
    h, w, c = shape
    return [torch.nn.Flatten(), *_transposed(torch, c, h * w)]


def _transposed(torch: Any, rows: int, columns: int) -> list[Any]:
    """Return what transposes each row (rows * columns,), taken for a matrix."""
    if rows == 1 or columns == 1:
        return []
    # It wants numbers along a third axis.
    third = torch.nn.Unflatten(1, (rows * columns, 1))
    return [third, torch.nn.ChannelShuffle(rows), torch.nn.Flatten()]


def _convolutions(torch: Any, layer: Layer, view: Patches) -> list[Any]:
    """Return the convolution of a layer; if of low rank, a thin one and one on single pixels."""
    *thin, last = thin_factors(layer.weight)
    geometry: dict[str, Any] = {"stride": view.stride, "padding": view.padding}
    kernel = view.kernel
    modules: list[Any] = []
    for factor in thin:
        modules.append(_convolution(torch, factor, kernel, None, **geometry))
        kernel, geometry = (1, 1), {}
    return [*modules, _convolution(torch, last, kernel, layer.intercept, **geometry)]


def _convolution(
    torch: Any, weight: Float, kernel: tuple[int, int], intercept: Float | None, **geometry: Any
) -> Any:
    filters = weight.reshape(*kernel, -1, weight.shape[1]).transpose(3, 2, 0, 1)
    return _with_weights(
        torch,
        torch.nn.Conv2d,
        (filters.shape[1], filters.shape[0], kernel),
        filters,
        intercept,
        **geometry,
    )


def _linear(torch: Any, weight: Float, intercept: Float | None = None) -> Any:
    return _with_weights(torch, torch.nn.Linear, weight.shape, weight.T, intercept)


def _with_weights(
    torch: Any, module: Any, sizes: Any, weight: Float, intercept: Float | None, **options: Any
) -> Any:
    # Empty at first, so that no random numbers are drawn.
    made = torch.nn.utils.skip_init(module, *sizes, bias=intercept is not None, **options)
    made.weight = torch.nn.Parameter(torch.from_numpy(np.array(weight, order="C")))
    if intercept is not None:
        made.bias = torch.nn.Parameter(torch.from_numpy(intercept.copy()))
    return made
