"""The shapes, views and pools of the weight layers, derived from ``hidden_layer_sizes``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fastbcd.network.layers.patches import WHOLE_ROW, Patches, Shape3, View
from fastbcd.network.layers.pooling import MaxPool
from fastbcd.network.layers.specs import AveragePool2D, Conv2D, LayerSize, MaxPool2D
from fastbcd.utils.validation import is_integer


@dataclass(frozen=True)
class Architecture:
    """The weight layers, from the input to the output.

    Parameters
    ----------
    shapes : tuple of (k, m)
        Shapes of the weight matrices.
    views : tuple of View
        View of its input for each layer.
    pools : tuple of MaxPool or None
        Max pooling after the activation of each layer, if any.
    """

    shapes: tuple[tuple[int, int], ...]
    views: tuple[View, ...]
    pools: tuple[MaxPool | None, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of pre-activations per row in each layer."""
        return tuple(
            view.positions * m for view, (_, m) in zip(self.views, self.shapes, strict=True)
        )

    @property
    def has_images(self) -> bool:
        """Whether any layer sees patches of images."""
        return any(isinstance(view, Patches) for view in self.views)

    @property
    def images(self) -> list[Shape3 | None]:
        """Shape (h, w, c) of the images that each dense layer reads; None otherwise."""
        found: list[Shape3 | None] = []
        before: Shape3 | None = None
        for (_, m), view, pool in zip(self.shapes, self.views, self.pools, strict=True):
            dense = not isinstance(view, Patches) or view.is_whole
            pooled = view.pooled_shape if isinstance(view, Patches) else before
            found.append(pooled if dense else None)
            before = (*view.grid, m) if isinstance(view, Patches) and not dense else None
            before = pool.shape_out if pool is not None else before
        return found

    @classmethod
    def of(
        cls,
        hidden_layer_sizes: Sequence[LayerSize],
        n_in: int,
        n_out: int,
        input_shape: Shape3 | None = None,
    ) -> Architecture:
        """Return the architecture for checked sizes, ``n_in`` features and ``n_out`` outputs.

        Raises
        ------
        ValueError
            If the layers are not compatible with each other or with the inputs.
        """
        if input_shape is not None and math.prod(input_shape) != n_in:
            raise ValueError(
                f"input_shape={input_shape} needs {math.prod(input_shape)} features, but X has "
                f"{n_in}. Set input_shape to the height, width and channels of the images in X."
            )
        plan = _Plan(n_in, input_shape)
        for index, layer in enumerate(hidden_layer_sizes):
            plan.add(layer, f"hidden_layer_sizes[{index}]")
        plan.add(n_out, "the output layer")
        return cls(tuple(plan.shapes), tuple(plan.views), tuple(plan.pools))


class _Plan:
    """Tracks the shape of the activations from layer to layer."""

    def __init__(self, n_in: int, image: Shape3 | None) -> None:
        self.n, self.image = n_in, image
        self.window = (1, 1)  # average pooling to be merged into the next weight layer
        self.shapes: list[tuple[int, int]] = []
        self.views: list[View] = []
        self.pools: list[MaxPool | None] = []
        self.after_convolution = False

    def add(self, layer: LayerSize, where: str) -> None:
        if isinstance(layer, Conv2D):
            self._convolution(layer, where)
        elif isinstance(layer, MaxPool2D | AveragePool2D):
            self._pool(layer, where)
        else:
            self._dense(int(layer))
        self.after_convolution = isinstance(layer, Conv2D)

    def _pooled(self, image: Shape3) -> Shape3:
        return image[0] // self.window[0], image[1] // self.window[1], image[2]

    def _append(self, shape: tuple[int, int], view: View) -> None:
        self.shapes.append(shape)
        self.views.append(view)
        self.pools.append(None)
        self.window = (1, 1)

    def _dense(self, units: int) -> None:
        view: View = WHOLE_ROW
        n = self.n
        if self.image is not None and self.window != (1, 1):
            h, w, c = self._pooled(self.image)
            n, view = h * w * c, Patches(self.image, (h, w), window=self.window)
        self._append((n, units), view)
        self.n, self.image = units, None

    def _convolution(self, layer: Conv2D, where: str) -> None:
        image = self._need_image(layer, where)
        h, w, c = self._pooled(image)
        kernel, stride, padding = layer.check()
        for size, pixels, pad in zip(kernel, (h, w), padding, strict=True):
            if size > pixels + 2 * pad:
                raise ValueError(
                    f"{where}: a kernel_size of {kernel[0]} x {kernel[1]} does not fit in images "
                    f"of {h} x {w} pixels with padding={padding}. Use a smaller kernel_size, or "
                    "smaller strides or fewer pooling layers before it."
                )
        view = Patches(image, kernel, stride, padding, self.window)
        self._append((kernel[0] * kernel[1] * c, layer.filters), view)
        self.image = (*view.grid, layer.filters)
        self.n = math.prod(self.image)

    def _pool(self, layer: MaxPool2D | AveragePool2D, where: str) -> None:
        image = self._need_image(layer, where)
        window = layer.check()
        h, w, c = self._pooled(image)
        if window[0] > h or window[1] > w:
            raise ValueError(
                f"{where}: a pool_size of {window[0]} x {window[1]} does not fit in images of "
                f"{h} x {w} pixels. Use a smaller pool_size, or smaller strides or fewer pooling "
                "layers before it."
            )
        if isinstance(layer, AveragePool2D):
            self.window = (self.window[0] * window[0], self.window[1] * window[1])
            return
        if not self.after_convolution:
            raise ValueError(
                f"{where}: MaxPool2D must follow a Conv2D directly. Move it there, or use "
                "AveragePool2D."
            )
        self.pools[-1] = MaxPool(image, window)
        self.image = (h // window[0], w // window[1], c)
        self.n = math.prod(self.image)

    def _need_image(self, layer: Any, where: str) -> Shape3:
        name = type(layer).__name__
        if self.image is not None:
            return self.image
        if self.shapes:
            raise ValueError(
                f"{where}: {name} needs images, but a dense layer comes before it. Put convolution "
                "and pooling layers first."
            )
        raise ValueError(
            f"{where}: {name} needs input_shape, the height, width and channels of the images in "
            "X, such as input_shape=(28, 28, 1)."
        )


def check_layers(value: Any) -> tuple[LayerSize, ...]:
    """Return ``hidden_layer_sizes`` as a tuple; a single entry means one hidden layer.

    Raises
    ------
    ValueError
        If an entry is neither a positive integer nor a valid layer of
        :mod:`fastbcd.layers`.
    """
    many = isinstance(value, Iterable) and not isinstance(value, str)
    sizes = tuple(value) if many else (value,)
    layers = (Conv2D, MaxPool2D, AveragePool2D)
    if not sizes or any(not isinstance(s, layers) and not is_integer(s, 1) for s in sizes):
        raise ValueError(
            "hidden_layer_sizes must be positive integers such as (300, 100), or layers of "
            f"fastbcd.layers such as (Conv2D(16, kernel_size=3), 100); got {value!r}."
        )
    for size in sizes:
        if isinstance(size, layers):
            size.check()
    return tuple(size if isinstance(size, layers) else int(size) for size in sizes)


def check_input_shape(value: Any) -> Shape3 | None:
    """Return ``input_shape`` as (h, w, c), with c = 1 by default; raise ValueError if invalid."""
    if value is None:
        return None
    shape = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if len(shape) not in (2, 3) or any(not is_integer(size, 1) for size in shape):
        raise ValueError(
            "input_shape must be the height, width and channels of the images in X, such as "
            f"(28, 28, 1), or None; got {value!r}."
        )
    h, w, c = (*shape, 1)[:3]
    return int(h), int(w), int(c)
