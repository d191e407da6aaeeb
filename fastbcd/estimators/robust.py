"""How far rows are from another class, for certain: :func:`robust_radius`, :func:`is_robust`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbcd.estimators.certify import NORMS, check_seconds, stages_in
from fastbcd.inspection.certificates.robust import is_robust_at, robust_radius_of
from fastbcd.inspection.certificates.stages import Stages
from fastbcd.parallel.blas_threads import one_blas_thread
from fastbcd.utils import validation as check
from fastbcd.utils.types import Float64


def robust_radius(
    model: Any,
    X: ArrayLike,
    *,
    norm: str = "2",
    max_radius: float = 1.0,
    max_seconds: float = 1.0,
) -> NDArray[np.float64]:
    """Return, for each row, how far it can move with the largest class score certified to stay.

    Within the radius the score of the predicted class exceeds all others, by linear relaxation or
    because the margin exceeds a certified local Lipschitz constant times the radius. The radius is
    found by bisection, to one percent from below. It takes seconds per row.

    Parameters
    ----------
    model : fitted classifier or torch.nn.Sequential
        With one output per class.
    X : (n, d) array
        Rows.
    norm : {"2", "inf"}, default="2"
        Norm of the change, in the units of X.
    max_radius : float, default=1.0
        No larger radius is tried.
    max_seconds : float, default=1.0
        Bound of the search for multipliers at each radius tried.

    Returns
    -------
    (n,) array
        The share of rows certified at eps is ``(robust_radius(model, X) >= eps).mean()``.
    """
    stages, rows = _rows_to_certify(model, X, norm, "max_radius", max_radius, max_seconds)
    with one_blas_thread():
        return np.array(
            [robust_radius_of(stages, x, norm, max_radius, seconds=max_seconds) for x in rows]
        )


def is_robust(
    model: Any,
    X: ArrayLike,
    radius: float,
    *,
    norm: str = "2",
    max_seconds: float = 1.0,
) -> NDArray[np.bool_]:
    """Return, for each row, whether its class is certified to stay within a radius.

    The same as ``robust_radius(model, X) >= radius``, but for one radius instead of about fifteen.

    Parameters
    ----------
    model, X, norm, max_seconds
        As in :func:`robust_radius`.
    radius : float
        Positive radius, in the units of X.

    Returns
    -------
    (n,) bool array
        Its mean is the share of rows certified. Another class may win for a row that is False, or
        the bound is not close enough.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbcd import BCDClassifier, is_robust
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BCDClassifier((8,), random_state=0).fit(X, y)
    >>> is_robust(model, X[:3], 0.01).shape
    (3,)
    """
    stages, rows = _rows_to_certify(model, X, norm, "radius", radius, max_seconds)
    with one_blas_thread():
        return np.array([is_robust_at(stages, x, radius, norm, max_seconds) for x in rows])


def _rows_to_certify(
    model: Any, X: ArrayLike, norm: str, name: str, radius: float, max_seconds: float
) -> tuple[Stages, Float64]:
    """Return the stages of a classifier and checked rows."""
    check.check_choice("norm", norm, NORMS)
    check_seconds(max_seconds)
    if not radius > 0:
        raise ValueError(f"{name} must be positive, got {radius}.")
    stages = stages_in(model)
    rows = np.asarray(X, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != stages[0].matrix.shape[1]:
        raise ValueError(
            f"X has shape {rows.shape}, the network takes {stages[0].matrix.shape[1]} inputs."
        )
    if len(stages[-1].bias) < 2:
        raise ValueError(
            "Robust rows need a network with one output per class; the output layer of this "
            f"model has {len(stages[-1].bias)}."
        )
    return stages, rows
