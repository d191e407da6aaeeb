"""Convolutions and poolings of PyTorch, as far as ours are the same."""

from __future__ import annotations

import math
from typing import Any

from fastbcd.network.layers.patches import Pair, Shape3
from fastbcd.network.layers.specs import Conv2D


def convolution(where: str, module: Any, shape: Shape3) -> tuple[Conv2D, Pair]:
    """Return what a ``torch.nn.Conv2d`` is for images (h, w, c), and the grid of its outputs.

    Raises
    ------
    ValueError
        For options that :class:`fastbcd.layers.Conv2D` does not have; ``where`` names the module.
    """
    h, w, c = shape
    if module.groups != 1 or _pair(module.dilation) != (1, 1):
        raise ValueError(f"{where}: only groups=1 and dilation=1 are supported.")
    if module.padding_mode != "zeros" or module.in_channels != c:
        raise ValueError(
            f"{where}: it takes {module.in_channels} channels padded by "
            f"{module.padding_mode!r}; what comes before it has {c}, and zeros are supported."
        )
    padding = _padding(module.padding)
    size = Conv2D(module.out_channels, _pair(module.kernel_size), _pair(module.stride), padding)
    kernel, stride, pads = size.check()
    if kernel[0] > h + 2 * pads[0] or kernel[1] > w + 2 * pads[1]:
        raise ValueError(f"{where} does not fit in images of {h} x {w} pixels.")
    rows, columns = (
        (n + 2 * pad - k) // step + 1
        for n, k, step, pad in zip((h, w), kernel, stride, pads, strict=True)
    )
    return size, (rows, columns)


def pool_window(where: str, module: Any, shape: Pair) -> Pair:
    """Return the window of a ``MaxPool2d`` or ``AvgPool2d`` for images of ``shape`` (h, w).

    Raises
    ------
    ValueError
        For options that ours do not have; ``where`` names the module.
    """
    h, w = shape
    window = _pair(module.kernel_size)
    plain = _pair(module.stride) == window and _pair(module.padding) == (0, 0)
    rounded_up = module.ceil_mode and (h % window[0] or w % window[1])
    if not plain or rounded_up or _pair(getattr(module, "dilation", 1)) != (1, 1):
        raise ValueError(
            f"{where}: windows that overlap, dilation, padding and ceil_mode are not "
            "supported; stride=kernel_size is."
        )
    divisor = getattr(module, "divisor_override", None)
    if divisor not in (None, math.prod(window)):
        raise ValueError(
            f"{where}: divisor_override={divisor} is not supported. Leave it out, and scale the "
            "weights of the next layer instead."
        )
    if getattr(module, "return_indices", False):
        raise ValueError(f"{where}: return_indices=True is not supported. Set it to False.")
    if window[0] > h or window[1] > w:
        raise ValueError(f"{where} does not fit in images of {h} x {w} pixels.")
    return window


def _pair(value: int | tuple[int, int]) -> Pair:
    return value if isinstance(value, tuple) else (value, value)


def _padding(value: Any) -> Pair | str:
    """Return a padding as :class:`fastbcd.layers.Conv2D` knows it."""
    if isinstance(value, str):
        return (0, 0) if value == "valid" else value
    return _pair(value)
