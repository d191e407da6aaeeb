"""Targets in the shapes and types in which people hold them, as the estimators take them."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import column_or_1d

from fastbcd.io.importing.source import Source


def as_array(y: Any, name: str = "y") -> NDArray[Any]:
    """Return targets as an array of one or two axes without missing values.

    Lists, tensors, Series and DataFrames are taken, and sparse indicators. Objects that are all
    numbers become numbers.

    Raises
    ------
    ValueError
        For values that are missing, of several types or not finite, or more than two axes.
    """
    if hasattr(y, "toarray"):
        y = y.toarray()
    elif hasattr(y, "detach"):
        y = y.detach().cpu()
    array = np.asarray(y)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"{name} must have one or two axes; got an array of shape {array.shape}. Pass one "
            "target for each row."
        )
    if array.dtype == object:
        array = _narrowed(array, name)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = np.sum(~np.isfinite(array))
        raise ValueError(f"{name} must be finite; {count} of its values are NaN or infinite.")
    return array


def _narrowed(array: NDArray[Any], name: str) -> NDArray[Any]:
    kinds = {type(value) for value in array.ravel()}
    if all(issubclass(kind, bool | np.bool_) for kind in kinds):
        return array.astype(bool)
    if all(issubclass(kind, numbers.Integral) for kind in kinds):
        return array.astype(np.int64)
    if all(issubclass(kind, numbers.Real) for kind in kinds):
        return array.astype(np.float64)
    if not all(issubclass(kind, str) for kind in kinds):
        types = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            f"{name} must hold labels of one type without missing values; got {types}. Drop the "
            "rows without a label, or convert the others."
        )
    return array


def is_whole(values: NDArray[Any]) -> bool:
    """Whether all numbers are whole; True for integers and truth values."""
    return values.dtype.kind in "biu" or bool((values == np.round(values)).all())


def is_indicators(values: NDArray[Any]) -> bool:
    """Whether all values are 0 or 1."""
    return values.dtype.kind in "biuf" and bool(((values == 0) | (values == 1)).all())


def is_one_hot(values: NDArray[Any]) -> bool:
    """Whether each row (k,) is zero but for a one."""
    return is_indicators(values) and bool((values.sum(axis=1) == 1).all())


def check_targets(source: Source, y: ArrayLike, name: str = "y") -> NDArray[Any]:
    """Return targets as the estimator of ``source`` takes them.

    Parameters
    ----------
    source : Source
        The network, whose task is known.
    y : array
        Labels (n,) or (n, 1), or one-hot rows (n, k); indicators (n, k) for several labels per
        row; numbers (n,) or (n, k) for a regression.
    name : str
        What messages call them.

    Warns
    -----
    DataConversionWarning
        For a column (n, 1), unless the network was trained on such.

    Raises
    ------
    ValueError
        If they do not fit the task.
    """
    targets = as_array(y, name)
    n_outputs = source.network.layers[-1].weight.shape[1]
    task = source.task
    if task.kind == "numbers":
        return _numbers(targets, n_outputs, name)
    if task.kind == "labels":
        if targets.shape[1:] != (n_outputs,) or not is_indicators(targets):
            raise ValueError(
                f"{name} must be zeros and ones of shape (n_samples, {n_outputs}), as a row may "
                f"have several labels; got an array of shape {targets.shape}."
            )
        return targets.astype(np.int8)
    if targets.ndim == 1:
        return targets
    if targets.shape[1] == 1:
        column: NDArray[Any] = column_or_1d(targets, warn=not source.column_is_usual)
        return column
    if targets.shape[1] != n_outputs or not is_one_hot(targets):
        raise ValueError(
            f"{name} must be labels (n_samples,), or rows of {n_outputs} numbers that are zero but "
            f"for a one; got an array of shape {targets.shape}."
        )
    if source.columns is None:
        return task.decode(targets)
    labels: NDArray[Any] = source.columns[targets.argmax(axis=1)]
    return labels


def _numbers(targets: NDArray[Any], n_outputs: int, name: str) -> NDArray[Any]:
    found = 1 if targets.ndim == 1 else targets.shape[1]
    if targets.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be numbers, as the network is taken for a regression; got "
            f"{targets.ravel().tolist()[0]!r}. Set task='classification' for labels."
        )
    if found != n_outputs:
        raise ValueError(
            f"{name} has {found} columns, the network {n_outputs} outputs. A regression needs one "
            "column for each output."
        )
    return targets
