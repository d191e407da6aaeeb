"""Checks of input rows and sample weights, and the choice of held-out rows."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    check_is_fitted,
    validate_data,
)

from fastbcd.utils.types import Float, Float64


def check_inputs(estimator: Any, X: ArrayLike) -> Any:
    """Return checked inputs for a fitted ``estimator``: an array or a CSR matrix.

    Finite C-contiguous arrays of the right width pass a fast check. For everything else, including
    invalid input, scikit-learn's checks run, which need at least 0.1 ms.
    """
    if plainly_right(estimator, X):
        return X
    check_is_fitted(estimator)
    check_axes(X)
    return validate_data(
        estimator, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False
    )


def check_axes(X: ArrayLike, more: str = "") -> None:
    """Raise ValueError if ``X`` has more than two axes; ``more`` ends the advice on images."""
    if getattr(X, "ndim", 2) > 2:
        shape = tuple(X.shape)  # type: ignore[union-attr]  # it has axes
        raise ValueError(
            f"Found array with dim {len(shape)}: X has the shape {shape}, but rows of features are "
            f"expected. For images pass X.reshape(len(X), -1){more}."
        )


def _length(rows: Any) -> int:
    """Return the number of rows; -1 for an object without rows, which later checks refuse."""
    try:
        return int(_num_samples(rows))
    except TypeError:
        return -1


def unnamed(estimator: Any) -> Any:
    """Return a shallow copy of a fitted ``estimator`` without feature names.

    It is used for arrays of rows that are already checked. scikit-learn would otherwise warn about
    missing feature names although the user passed them.
    """
    bare = copy(estimator)
    vars(bare).pop("feature_names_in_", None)
    return bare


def check_training_rows(
    estimator: Any, X: ArrayLike, y: ArrayLike, *, numeric: bool, reset: bool
) -> tuple[Any, Any]:
    """Return inputs and targets of a fit, checked: an array or a CSR matrix, and an array.

    Parameters
    ----------
    estimator : BCDEstimator
        Takes over the number and the names of the features, or is compared with them.
    X, y : arrays
        As given.
    numeric : bool
        Whether the targets are numbers.
    reset : bool
        Whether this is a first fit.
    """
    check_axes(X, ", and their height, width and channels as input_shape")
    if _length(y) == 0 and _length(X):
        raise ValueError(
            f"y is empty, but X has {_length(X)} rows. Pass one target for each row of X."
        )
    checked: tuple[Any, Any] = validate_data(
        estimator,
        X,
        y,
        accept_sparse="csr",
        dtype=(np.float64, np.float32),
        multi_output=True,
        y_numeric=numeric,
        reset=reset,
    )
    return checked


def plainly_right(estimator: Any, X: Any) -> bool:
    """Whether ``X`` needs no conversion and has a finite sum of squares."""
    if (
        type(X) is not np.ndarray
        or X.dtype not in (np.float32, np.float64)
        or X.shape[1:] != (getattr(estimator, "n_features_in_", None),)
        or not X.size
        or not X.flags.c_contiguous
        or hasattr(estimator, "feature_names_in_")
        or not hasattr(estimator, "network_")
    ):
        return False
    flat = X.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.dot(flat, flat)))


def check_weights(sample_weight: ArrayLike | None, x: Float) -> Float64:
    """Return checked sample weights (n,): finite, non-negative and not all zero."""
    weight: Float64 = _check_sample_weight(
        sample_weight, x, dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():
        raise ValueError("sample_weight is zero for all rows; at least one must be positive.")
    return weight


def check_enough(n: int, least: int, whose: str) -> None:
    """Raise ValueError if ``n`` is below ``least``, the minimum number of rows to score."""
    if n < least:
        raise ValueError(
            f"early_stopping: {whose} {n} row(s), but a score needs at least {least}. Pass X_val "
            "and y_val with more rows, increase validation_fraction, or set early_stopping=False."
        )


def hold_out(
    n: int,
    share: float,
    random_state: np.random.RandomState,
    labels: NDArray[np.integer] | None = None,
    least: int = 1,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose rows to hold out; return the indices of the remaining and of the held-out rows.

    Parameters
    ----------
    n : int
        Number of rows.
    share : float
        Share of the rows to hold out.
    random_state : RandomState
        Random number generator for the choice.
    labels : (n,) integer array, optional
        Class of each row. If given, the choice is stratified. Each class with at least two rows has
        at least one row on either side, so more rows than ``share`` may be held out.
    least : int, default=1
        Minimum number of held-out rows.

    Raises
    ------
    ValueError
        If too few rows would be held out.
    """
    if n < 2 or round(share * n) < 1:
        raise ValueError(
            f"early_stopping cannot hold out validation_fraction={share} of {n} rows. "
            "Pass X_val and y_val, increase validation_fraction, or set early_stopping=False."
        )
    whose = f"validation_fraction={share} of {n} rows is"
    if labels is None:
        parts = train_test_split(np.arange(n), test_size=share, random_state=random_state)
        check_enough(parts[1].size, least, whose)
        return parts[0], parts[1]
    order = random_state.permutation(n)
    classes, counts = np.unique(labels, return_counts=True)
    wanted = min(int(np.ceil(share * n)), n - 1)
    # Largest-remainder (Hamilton) apportionment, bounded by the number of rows of each class.
    quota, most = counts * (wanted / n), np.maximum(counts - 1, 0)
    given = np.clip(np.floor(quota).astype(int), np.minimum(1, most), most)
    for index in np.argsort(given - quota, kind="stable"):
        if given.sum() < wanted and given[index] < most[index]:
            given[index] += 1
    chosen = [
        order[labels[order] == label][:number] for label, number in zip(classes, given, strict=True)
    ]
    held = np.isin(order, np.concatenate(chosen))
    check_enough(int(held.sum()), least, whose)
    return order[~held], order[held]
