"""Checks of estimator parameters; error messages name the parameter, its value and the fix."""

from __future__ import annotations

import numbers
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

import numpy as np

# Any keeps the type checker from believing that a float is not a Real.
REAL: Any = numbers.Real
INTEGRAL: Any = numbers.Integral


OTHER_NAMES = {
    "sigmoid": "logistic",
    "swish": "silu",
    "linear": "identity",
    "mse": "squared",
    "squared_error": "squared",
    "log_loss": "cross_entropy",
}
"""Names that other libraries use for choices of this package."""


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Return ``value`` if it is one of ``choices``; raise ValueError otherwise."""
    if isinstance(value, str) and value in choices:
        return value
    advice = ""
    if isinstance(value, str):
        word = value.lower().replace("-", "_").replace(" ", "_")
        close = get_close_matches(OTHER_NAMES.get(word, word), choices, 1, 0.8)
        advice = f" Did you mean {close[0]!r}?" if close else ""
    allowed = ", ".join(map(repr, choices))
    raise ValueError(f"{name} must be one of {allowed}; got {value!r}.{advice}")


def check_number(name: str, value: Any, low: float, *, strict: bool = True) -> float:
    """Return ``value`` as a float if it is finite and above ``low``, or equal if not ``strict``.

    Raises
    ------
    ValueError
        Otherwise.
    """
    fits = isinstance(value, REAL) and not isinstance(value, bool) and np.isfinite(float(value))
    if not fits or float(value) < low or (strict and float(value) == low):
        bound = f"{'above' if strict else 'of at least'} {low:g}"
        raise ValueError(f"{name} must be a number {bound}; got {value!r}.")
    return float(value)


def check_flag(name: str, value: Any) -> bool:
    """Return ``value`` as a bool if it is a Python or NumPy bool; raise ValueError otherwise."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False; got {value!r}.")
    return bool(value)


def is_integer(value: Any, low: int) -> bool:
    """Whether ``value`` is a Python or NumPy integer of at least ``low``, and not a bool."""
    return isinstance(value, INTEGRAL) and not isinstance(value, bool) and int(value) >= low


def check_integer(name: str, value: Any, low: int) -> int:
    """Return ``value`` as an int if it is an integer >= ``low``; raise ValueError otherwise."""
    if not is_integer(value, low):
        raise ValueError(f"{name} must be an integer of at least {low}; got {value!r}.")
    return int(value)


def check_verbose(value: Any) -> int:
    """Return ``verbose`` as an int, True as 1; raise ValueError if it is not a bool or int >= 0."""
    return int(value) if isinstance(value, bool | np.bool_) else check_integer("verbose", value, 0)


def is_fraction(value: Any, *, low_too: bool = False, high_too: bool = False) -> bool:
    """Whether 0 < ``value`` < 1; ``low_too`` also allows 0, ``high_too`` also allows 1."""
    if not isinstance(value, REAL) or isinstance(value, bool):
        return False
    number = float(value)
    return 0 < number < 1 or (low_too and number == 0) or (high_too and number == 1)


def check_fraction(name: str, value: Any) -> float:
    """Return ``value`` if it lies strictly between 0 and 1; raise ValueError otherwise."""
    if not is_fraction(value):
        raise ValueError(f"{name} must be between 0 and 1, for example 0.1; got {value!r}.")
    return float(value)
