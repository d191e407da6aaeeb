"""What ``hidden_layer_sizes`` may hold besides numbers of units: layers for images and signals.

Images are rows of ``h * w * c`` numbers, pixel by pixel with the channels of a pixel together, as
``images.reshape(len(images), -1)`` gives for an array (n, h, w, c); ``input_shape=(h, w, c)`` tells
how to read them. A signal of t time steps and c channels is an image of shape (t, 1, c). A number
of units after a layer of this module sees all pixels: flattening needs no layer of its own.
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
    """A convolution: filters that look at small patches, alike everywhere in the image.

    Its weights are one matrix of shape (k_h * k_w * c, filters), so every scheme that compresses
    a dense layer compresses it too. The activation is that of the estimator.

    Parameters
    ----------
    filters : int
        Number of filters: channels of the output.
    kernel_size : int or (int, int)
        Height and width of a patch.
    stride : int or (int, int), default=1
        Distance of neighbouring patches. Pixels at the lower and right border that fill no
        patch are left out.
    padding : int, (int, int) or "same", default=0
        Zeros around the image. "same" pads odd kernels by half their size.

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
            If a parameter is not as described.
        """
        if not is_integer(self.filters, 1):
            raise ValueError(f"Conv2D: filters must be a positive integer; got {self.filters!r}.")
        kernel = _pair("Conv2D", "kernel_size", self.kernel_size, 1)
        stride = _pair("Conv2D", "stride", self.stride, 1)
        if self.padding == "same":
            if any(size % 2 == 0 for size in kernel):
                raise ValueError(
                    'Conv2D: padding="same" needs an odd kernel_size; got '
                    f"{self.kernel_size!r}. Give padding as a number."
                )
            return kernel, stride, (kernel[0] // 2, kernel[1] // 2)
        padding = _pair("Conv2D", "padding", self.padding, 0)
        if padding[0] >= kernel[0] or padding[1] >= kernel[1]:
            raise ValueError(
                f"Conv2D: padding must be smaller than kernel_size={self.kernel_size!r}, or "
                f"patches would see zeros alone; got {self.padding!r}."
            )
        return kernel, stride, padding


@dataclass(frozen=True)
class _Pool2D:
    pool_size: int | Pair = 2

    def check(self) -> Pair:
        """Return the size of a window by axis; raise ValueError if there is no such window."""
        return _pair(type(self).__name__, "pool_size", self.pool_size, 1)


@dataclass(frozen=True)
class MaxPool2D(_Pool2D):
    """The maximum over windows of pixels; follows a :class:`Conv2D`.

    Parameters
    ----------
    pool_size : int or (int, int), default=2
        Height and width of a window. Windows do not overlap; pixels at the lower and right
        border that fill none are left out.
    """


@dataclass(frozen=True)
class AveragePool2D(_Pool2D):
    """The mean over windows of pixels.

    Parameters
    ----------
    pool_size : int or (int, int), default=2
        Height and width of a window. Windows do not overlap; pixels at the lower and right
        border that fill none are left out.
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
