r"""How a layer sees its input: as it is, pooled, or patch by patch.

A view is a linear map A from a row v of activations to p rows of a matrix that the weights
multiply, Z = A(v) W + b, with p = 1 for a dense layer. All that a solver does with the inputs of a
layer goes through it: the products, the Gram matrix and the cross product of the W-step, and
the V-step, which minimises

.. math:: \frac{\gamma}{2} \|V - s\|^2 + \frac{\rho}{2} \|A(V) W + b - U\|^2

with s = sigma(U) of the layer before. Patches are formed some images at a time, so that the patch
matrix of all images never exists.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastbcd import _linalg as la
from fastbcd._activation_system import ActivationSystem, activation_gain
from fastbcd._conjugate_gradients import Operator, least_squares
from fastbcd._types import Float, Float64
from fastbcd_kernels import patches as kernel
from fastbcd_kernels import pooling

CHUNK = 1 << 21
"""Numbers in the patches that are formed at once, about."""

Shape3 = tuple[int, int, int]
Pair = tuple[int, int]


class View(ABC):
    """What the solvers need of it."""

    positions: int
    """Rows p that the weights see of one row."""

    @abstractmethod
    def rows(self, v: Float) -> Float:
        """Return A(v), (n * p, k), for activations (n, d)."""

    @abstractmethod
    def fold(self, rows: Float) -> Float:
        """Return A'(rows), (n, d): the adjoint."""

    @abstractmethod
    def linear(self, v: Float, weight: Float, bias: Float, out: Float) -> Float:
        """Write A(v) W + b into ``out`` (n, p * m) and return it."""

    @abstractmethod
    def subtract_product(self, v: Float, weight: Float, out: Float) -> Float:
        """Subtract A(v) W from ``out`` (n, p * m) and return it."""

    @abstractmethod
    def gram(self, v: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return [A(v) 1]' S [A(v) 1]; see :func:`fastbcd._linalg.gram`."""

    @abstractmethod
    def square_sum(self, v: Float, sample_weight: Float64) -> float:
        """Return the weighted sum of squares of A(v)."""

    @abstractmethod
    def cross(self, v: Float, u: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return [A(v) 1]' S u, (k + 1, m), for ``u`` (n, p * m)."""

    @abstractmethod
    def pull_back(self, u: Float, weight: Float) -> Float:
        """Return A'(u W'), (n, d), for ``u`` (n, p * m)."""

    @abstractmethod
    def solve_activation(
        self, new: Float, miss: Float, old: Float, weight: Float, ratio: float, residual: Float
    ) -> None:
        """Take the V-step: ``new`` holds s and becomes V, ``residual`` becomes U - A(V) W - b.

        Parameters
        ----------
        new : (n, d) array
            Overwritten.
        miss : (n, p * m) array
            U - b of the layer that this is the view of; used up.
        old : (n, d) array
            V before.
        weight : (k, m) array
            Of that layer.
        ratio : float
            gamma / rho.
        residual : (n, p * m) array
            Overwritten.
        """


class WholeRow(View):
    """The view of a dense layer: the row itself."""

    positions = 1

    def rows(self, v: Float) -> Float:
        """Return ``v``."""
        return v

    def fold(self, rows: Float) -> Float:
        """Return ``rows``."""
        return rows

    def linear(self, v: Float, weight: Float, bias: Float, out: Float) -> Float:
        """Write ``v @ weight + bias`` into ``out``."""
        return la.linear(v, weight, bias, out)

    def subtract_product(self, v: Float, weight: Float, out: Float) -> Float:
        """Subtract ``v @ weight`` from ``out``."""
        return la.add_product(out, v, weight, -1.0)

    def gram(self, v: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return [v 1]' S [v 1]."""
        return la.gram(v, sample_weight, wide) if wide else la.gram(v, sample_weight, wide=False)

    def square_sum(self, v: Float, sample_weight: Float64) -> float:
        """Return the weighted sum of squares of ``v``."""
        return float(sample_weight @ np.sum(np.square(v), axis=1, dtype=np.float64))

    def cross(self, v: Float, u: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return [v 1]' S u."""
        return la.cross(v, u, sample_weight) if wide else la.cross(v, u, sample_weight, wide=False)

    def pull_back(self, u: Float, weight: Float) -> Float:
        """Return ``u @ weight.T``."""
        return la.product(u, weight, transposed=True)

    def solve_activation(
        self, new: Float, miss: Float, old: Float, weight: Float, ratio: float, residual: Float
    ) -> None:
        """Take the V-step: V = s + (U - b - s W) K; see :mod:`fastbcd._activation_system`."""
        system = ActivationSystem(weight, ratio)
        shrinkage = system.shrinkage()
        if shrinkage is None:
            residual[...] = miss
            self.subtract_product(new, weight, miss)
            la.add_product(new, miss, system.gain())
            self.subtract_product(new, weight, residual)
        else:
            self.subtract_product(new, weight, miss)
            la.symmetric_product(miss, shrinkage, residual)
            la.add_product(new, residual, weight, 1 / ratio, transposed=True)

    def __repr__(self) -> str:
        return "WHOLE_ROW"


WHOLE_ROW = WholeRow()


@dataclass(frozen=True)
class Patches(View):
    """The view of a convolution, or of any layer after average pooling.

    Parameters
    ----------
    shape : (h, w, c)
        Shape of the images that come in.
    kernel : (k_h, k_w)
        Size of a patch, after the pooling. A patch as large as the image makes the layer dense.
    stride, padding : pairs of int
        Distance of patches, zeros around the image.
    window : (q_h, q_w), default=(1, 1)
        Average pooling that comes first.
    """

    shape: Shape3
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    window: Pair = (1, 1)

    @property
    def pooled_shape(self) -> Shape3:
        """Shape of the images after the pooling."""
        h, w, c = self.shape
        return h // self.window[0], w // self.window[1], c

    @property
    def grid(self) -> Pair:
        """Rows and columns of positions: height and width of what the layer gives."""
        size = zip(self.pooled_shape, self.kernel, self.stride, self.padding, strict=False)
        height, width = ((n + 2 * pad - k) // step + 1 for n, k, step, pad in size)
        return height, width

    @property
    def positions(self) -> int:  # type: ignore[override]
        """Number of patches p of an image."""
        return math.prod(self.grid)

    @property
    def is_whole(self) -> bool:
        """Whether the only patch is the whole image, as a dense layer sees it."""
        return self.kernel == self.pooled_shape[:2] and not any(self.padding)

    @property
    def width(self) -> int:
        """Numbers k in a patch."""
        return self.kernel[0] * self.kernel[1] * self.shape[2]

    def rows(self, v: Float) -> Float:
        """Return the patches (n * p, k) of images (n, h * w * c)."""
        return self._gather(self._pooled(v))

    def fold(self, rows: Float) -> Float:
        """Add up patches where they overlap."""
        pixels = self._scatter(rows)
        return pixels if self.window == (1, 1) else self._spread(pixels, 1 / self._window_size)

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
        r"""Take the V-step by conjugate gradients on each image.

        With average pooling over windows of q pixels, V = s + a step that is the same in all
        pixels of a window: it solves the problem of the pooled images with gamma q for gamma.
        Started at the old V, each step of conjugate gradients minimises over a space around it;
        so F falls by at least gamma/2 times the squared step however early they end.
        """
        ratio *= self._window_size
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

    @property
    def _window_size(self) -> int:
        return self.window[0] * self.window[1]

    def _parts(self, n: int) -> Iterator[slice]:
        size = max(1, CHUNK // (self.positions * self.width))
        for lo in range(0, n, size):
            yield slice(lo, min(lo + size, n))

    def _by_patch(self, u: Float) -> Float:
        return u.reshape(len(u) * self.positions, -1)

    def _repeat(self, sample_weight: Float64 | None, part: slice) -> Float64 | None:
        return None if sample_weight is None else np.repeat(sample_weight[part], self.positions)

    def _pooled(self, v: Float) -> Float:
        v = np.ascontiguousarray(v)
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
