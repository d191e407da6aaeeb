r"""Patches of images: a convolution as a matrix product, and back.

An image of shape (h, w, c) is a row of h w c numbers, pixel by pixel, the channels of a pixel
together. With kernels of k_h x k_w pixels, strides and zero padding there are p positions; the
patch at each is a row of k_h k_w c numbers in the same order, and the convolution with filters W
of shape (k_h k_w c, m) is the product of the patches with W.

The map P from images to patches is linear; :func:`scatter_patches` is its adjoint P'.

Cost: memory traffic alone, n p k_h k_w c numbers.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def gather_patches(
    v: NDArray[np.floating],
    shape: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    out: NDArray[np.floating],
) -> None:
    """Write the patches of all images into ``out``.

    Parameters
    ----------
    v : (n, h * w * c) C-contiguous array
        Images.
    shape : (h, w, c)
        Shape of one image.
    kernel, stride, padding : pairs of int
        Size of a patch, distance of neighbouring patches, zeros on each side; by axis.
    out : (n * p, k_h * k_w * c) C-contiguous array of the same type
        Overwritten.
    """
    h, w, c = shape
    height = (h + 2 * padding[0] - kernel[0]) // stride[0] + 1
    width = (w + 2 * padding[1] - kernel[1]) // stride[1] + 1
    run = kernel[1] * c
    zero = v.dtype.type(0)
    for i in range(v.shape[0]):
        for y in range(height):
            top = y * stride[0] - padding[0]
            for x in range(width):
                left = x * stride[1] - padding[1]
                row = out[(i * height + y) * width + x]
                # The part of a line of the patch that lies inside the image.
                lo = max(0, -left) * c
                hi = max(lo, min(kernel[1], w - left) * c)
                for a in range(kernel[0]):
                    to = a * run
                    line = top + a
                    if line < 0 or line >= h:
                        for j in range(run):
                            row[to + j] = zero
                        continue
                    start = (line * w + left) * c
                    for j in range(lo):
                        row[to + j] = zero
                    for j in range(lo, hi):
                        row[to + j] = v[i, start + j]
                    for j in range(hi, run):
                        row[to + j] = zero


@njit(cache=True, nogil=True)
def scatter_patches(
    rows: NDArray[np.floating],
    shape: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    out: NDArray[np.floating],
) -> None:
    """Add up patches where they overlap: the adjoint of :func:`gather_patches`.

    Parameters
    ----------
    rows : (n * p, k_h * k_w * c) C-contiguous array
        Patches.
    shape, kernel, stride, padding
        As for :func:`gather_patches`.
    out : (n, h * w * c) C-contiguous array of the same type
        Overwritten.
    """
    h, w, c = shape
    height = (h + 2 * padding[0] - kernel[0]) // stride[0] + 1
    width = (w + 2 * padding[1] - kernel[1]) // stride[1] + 1
    run = kernel[1] * c
    zero = rows.dtype.type(0)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = zero
        for y in range(height):
            top = y * stride[0] - padding[0]
            for x in range(width):
                left = x * stride[1] - padding[1]
                row = rows[(i * height + y) * width + x]
                lo = max(0, -left) * c
                hi = min(kernel[1], w - left) * c
                for a in range(max(0, -top), min(kernel[0], h - top)):
                    start = ((top + a) * w + left) * c
                    for j in range(lo, hi):
                        out[i, start + j] += row[a * run + j]


@njit(cache=True, nogil=True)
def move_images(
    v: NDArray[np.floating],
    shape: tuple[int, int, int],
    moves: NDArray[np.integer],
    out: NDArray[np.floating],
) -> None:
    """Write the images, each moved by whole pixels, into ``out``; border pixels are repeated.

    Parameters
    ----------
    v : (n, h * w * c) C-contiguous array
        Images.
    shape : (h, w, c)
        Shape of one image.
    moves : (n, 2) integer array
        Pixels down and to the right; negative numbers move up and to the left.
    out : (n, h * w * c) C-contiguous array of the same type, other memory than ``v``
        Overwritten.
    """
    h, w, c = shape
    for i in range(v.shape[0]):
        for y in range(h):
            line = min(max(y - moves[i, 0], 0), h - 1) * w
            for x in range(w):
                start = (line + min(max(x - moves[i, 1], 0), w - 1)) * c
                to = (y * w + x) * c
                for j in range(c):
                    out[i, to + j] = v[i, start + j]
