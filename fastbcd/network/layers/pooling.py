"""Max pooling over non-overlapping windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastbcd.utils.types import Float
from fastbcd_kernels import pooling as kernel


@dataclass(frozen=True)
class MaxPool:
    """Max pooling over non-overlapping windows.

    Parameters
    ----------
    shape : (h, w, c)
        Shape of the input images.
    window : (q_h, q_w)
        Size of a window in pixels.
    """

    shape: tuple[int, int, int]
    window: tuple[int, int]

    @property
    def shape_out(self) -> tuple[int, int, int]:
        """Shape of the output images."""
        h, w, c = self.shape
        return h // self.window[0], w // self.window[1], c

    @property
    def n_out(self) -> int:
        """Number of entries in an output image."""
        return math.prod(self.shape_out)

    @property
    def n_in(self) -> int:
        """Number of entries in an input image."""
        return math.prod(self.shape)

    def forward(self, v: Float, out: Float | None = None) -> Float:
        """Return the maxima (n, n_out) of images (n, n_in), written into ``out`` if given."""
        if out is None:
            out = np.empty((len(v), self.n_out), v.dtype)
        kernel.max_pool(v, self.shape, self.window, out)
        return out

    def back(self, d: Float, v: Float, out: Float | None = None) -> Float:
        """Assign each entry of ``d`` (n, n_out) to the first maximum of its window in ``v``."""
        if out is None:
            out = np.empty((len(d), self.n_in), d.dtype)
        kernel.max_pool_back(d, v, self.shape, self.window, out)
        return out
