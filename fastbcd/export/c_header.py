"""The former place of the layers that C computes; see :mod:`fastbcd.io.export.c.weights`."""

from fastbcd.io.export.c.weights import affine_layers as affine_layers

__all__ = ["affine_layers"]
