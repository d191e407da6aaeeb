"""The part of the estimators' docstrings that they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fastbcd.estimators.parameters import described

ATTRIBUTES = """network_ : Network
        The fitted network. ``network_.forward(X)`` skips all checks.
    layers_ : list of Format
        Weights of each layer as they are stored.
    coefs_, intercepts_ : lists of arrays
        Dense weights (n_in, n_out), equal to what ``predict`` uses, and intercepts.
    compression_report_ : CompressionReport
        Weights left, bytes and errors of each layer.
    convergence_ : ConvergenceRecord
        Parts of the objective and steps of every sweep, in units of the scaled data.
    objective_curve_ : array
        Objective at the start and after each sweep; mean loss of each epoch or call with
        mini-batches.
    loss_curve_ : list of float
        Loss after each sweep, epoch or call, without penalties: its sum over the rows ("full"), its
        mean in the batches of the epoch or call ("minibatch"), or its least mean so far on rows
        held out ("batch").
    validation_scores_ : list of float
        Score after each sweep, with ``early_stopping``: accuracy, or R² (minus the mean squared
        error if the held-out targets do not vary).
    n_iter_, best_iter_ : int
        Sweeps taken, and the sweep whose network was kept.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : array of str
        Names of the features, if ``X`` had any."""

T = TypeVar("T", bound=type)


def shared(loss_choices: str, loss_help: str, tol: str) -> Callable[[T], T]:
    """Return a decorator that fills ``<parameters>`` and ``<attributes>`` of a class docstring."""
    parameters = described()
    for mark, text in (("loss choices", loss_choices), ("loss help", loss_help), ("tol", tol)):
        parameters = parameters.replace(f"<{mark}>", text)

    def fill(cls: T) -> T:
        doc = (cls.__doc__ or "").replace("<parameters>", parameters)
        cls.__doc__ = doc.replace("<attributes>", ATTRIBUTES)
        return cls

    return fill
