"""Layers that see images as ONNX: convolutions and poolings, in the precision of the network.

A layer takes rows or images and leaves images; what comes next asks for rows if it needs them, so
that images are turned around once, not at every layer.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from fastbcd.io.export.onnx.graph import Graph
from fastbcd.io.export.onnx.weights import factors
from fastbcd.network.layers.patches import Pair, Patches, Shape3
from fastbcd.network.network import Layer


def images_of(graph: Graph) -> Images:
    """Return the operators on images for the type of numbers of ``graph``."""
    return ChannelsFirst(graph) if graph.dtype == np.float32 else ChannelsLast(graph)


class Images(ABC):
    """Operators on images in one order of the axes."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    @abstractmethod
    def from_rows(self, x: str, shape: Shape3) -> str:
        """Add images of ``shape`` (h, w, c) made of rows (n, h * w * c)."""

    @abstractmethod
    def to_rows(self, x: str, shape: Shape3) -> str:
        """Add the rows (n, h * w * c) that images of ``shape`` are."""

    @abstractmethod
    def average(self, x: str, view: Patches) -> str:
        """Add the means over windows that a view begins with."""

    @abstractmethod
    def convolution(self, x: str, layer: Layer, view: Patches) -> str:
        """Add patches times weights plus intercept, the images being averaged already."""

    @abstractmethod
    def maxima(self, x: str, shape: Shape3, window: Pair) -> str:
        """Add the maxima over windows of images of ``shape``."""


class ChannelsFirst(Images):
    """Images (n, c, h, w), for which ONNX has operators."""

    def from_rows(self, x: str, shape: Shape3) -> str:
        """Reshape and transpose."""
        return self._graph.node("Transpose", self._graph.reshape(x, -1, *shape), perm=[0, 3, 1, 2])

    def to_rows(self, x: str, shape: Shape3) -> str:
        """Transpose and reshape."""
        last = self._graph.node("Transpose", x, perm=[0, 2, 3, 1])
        return self._graph.reshape(last, -1, math.prod(shape))

    def average(self, x: str, view: Patches) -> str:
        """Add an AveragePool."""
        return self._pool("AveragePool", x, view.window)

    def convolution(self, x: str, layer: Layer, view: Patches) -> str:
        """Add a Conv, or with two thin factors another one on single pixels."""
        graph, geometry = self._graph, (view.kernel, view.stride, view.padding)
        *thin, last = factors(graph, layer.weight)
        intercept = graph.constant(layer.intercept)
        channels = view.shape[2]
        for name, n_out in thin:
            x = self._convolved(x, name, channels, n_out, geometry)
            channels, geometry = n_out, ((1, 1), (1, 1), (0, 0))
        return self._convolved(x, last[0], channels, last[1], geometry, intercept)

    def maxima(self, x: str, shape: Shape3, window: Pair) -> str:
        """Add a MaxPool."""
        return self._pool("MaxPool", x, window)

    def _convolved(
        self,
        x: str,
        weight: str,
        n_in: int,
        n_out: int,
        geometry: tuple[Pair, Pair, Pair],
        *intercept: str,
    ) -> str:
        kernel, stride, padding = geometry
        filters = self._graph.reshape(weight, *kernel, n_in, n_out)
        filters = self._graph.node("Transpose", filters, perm=[3, 2, 0, 1])
        return self._graph.node(
            "Conv", x, filters, *intercept,
            kernel_shape=kernel, strides=stride, pads=padding + padding,
        )  # fmt: skip

    def _pool(self, op: str, x: str, window: Pair) -> str:
        if window == (1, 1):
            return x
        return self._graph.node(op, x, kernel_shape=window, strides=window)


class ChannelsLast(Images):
    """Images (n, h, w, c) in double precision, for which ONNX Runtime has no Conv.

    Windows are laid side by side: one slice of the images for each place in a window.
    """

    def from_rows(self, x: str, shape: Shape3) -> str:
        """Reshape."""
        return self._graph.reshape(x, -1, *shape)

    def to_rows(self, x: str, shape: Shape3) -> str:
        """Reshape."""
        return self._graph.reshape(x, -1, math.prod(shape))

    def average(self, x: str, view: Patches) -> str:
        """Add the slices up."""
        if view.window == (1, 1):
            return x
        total = self._graph.node("Sum", *self._slices(x, view.window, view.pooled_shape[:2]))
        return self._graph.node("Mul", total, self._graph.constant(1 / math.prod(view.window)))

    def convolution(self, x: str, layer: Layer, view: Patches) -> str:
        """Put the slices together and multiply."""
        graph = self._graph
        if any(view.padding):
            borders = (0, *view.padding, 0)
            x = graph.node("Pad", x, graph.constant(borders + borders, np.int64))
        slices = list(self._slices(x, view.kernel, view.grid, view.stride))
        x = graph.node("Concat", *slices, axis=3)
        for name, _ in factors(graph, layer.weight):
            x = graph.node("MatMul", x, name)
        return graph.node("Add", x, graph.constant(layer.intercept))

    def maxima(self, x: str, shape: Shape3, window: Pair) -> str:
        """Take the maximum of the slices."""
        if window == (1, 1):
            return x
        count = shape[0] // window[0], shape[1] // window[1]
        return self._graph.node("Max", *self._slices(x, window, count))

    def _slices(
        self, x: str, window: Pair, count: Pair, stride: Pair | None = None
    ) -> Iterator[str]:
        """Add for each place in a window what lies there in all ``count`` windows."""
        step_y, step_x = stride or window
        axes, steps = self._indices(1, 2), self._indices(step_y, step_x)
        for place in np.ndindex(window):
            ends = place[0] + (count[0] - 1) * step_y + 1, place[1] + (count[1] - 1) * step_x + 1
            bounds = self._indices(*place), self._indices(*ends)
            yield self._graph.node("Slice", x, *bounds, axes, steps)

    def _indices(self, *numbers: int) -> str:
        return self._graph.constant(numbers, np.int64)
