"""Convolution and pooling layers for ``hidden_layer_sizes``.

An image is a row of ``h * w * c`` numbers, pixel by pixel, with the channels of a pixel adjacent.
``images.reshape(len(images), -1)`` converts an array (n, h, w, c) to this layout. Set
``input_shape=(h, w, c)`` on the estimator. A signal with t time steps and c channels is an image of
shape (t, 1, c). A dense layer after a layer of this module reads all pixels, so no flattening layer
is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from fastbcd.utils.validation import is_integer

__all__ = ["AveragePool2D", "Conv2D", "MaxPool2D"]

Pair: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Conv2D:
    """A 2-D convolution: the same filters are applied to every patch of the image.

    The weights are one matrix of shape (k_h * k_w * c, filters), so every scheme for dense layers
    also compresses convolutions. The estimator's ``activation`` follows.

    Parameters
    ----------
    filters : int
        Number of filters, that is, of output channels.
    kernel_size : int or (int, int)
        Height and width of a patch in pixels.
    stride : int or (int, int), default=1
        Vertical and horizontal distance between neighbouring patches in pixels. Pixels at the lower
        and right border that do not fill a patch are ignored.
    padding : int, (int, int) or "same", default=0
        Number of zeros on each side of the image, vertically and horizontally. "same" pads by half
        the kernel size, rounded down, and needs an odd kernel size.

    Examples
    --------
    >>> from fastbcd import BCDClassifier
    >>> from fastbcd.network.layers.specs import Conv2D, MaxPool2D
    >>> clf = BCDClassifier((Conv2D(16, kernel_size=3), MaxPool2D(), 64), input_shape=(28, 28))
    """

    filters: int
    kernel_size: int | Pair
    stride: int | Pair = 1
    padding: int | Pair | str = 0

    def check(self) -> tuple[Pair, Pair, Pair]:
        """Return kernel, stride and padding by axis.

        Raises
        ------
        ValueError
            If a parameter is invalid.
        """
        if not is_integer(self.filters, 1):
            raise ValueError(f"Conv2D: filters must be a positive integer; got {self.filters!r}.")
        kernel = _pair("Conv2D", "kernel_size", self.kernel_size, 1)
        stride = _pair("Conv2D", "stride", self.stride, 1)
        if self.padding == "same":
            if any(size % 2 == 0 for size in kernel):
                raise ValueError(
                    'Conv2D: padding="same" needs an odd kernel_size; got '
                    f"{self.kernel_size!r}. Set padding to a number instead."
                )
            return kernel, stride, (kernel[0] // 2, kernel[1] // 2)
        padding = _pair("Conv2D", "padding", self.padding, 0)
        if padding[0] >= kernel[0] or padding[1] >= kernel[1]:
            raise ValueError(
                f"Conv2D: padding must be smaller than kernel_size={self.kernel_size!r}, or "
                f"some patches would contain only zeros; got {self.padding!r}."
            )
        return kernel, stride, padding


@dataclass(frozen=True)
class _Pool2D:
    pool_size: int | Pair = 2

    def check(self) -> Pair:
        """Return the height and width of a window; raise ValueError if ``pool_size`` is invalid."""
        return _pair(type(self).__name__, "pool_size", self.pool_size, 1)


@dataclass(frozen=True)
class MaxPool2D(_Pool2D):
    """Max pooling over windows of pixels; must directly follow a :class:`Conv2D`.

    Parameters
    ----------
    pool_size : int or (int, int), default=2
        Height and width of a window in pixels. Windows do not overlap. Pixels at the lower and
        right border that do not fill a window are ignored.
    """


@dataclass(frozen=True)
class AveragePool2D(_Pool2D):
    """Average pooling over windows of pixels.

    Parameters
    ----------
    pool_size : int or (int, int), default=2
        Height and width of a window in pixels. Windows do not overlap. Pixels at the lower and
        right border that do not fill a window are ignored.
    """


LayerSize: TypeAlias = int | Conv2D | MaxPool2D | AveragePool2D
"""An entry of ``hidden_layer_sizes``."""


def _pair(owner: str, name: str, value: Any, low: int) -> Pair:
    sizes = (value, value) if is_integer(value, low) else value
    if isinstance(sizes, Iterable) and not isinstance(sizes, str):
        numbers = tuple(sizes)
        if len(numbers) == 2 and all(is_integer(size, low) for size in numbers):
            return int(numbers[0]), int(numbers[1])
    raise ValueError(
        f"{owner}: {name} must be an integer of at least {low}, or two of them; got {value!r}."
    )
