"""Where PyTorch keeps each number of a row: images, and modules that only rearrange them."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastbcd.io.importing.modules import is_torch

Positions: TypeAlias = NDArray[np.intp]
"""For each number of an activation as PyTorch holds it, its place in our row."""


def image_rows(model: Any, X: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Return what a PyTorch network takes as rows, and the shape of one input; else ``X``.

    Images (n, c, h, w) become rows pixel by pixel with the channels of a pixel together, which is
    what :mod:`fastbcd.layers` takes, and the shape is (h, w, c). Inputs of any other number of
    axes become the rows that ``Flatten`` makes of them.
    """
    if not is_torch(model) or getattr(X, "ndim", 2) < 3:
        return X, None
    inputs = np.asarray(X)
    if inputs.ndim == 4:
        inputs = inputs.transpose(0, 2, 3, 1)
    return inputs.reshape(len(inputs), -1), inputs.shape[1:]


def of_images(h: int, w: int, c: int) -> Positions:
    """Return the positions (c, h, w) in rows with the channels of a pixel together."""
    return np.arange(h * w * c).reshape(h, w, c).transpose(2, 0, 1)


def check_width(where: str, wanted: int, found: int) -> None:
    """Raise a ValueError unless as many numbers reach a module as it takes."""
    if wanted != found:
        raise ValueError(
            f"{where} takes {wanted} inputs, but {found} reach it. Pass inputs of the shape "
            "that the network was built for."
        )


def rearranged(where: str, kind: str, module: Any, before: Positions | None) -> Positions | None:
    """Return the positions after a Flatten, Unflatten or ChannelShuffle.

    Parameters
    ----------
    where : str
        The module's name, for messages.
    kind : {"Flatten", "Unflatten", "ChannelShuffle"}
        Its class.
    module : torch.nn.Module
        The module.
    before : array or None
        Positions before it; None for rows of unknown width.

    Raises
    ------
    ValueError
        If the module does not fit, or moves numbers from one row to another.
    """
    if kind == "Flatten":
        rank = 2 if before is None else before.ndim + 1  # the axis of the rows included
        first, last = module.start_dim % rank, module.end_dim % rank
        if first == 0 < last:
            raise ValueError(f"{where} flattens the rows themselves. Set start_dim=1.")
        if before is None or last <= first:
            return before
        shape = before.shape
        return before.reshape(*shape[: first - 1], -1, *shape[last:])
    if kind == "ChannelShuffle":
        if before is None or before.ndim < 2 or before.shape[0] % module.groups:
            raise ValueError(f"{where} takes images whose channels are a multiple of groups.")
        grouped = before.reshape(module.groups, -1, *before.shape[1:])
        return grouped.swapaxes(0, 1).reshape(before.shape)
    sizes = module.unflattened_size
    if not isinstance(module.dim, int) or not all(isinstance(size, int) for size in sizes):
        raise ValueError(f"{where}: named dimensions are not supported. Pass numbers.")
    if before is None:
        if module.dim not in (1, -1) or min(sizes) < 1:
            raise ValueError(f"{where}: pass dim=1, and every size as a positive number.")
        before = np.arange(math.prod(sizes))
    axis = module.dim % (before.ndim + 1) - 1
    if axis < 0:
        raise ValueError(f"{where} splits the rows themselves. Set dim=1.")
    shape = before.shape
    wanted, known = shape[axis], math.prod(size for size in sizes if size > 0)
    if wanted % known or (min(sizes) > 0 and known != wanted):
        raise ValueError(f"{where} does not fit the {wanted} numbers that reach it.")
    return before.reshape(*shape[:axis], *sizes, *shape[axis + 1 :])
