"""Views for convolutions and average pooling; see :mod:`fastbcd.network.layers.view`.

Patches are computed for some images at a time, so the patch matrix of all images is never stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastbcd.linalg import products as la
from fastbcd.network.layers.patch_step import Operator, least_squares
from fastbcd.network.layers.row_step import activation_gain
from fastbcd.network.layers.view import WHOLE_ROW as WHOLE_ROW
from fastbcd.network.layers.view import View as View
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import patches as kernel
from fastbcd_kernels import pooling

CHUNK = 1 << 21
"""Approximate maximum number of patch entries computed at once."""

Shape3 = tuple[int, int, int]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Patches(View):
    """The view of a convolution, or of any layer after average pooling.

    Parameters
    ----------
    shape : (h, w, c)
        Shape of the input images.
    kernel : (k_h, k_w)
        Size of a patch after pooling. A patch as large as the image makes the layer dense.
    stride, padding : pairs of int
        Distance between patches, and number of zeros on each side of the image, in pixels.
    window : (q_h, q_w), default=(1, 1)
        Window of the average pooling applied first; (1, 1) means no pooling.
    """

    shape: Shape3
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    window: Pair = (1, 1)

    @property
    def pooled_shape(self) -> Shape3:
        """Shape of the images after average pooling."""
        h, w, c = self.shape
        return h // self.window[0], w // self.window[1], c

    @property
    def grid(self) -> Pair:
        """Number of patch rows and columns: height and width of the output."""
        size = zip(self.pooled_shape, self.kernel, self.stride, self.padding, strict=False)
        height, width = ((n + 2 * pad - k) // step + 1 for n, k, step, pad in size)
        return height, width

    @property
    def n_inputs(self) -> int:
        """Number of entries of an image."""
        return math.prod(self.shape)

    @property
    def positions(self) -> int:
        """Number of patches p per image."""
        return math.prod(self.grid)

    @property
    def is_whole(self) -> bool:
        """Whether the only patch is the whole image, as in a dense layer."""
        return self.kernel == self.pooled_shape[:2] and not any(self.padding)

    @property
    def width(self) -> int:
        """Number of entries k in a patch."""
        return self.kernel[0] * self.kernel[1] * self.shape[2]

    def rows(self, v: Float) -> Float:
        """Return the patches (n * p, k) of images (n, h * w * c)."""
        return self._gather(self._pooled(v))

    def fold(self, rows: Float) -> Float:
        """Return the adjoint of :meth:`rows`: patches added up into images."""
        pixels = self._scatter(rows)
        return pixels if self.window == (1, 1) else self._spread(pixels, 1 / math.prod(self.window))

    def linear(self, v: Float, weight: Float, bias: Float, out: Float) -> Float:
        """Write the convolution of ``v`` plus bias into ``out``."""
        for part in self._parts(len(v)):
            la.linear(self.rows(v[part]), weight, bias, self._by_patch(out[part]))
        return out

    def subtract_product(self, v: Float, weight: Float, out: Float) -> Float:
        """Subtract the convolution of ``v`` from ``out``."""
        for part in self._parts(len(v)):
            la.add_product(self._by_patch(out[part]), self.rows(v[part]), weight, -1.0)
        return out

    def gram(self, v: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return the Gram matrix of all patches and a column of ones, in float64."""
        total = np.zeros((self.width + 1, self.width + 1))
        for part in self._parts(len(v)):
            total += la.gram(self.rows(v[part]), self._repeat(sample_weight, part))
        return total

    def square_sum(self, v: Float, sample_weight: Float64) -> float:
        """Return the weighted sum of squares of all patches."""
        return sum(
            WHOLE_ROW.square_sum(self.rows(v[part]), np.repeat(sample_weight[part], self.positions))
            for part in self._parts(len(v))
        )

    def cross(self, v: Float, u: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return [A(v) 1]' S u, in float64."""
        total = np.zeros((self.width + 1, u.shape[1] // self.positions))
        for part in self._parts(len(v)):
            weight = self._repeat(sample_weight, part)
            total += la.cross(self.rows(v[part]), self._by_patch(u[part]), weight)
        return total

    def pull_back(self, u: Float, weight: Float) -> Float:
        """Return the transposed convolution of ``u``."""
        out = np.empty((len(u), math.prod(self.shape)), u.dtype)
        for part in self._parts(len(u)):
            out[part] = self.fold(la.product(self._by_patch(u[part]), weight, transposed=True))
        return out

    def solve_activation(
        self, new: Float, miss: Float, old: Float, weight: Float, ratio: float, residual: Float
    ) -> None:
        r"""Perform the V-step by conjugate gradients on each image.

        With average pooling over windows of q pixels, V - s is constant in each window. It solves
        the problem of the pooled images with gamma replaced by gamma q. The iteration starts at the
        old V, and each step minimises over an affine space that contains the old V. Therefore F
        decreases by at least gamma/2 times the squared step, however early the iteration stops.
        """
        ratio *= math.prod(self.window)
        gain = activation_gain(weight, ratio) if self.is_whole else None
        residual[...] = miss
        for part in self._parts(len(new)):
            start = self._pooled(new[part])
            by_patch = self._by_patch(miss[part])
            la.add_product(by_patch, self._gather(start), weight, -1.0)
            if gain is not None:
                step = la.product(by_patch, gain)
            else:
                step = least_squares(
                    Operator(self._gather, self._scatter, weight, self.shape[2], self.stride),
                    by_patch,
                    self._pooled(old[part]) - start,
                    ratio,
                )
            if self.window == (1, 1):
                new[part] += step
            else:
                self._spread(step, 1.0, new[part])
        self.subtract_product(new, weight, residual)

    def _parts(self, n: int) -> Iterator[slice]:
        size = max(1, CHUNK // (self.positions * self.width))
        for lo in range(0, n, size):
            yield slice(lo, min(lo + size, n))

    def _by_patch(self, u: Float) -> Float:
        return u.reshape(len(u) * self.positions, -1)

    def _repeat(self, sample_weight: Float64 | None, part: slice) -> Float64 | None:
        return None if sample_weight is None else np.repeat(sample_weight[part], self.positions)

    def _pooled(self, v: Float) -> Float:
        v = np.require(v, requirements=["C", "W"])  # kernels are compiled for writable arrays
        if self.window == (1, 1):
            return v
        out = np.empty((len(v), math.prod(self.pooled_shape)), v.dtype)
        pooling.average_pool(v, self.shape, self.window, out)
        return out

    def _spread(self, e: Float, factor: float, out: Float | None = None) -> Float:
        out = np.zeros((len(e), math.prod(self.shape)), e.dtype) if out is None else out
        pooling.add_to_windows(e, self.shape, self.window, factor, out)
        return out

    def _gather(self, v: Float) -> Float:
        out = np.empty((len(v) * self.positions, self.width), v.dtype)
        kernel.gather_patches(v, self.pooled_shape, self.kernel, self.stride, self.padding, out)
        return out

    def _scatter(self, rows: Float) -> Float:
        out = np.empty((len(rows) // self.positions, math.prod(self.pooled_shape)), rows.dtype)
        rows = np.ascontiguousarray(rows)
        kernel.scatter_patches(rows, self.pooled_shape, self.kernel, self.stride, self.padding, out)
        return out
