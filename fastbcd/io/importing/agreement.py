"""The imported network against the model that it was read from, on rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax, softmax

from fastbcd.formats import DenseMatrix
from fastbcd.io.importing.layout import image_rows
from fastbcd.io.importing.source import Origin, Source
from fastbcd.network.network import Network
from fastbcd.utils.types import Float64

ROWS = 100
"""Rows that are compared. A module that is read wrongly shows on almost every one of them."""

ROUNDING = 1000
"""Rounding errors of the outputs that are allowed for; wrong readings differ far more."""

MEASURED = 100
"""How many times the rounding errors that the network itself shows are allowed for."""


def _two_classes(z: Float64) -> Float64:
    positive = expit(z)
    return np.hstack([1 - positive, positive])


LINKS: dict[str, Callable[[Float64], Float64]] = {
    "identity": lambda z: z,
    "softmax": lambda z: softmax(z, axis=1),
    "log_softmax": lambda z: log_softmax(z, axis=1),
    "sigmoid": expit,
    "two_classes": _two_classes,
}


def some_rows(X: Any) -> Any:
    """Return at most :data:`ROWS` rows of ``X``, spread over all of it, as a dense array."""
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    chosen = np.unique(np.linspace(0, n_rows - 1, min(n_rows, ROWS)).round().astype(int))
    if hasattr(X, "toarray"):
        return X.tocsr()[chosen].toarray()
    return X.iloc[chosen] if hasattr(X, "iloc") else np.asarray(X)[chosen]


def check_agreement(source: Source, model: Any, X: Any) -> None:
    """Compare the imported network with ``model`` itself on rows of ``X``.

    Parameters
    ----------
    source : Source
        What was read.
    model : object
        What it was read from.
    X : array
        Inputs as ``model`` takes them, finite.

    Raises
    ------
    ValueError
        If their outputs differ by more than rounding explains.
    """
    if source.origin is None:
        return
    inputs = np.asarray(some_rows(X))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # arrays instead of columns with names
        theirs = np.asarray(source.origin.run(inputs), np.float64)
        x, _ = image_rows(model, inputs)
        ours, allowed = _outputs(source.origin, np.asarray(x, np.float64))
    theirs = theirs.reshape(len(theirs), -1)
    if theirs.shape != ours.shape:
        raise ValueError(
            f"{source.origin.name} returns {theirs.shape[1:]} numbers for a row, the network that "
            f"was read from it {ours.shape[1:]}. {_ADVICE}"
        )
    with np.errstate(invalid="ignore"):
        difference = np.abs(theirs - ours)
        difference[(theirs == ours) | (np.isnan(theirs) & np.isnan(ours))] = 0
    difference[np.isnan(difference)] = np.inf
    eps = np.finfo(source.network.layers[0].weight.dtype).eps
    sizes = np.abs(np.where(np.isfinite(theirs), theirs, 0)).max(axis=0, initial=0)
    allowed = allowed + ROUNDING * eps * sizes
    if (difference > allowed).any():
        worst = np.unravel_index(np.argmax(difference - allowed), difference.shape)
        raise ValueError(
            f"The network that was read differs from {source.origin.name} by up to "
            f"{difference[worst]:.3g} on {len(inputs)} rows of X; rounding explains at most "
            f"{allowed[worst[1]]:.1g}. {_ADVICE}"
        )


_ADVICE = (
    "A part of the model computes something else than its class says: look for overridden "
    "methods. Nothing was compressed."
)


def _outputs(origin: Origin, x: Float64) -> tuple[Float64, Float64]:
    """Return what the network computes, and how much of it in each output may be rounding.

    Rounding is measured: the same weights in single and in double precision.
    """
    single, double = (
        LINKS[origin.link](_as(origin.network, dtype).forward(x.astype(dtype)).astype(np.float64))
        for dtype in (np.float32, np.float64)
    )
    own = np.finfo(origin.network.layers[0].weight.dtype).eps / np.finfo(np.float32).eps
    errors = np.nan_to_num(np.abs(single - double), nan=0, posinf=0, neginf=0)
    return double, MEASURED * own * errors.max(axis=0, initial=0)


def _as(network: Network, dtype: type[np.floating]) -> Network:
    layers = [
        replace(
            layer,
            weight=DenseMatrix(np.ascontiguousarray(layer.weight.to_dense(), dtype)),
            intercept=layer.intercept.astype(dtype),
        )
        for layer in network.layers
    ]
    return Network(layers)
