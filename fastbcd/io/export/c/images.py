"""C text for layers that see images.

A convolution runs along one row of pixels at a time: every weight is decoded once for all pixels
of that row, straight from the images, so that patches are never formed. Before a maximum over
windows only that row is kept, not all that the convolution gives.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastbcd.io.export.c.weights import Affine
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.layers.patches import Pair, Patches

MEANS = """\
/* Means over windows of p by q pixels of c channels, h rows of w each, with zeros around. */
static inline void @means(const float *x, float *y, uint32_t width, uint32_t c, uint32_t p,
    uint32_t q, uint32_t h, uint32_t w, uint32_t top, uint32_t left)
{
    const uint32_t row = (w + 2 * left) * c;
    const float share = 1.0f / (float)(p * q);
    @clear(y, (h + 2 * top) * row);
    for (uint32_t i = 0; i < h; i++) {
        for (uint32_t j = 0; j < w; j++) {
            float *mean = y + (i + top) * row + (j + left) * c;
            for (uint32_t k = 0; k < p * q; k++) {
                const float *pixel = x + ((i * p + k / q) * width + j * q + k % q) * c;
                for (uint32_t l = 0; l < c; l++) {
                    mean[l] += share * pixel[l];
                }
            }
        }
    }
}
"""

MAXIMA = """\
/* Raise n maxima over windows q pixels wide to those of one more row; begin with the first. */
static inline void @maxima(const float *x, float *y, uint32_t n, uint32_t c, uint32_t q, int first)
{
    for (; n; n--, y += c) {
        for (uint32_t k = 0; k < q; k++, x += c) {
            for (uint32_t j = 0; j < c; j++) {
                if ((first && !k) || x[j] > y[j]) {
                    y[j] = x[j];
                }
            }
        }
    }
}
"""


@dataclass(frozen=True)
class Along:
    """How a product runs along a row of pixels.

    Parameters
    ----------
    pixels : int
        How many vectors there are.
    right : int
        From the numbers of one vector to those of the next.
    together, skip : int
        Numbers of a vector that lie together, and those between them and the next ones of it.
    """

    pixels: int
    right: int
    together: int
    skip: int

    @classmethod
    def pixelwise(cls, pixels: int, channels: int) -> Along:
        """Return the way along vectors that lie side by side."""
        return cls(pixels, channels, channels, 0)


@dataclass(frozen=True)
class Rows:
    """A convolution row by row, with the window of the maximum that follows.

    Parameters
    ----------
    n : int
        Rows of pixels to compute; those that fill no window are left out.
    down : int
        Inputs from one row to the next.
    along : Along
        How the weights run along one.
    window : (q_h, q_w)
        Of the maximum.
    """

    n: int
    down: int
    along: Along
    window: Pair

    @classmethod
    def of(cls, layer: Affine, view: Patches) -> Rows:
        """Return the rows of a layer, of images that are averaged and padded already."""
        window = (1, 1) if layer.pool is None else layer.pool.window
        n, pixels = (count - count % q for count, q in zip(view.grid, window, strict=True))
        _, w, c = view.pooled_shape
        width = w + 2 * view.padding[1]
        together = view.kernel[1] * c
        along = Along(pixels, view.stride[1] * c, together, width * c - together)
        return cls(n, view.stride[0] * width * c, along, window)

    @property
    def n_out(self) -> int:
        """Pixels that are left."""
        return (self.n // self.window[0]) * (self.along.pixels // self.window[1])


def describe(layer: Affine) -> str:
    """Return what a layer does, for a comment."""
    n_in, n_out = layer.shape
    text = f"{n_in} -> {n_out}, {layer.activation}"
    if isinstance(layer.view, PiecewiseLinearEncoding):
        text = f"{layer.view.n_columns} columns as {text}"
    if isinstance(layer.view, Patches):
        view = layer.view
        images = "x".join(map(str, view.shape))
        if view.is_whole:
            return f"images of {images}, {text}"
        text = f"{view.kernel[0]}x{view.kernel[1]} patches of {images}, {text}"
    if layer.pool is not None and layer.pool.window != (1, 1):
        text += f", maxima over {layer.pool.window[0]}x{layer.pool.window[1]}"
    return text
