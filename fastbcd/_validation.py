"""Checks of the estimators' parameters, with messages that name the mend."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Return ``value`` if it is one of ``choices``; raise ValueError otherwise."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")
    return value


def check_number(name: str, value: Any, low: float, *, strict: bool = True) -> float:
    """Return ``value`` as a float if it is finite and above ``low`` (at least, if not strict).

    Raises
    ------
    ValueError
        Otherwise.
    """
    fits = isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value))
    if not fits or float(value) < low or (strict and float(value) == low):
        raise ValueError(
            f"{name} must be a number {'above' if strict else 'of at least'} {low:g}; got {value!r}."
        )
    return float(value)


def check_integer(name: str, value: Any, low: int) -> int:
    """Return ``value`` as an int if it is an integer of at least ``low``; else raise ValueError."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name} must be an integer of at least {low}; got {value!r}.")
    return int(value)


def check_sizes(value: Any) -> tuple[int, ...]:
    """Return hidden layer sizes as a tuple; a single integer means one hidden layer.

    Raises
    ------
    ValueError
        If a size is not a positive integer.
    """
    sizes = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(
                f"hidden_layer_sizes must be positive integers such as (300, 100); got {value!r}."
            )
    return tuple(int(size) for size in sizes)


def check_fraction(name: str, value: Any) -> float:
    """Return ``value`` if it lies strictly between 0 and 1; raise ValueError otherwise."""
    if not isinstance(value, Real) or not 0 < float(value) < 1:
        raise ValueError(f"{name} must be between 0 and 1, for example 0.1; got {value!r}.")
    return float(value)
