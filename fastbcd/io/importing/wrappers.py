"""Pipelines, searches and other estimators of scikit-learn around a network."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from fastbcd.io.importing.agreement import ROUNDING, some_rows
from fastbcd.io.importing.modules import is_sequential

READABLE: tuple[type, ...] = (MLPClassifier, MLPRegressor, Pipeline)


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Wrapper:
    """An estimator around another one, with which it predicts.

    Parameters
    ----------
    inner : estimator
        The one inside.
    rows : callable
        Turns the inputs of the outer one into those of ``inner``.
    targets : callable
        Turns the targets likewise.
    wrap : callable
        Returns the outer one around another inner one.
    """

    inner: Any
    rows: Callable[[Any], Any] = _same
    targets: Callable[[Any], Any] = _same
    wrap: Callable[[Any], Any] = _same


def unwrap(model: Any) -> Wrapper | None:
    """Return what is around the network of ``model``; None if that is no known wrapper.

    Raises
    ------
    TypeError
        If there is nothing inside.
    NotFittedError
        If ``model`` is not fitted.
    """
    if isinstance(model, Pipeline):
        return _pipeline(model)
    if isinstance(model, GridSearchCV | RandomizedSearchCV) or hasattr(model, "best_estimator_"):
        check_is_fitted(model)
        if not hasattr(model, "best_estimator_"):
            raise TypeError(
                f"The {type(model).__name__} was fitted with refit=False and holds no network. "
                "Fit it with refit=True, or fit an estimator with model.best_params_."
            )
        return Wrapper(model.best_estimator_)
    if isinstance(model, FrozenEstimator):
        return Wrapper(model.estimator)
    if isinstance(model, TransformedTargetRegressor):
        check_is_fitted(model)

        def transformed(y: Any) -> Any:
            column = np.asarray(y)
            column = column.reshape(len(column), -1)
            found = model.transformer_.transform(column)
            return found[:, 0] if found.shape[1:] == (1,) else found

        def around(inner: Any) -> Any:
            new = copy(model)
            new.regressor = new.regressor_ = inner
            return new

        return Wrapper(model.regressor_, targets=transformed, wrap=around)
    return None


def _pipeline(model: Pipeline) -> Wrapper:
    if not len(model.steps):
        raise TypeError("The Pipeline is empty; it must end in a network.")
    name, last = model.steps[-1]
    if last is None or isinstance(last, str):
        raise TypeError(f"The Pipeline ends in {last!r}; it must end in a network.")
    alone = len(model.steps) == 1

    def rows(X: Any) -> Any:
        return X if alone else model[:-1].transform(X)

    def around(inner: Any) -> Any:
        new = copy(model)  # memory= and verbose= stay
        new.steps = [*((key, deepcopy(step)) for key, step in model.steps[:-1]), (name, inner)]
        return new

    return Wrapper(last, rows, wrap=around)


def check_rows(model: Any, wrapper: Wrapper, X: Any, rows: Any) -> None:
    """Compare what a Pipeline predicts for some rows with its last step on its ``rows``.

    Raises
    ------
    ValueError
        If they differ: a subclass does more than its steps, or a step looks at all rows together.
    """
    method = "predict_proba" if hasattr(wrapper.inner, "predict_proba") else "predict"
    if not isinstance(model, Pipeline) or not hasattr(wrapper.inner, method):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as names of features
        whole = np.asarray(getattr(model, method)(some_rows(X)), np.float64)
        last = np.asarray(getattr(wrapper.inner, method)(some_rows(rows)), np.float64)
    sizes = np.abs(last).max(axis=0, initial=0)
    difference = np.abs(whole - last)
    # Blocks of rows of another size are multiplied in another order.
    if not (difference <= ROUNDING * np.finfo(np.float32).eps * sizes).all():
        raise ValueError(
            f"The {type(model).__name__} differs from its last step on the transformed rows by up "
            f"to {np.max(difference):.3g}. It does more than its steps, or one of them looks at "
            "all rows together. Transform X yourself, and compress the last step."
        )


def networks_inside(model: Any) -> str:
    """Return where ``model`` holds networks that can be read, for a message; "" if nowhere."""
    found = []
    # A PyTorch module keeps its parts apart, but has them as attributes as well.
    members = {**getattr(model, "__dict__", {}), **getattr(model, "_modules", {})}
    for name, value in sorted(members.items()):
        if _is_readable(value):
            found.append(f"model.{name}")
        elif isinstance(value, list | tuple | np.ndarray) and len(value):
            more = f" and {len(value) - 1} more" if len(value) > 1 else ""
            if _is_readable(value[0]):
                found.append(f"model.{name}[0]{more}")
            elif _is_readable(getattr(value[0], "estimator", None)):
                found.append(f"model.{name}[0].estimator{more}")
    return ", ".join(found)


def _is_readable(value: Any) -> bool:
    if is_sequential(value):
        return True
    if not isinstance(value, READABLE) and not hasattr(type(value), "task_"):
        return False
    try:
        check_is_fitted(value)
    except NotFittedError:
        return False
    return True
