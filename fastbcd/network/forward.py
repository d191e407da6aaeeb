"""The forward pass of a fitted network, without checks and with reused work arrays."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fastbcd.formats.products.product import BLOCK, Product
from fastbcd.formats.products.row_chain import Chain, Link, Workspace
from fastbcd.network.layer import Layer
from fastbcd.network.layers.activations import ALL_ACTIVATIONS, Activation
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.utils.types import Float
from fastbcd_kernels.sparse_product import transpose_block

FEW = 8
"""Minimum number of rows that a network with sparse layers predicts in blocks."""

IMAGE_BLOCK = 1 << 18
"""Approximate maximum number of entries in the patches or activations of a batch of images."""

MERGED = 1 << 16
"""Maximum number of stored entries of a matrix that is copied to merge layers into one call."""


class _Step(NamedTuple):
    product: Product
    bias: Float
    slope: float
    curve: Activation | None  # an activation that is not given by a slope
    width: int

    def row(self, x: Float, out: Float, space: Workspace) -> None:
        """Apply the layer to one row, except for ``curve``."""
        self.product.row(x, self.bias, self.slope, out, space)


class _Stage(NamedTuple):
    """Consecutive layers applied to one row in one call; only the last may have a curve."""

    run: Callable[[Float, Float, Workspace], None]
    curve: Activation | None
    width: int


def _steps(layers: Sequence[Layer], batch: bool) -> list[_Step]:
    steps = []
    for layer in layers:
        activation = ALL_ACTIVATIONS[layer.activation]
        slope = getattr(activation, "slope", None)
        bias = np.ascontiguousarray(layer.intercept, layer.weight.dtype)
        steps.append(
            _Step(
                layer.weight.product(batch),
                bias,
                1.0 if slope is None else slope,
                activation if slope is None else None,
                layer.weight.shape[1],
            )
        )
    return steps


def _stages(steps: Sequence[_Step]) -> list[_Stage]:
    """Merge consecutive layers that are chains of matrices and small enough to copy."""
    stages: list[_Stage] = []
    run: list[_Step] = []
    for step in steps:
        links = step.product.links()
        small = bool(links) and all(link.size <= MERGED for link in links)
        if run and not small:
            stages.append(_merged(run))
            run = []
        if not links:
            stages.append(_Stage(step.row, step.curve, step.width))
            continue
        run.append(step)
        if step.curve or not small:
            stages.append(_merged(run))
            run = []
    return [*stages, _merged(run)] if run else stages


def _merged(steps: Sequence[_Step]) -> _Stage:
    links: list[Link] = []
    biases: list[Float | None] = []
    slopes: list[float] = []
    for step in steps:
        own = step.product.links()
        links += own
        biases += [*[None] * (len(own) - 1), step.bias]
        slopes += [*[1.0] * (len(own) - 1), step.slope]
    return _Stage(Chain(links, biases, slopes), steps[-1].curve, steps[-1].width)


class _Prepared(ABC):
    """The function of a network, with separate work arrays for each thread.

    Parameters
    ----------
    layers : sequence of Layer
        Layers from the input to the output, all of one dtype.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.dtype = layers[0].weight.dtype
        self.n_out = layers[-1].weight.shape[1]
        self._layers = layers
        self._threads = threading.local()

    def __call__(self, x: Float, out: Float | None = None) -> Float:
        """Return the outputs (n, n_out) for inputs (n, n_in), written into ``out`` if given."""
        x = np.ascontiguousarray(x, self.dtype)
        if out is None:
            out = np.empty((len(x), self.n_out), self.dtype)
        space = getattr(self._threads, "space", None)
        if space is None:
            space = self._threads.space = Workspace()
        self._run(x, out, space)
        return out

    @abstractmethod
    def _run(self, x: Float, out: Float, space: Workspace) -> None:
        """Write the outputs for ``x``, which is C-contiguous and has the dtype of the network."""


class Forward(_Prepared):
    """The function of a network of dense layers.

    One row is processed as a vector, in a single kernel call if possible. Many rows are processed
    at once if all layers use dense products. Otherwise they are processed in transposed blocks,
    which are fastest for sparse products.

    Attributes
    ----------
    single : list
        The calls for one row, each with the layers that it covers.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__(layers)
        self.single = _stages(_steps(layers, batch=False))
        self._batch: list[_Step] | None = None

    def _run(self, x: Float, out: Float, space: Workspace) -> None:
        n = len(x)
        if n < FEW and not x.flags.writeable:  # kernels are compiled for writable arrays
            x = x.copy()
        if n == 1:
            self._row(x[0], out[0], space)
            return
        if self._batch is None:
            self._batch = _steps(self._layers, batch=True)
        if not any(step.product.in_blocks for step in self._batch):
            self._rows(x, out, space)
        elif n < FEW:
            for i in range(n):
                self._row(x[i], out[i], space)
        else:
            self._blocks(x, out, space)

    def _row(self, x: Float, out: Float, space: Workspace) -> None:
        last = len(self.single) - 1
        for k, (run, curve, width) in enumerate(self.single):
            to = out if k == last else space.get(k, (width,), self.dtype)
            run(x, to, space)
            if curve is not None:
                curve.value(to, out=to)
            x = to

    def _rows(self, v: Float, out: Float, space: Workspace) -> None:
        assert self._batch is not None
        last = len(self._batch) - 1
        for k, (product, bias, slope, curve, width) in enumerate(self._batch):
            to = out if k == last else space.get((k, "rows"), (len(v), width), self.dtype)
            product.rows(v, bias, slope, to, space)
            if curve is not None:
                curve.value(to, out=to)
            v = to

    def _blocks(self, x: Float, out: Float, space: Workspace) -> None:
        assert self._batch is not None
        for lo in range(0, len(x), BLOCK):
            v = space.get("block", (x.shape[1], BLOCK), self.dtype)
            rows = x[lo : lo + BLOCK]
            transpose_block(rows if rows.flags.writeable else rows.copy(), v)
            for k, (product, bias, slope, curve, width) in enumerate(self._batch):
                to = space.get((k, "block"), (width, BLOCK), self.dtype)
                product.block(v, bias, slope, to, space)
                if curve is not None:
                    curve.value(to, out=to)
                v = to
            part = out[lo : lo + BLOCK]
            part[...] = v[:, : len(part)].T


class EncodedForward(Forward):
    """The function of a network of dense layers that reads columns through an encoding."""

    def __init__(self, encoding: PiecewiseLinearEncoding, layers: Sequence[Layer]) -> None:
        super().__init__(layers)
        self._encoding = encoding
        self._at_once = max(FEW, IMAGE_BLOCK // encoding.n_features)

    def _run(self, x: Float, out: Float, space: Workspace) -> None:
        for lo in range(0, len(x), self._at_once):
            part = slice(lo, lo + self._at_once)
            super()._run(self._encoding.rows(x[part]), out[part], space)


class ImageForward(_Prepared):
    """The function of a network with patches or pooling, applied to batches of images."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__(layers)
        self._rows, self._row = _steps(layers, batch=True), _steps(layers, batch=False)
        widest = max(layer.view.positions * max(layer.weight.shape) for layer in layers)
        self._at_once = max(1, IMAGE_BLOCK // widest)

    def _run(self, x: Float, out: Float, space: Workspace) -> None:
        for lo in range(0, len(x), self._at_once):
            part = slice(lo, lo + self._at_once)
            self._images(x[part], out[part], space)

    def _images(self, v: Float, out: Float, space: Workspace) -> None:
        n = len(v)
        for k, layer in enumerate(self._layers):
            rows = layer.view.rows(v)
            last = k == len(self._layers) - 1
            width = layer.weight.shape[1]
            to = out if last else space.get((k, "rows"), (len(rows), width), self.dtype)
            product, bias, slope, curve, _ = (self._row if len(rows) == 1 else self._rows)[k]
            if len(rows) == 1:
                product.row(rows[0], bias, slope, to[0], space)
            else:
                product.rows(rows, bias, slope, to, space)
            if curve is not None:
                curve.value(to, out=to)
            v = to.reshape(n, -1)
            if layer.pool is not None:
                v = layer.pool.forward(v, space.get((k, "pool"), (n, layer.pool.n_out), self.dtype))
