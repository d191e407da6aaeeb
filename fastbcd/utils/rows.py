"""Rows as the estimators take them: new inputs, sample weights, rows held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastbcd.utils.types import Float, Float64


def check_inputs(estimator: Any, X: ArrayLike) -> Any:
    """Return new inputs of a fitted ``estimator``, checked: an array or a CSR matrix.

    Plain finite arrays of the right width pass at once. Everything else, what deserves an
    error or a warning included, is left to scikit-learn, whose checks take 0.1 ms and more.
    """
    if plainly_right(estimator, X):
        return X
    check_is_fitted(estimator)
    return validate_data(
        estimator, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False
    )


def plainly_right(estimator: Any, X: Any) -> bool:
    """Whether ``X`` needs no conversion and can be seen to be finite by one product."""
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
    """Return checked sample weights (n,): finite, non-negative, not all zero."""
    weight: Float64 = _check_sample_weight(
        sample_weight, x, dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():
        raise ValueError("sample_weight is zero for all rows; at least one must be positive.")
    return weight


def hold_out(
    x: Float, targets: Float, weight: Float64, share: float, random_state: np.random.RandomState
) -> tuple[Float, Float, Float64, tuple[Float, Float, Float64]]:
    """Set aside ``share`` of the rows: return the others, and those in a tuple.

    Raises
    ------
    ValueError
        If that leaves either side without a row.
    """
    n = x.shape[0]
    if n < 2 or round(share * n) < 1:
        raise ValueError(
            f"early_stopping cannot set aside validation_fraction={share} of {n} rows. "
            "Give X_val and y_val, raise validation_fraction, or set early_stopping=False."
        )
    train_rows, val_rows = train_test_split(
        np.arange(n), test_size=share, random_state=random_state, stratify=None
    )
    held_out = (x[val_rows], targets[val_rows], weight[val_rows])
    return x[train_rows], targets[train_rows], weight[train_rows], held_out
