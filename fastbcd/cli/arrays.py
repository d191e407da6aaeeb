"""Tables in NumPy's files: .npz with X and y, .npy with the features alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.utils.types import Float


def read_arrays(path: str, target: str | None, dtype: Any) -> tuple[Float, NDArray[Any] | None]:
    """Return the features, in two dimensions, and the targets if there are any.

    Parameters
    ----------
    path : str
        ``.npz`` with the array ``X``, or ``.npy``.
    target : str or None
        Name of the array of the targets, of a ``.npz``.
    dtype : dtype
        Type of the features.

    Raises
    ------
    ValueError
        If there are no such arrays in it.
    OSError
        If it cannot be read.
    """
    try:
        # Objects would be unpickled, which can run any code.
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if isinstance(loaded, np.ndarray):
        if target is not None:
            raise ValueError(
                f"{path} holds features alone, so there is no --target {target}. Store X and y in "
                "a .npz."
            )
        return _features(path, loaded, dtype), None
    with loaded:
        for name in ("X", *([target] if target else [])):
            if name not in loaded:
                raise ValueError(f"{path} has no array {name!r}; it has {', '.join(loaded)}.")
        try:
            raw = loaded["X"]
            y = loaded[target] if target else None
        except ValueError as error:
            raise ValueError(f"{path} cannot be read: {error}") from None
    x = _features(path, raw, dtype)
    if y is None:
        return x, None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 0 or len(y) != len(x):
        n_targets = 0 if y.ndim == 0 else len(y)
        raise ValueError(f"{path}: X has {len(x)} rows, {target} has {n_targets}.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.argmin(np.isfinite(y).reshape(len(y), -1).all(axis=1)))
        raise ValueError(f"{path}: {target} is {y[row]} in row {row}. Remove such rows.")
    return x, y


def _features(path: str, x: NDArray[Any], dtype: Any) -> Float:
    if x.ndim < 2 or x.dtype.kind not in "biuf":
        raise ValueError(f"{path}: X must be rows of numbers, not {x.dtype} of shape {x.shape}.")
    if not len(x):
        raise ValueError(f"{path}: X has no rows.")
    x = x.reshape(len(x), -1)
    with np.errstate(over="ignore"):
        narrow = x.astype(dtype)
    if not np.isfinite(narrow).all():
        row, column = np.argwhere(~np.isfinite(narrow))[0]
        wide = " in float32; add --double" if np.isfinite(x[row, column]) else ""
        raise ValueError(
            f"{path}: X[{row}, {column}] is {x[row, column]}, which is not finite{wide}."
        )
    return narrow
