"""Compress the network of a fitted estimator; :mod:`.compress` does so for any model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import check_scoring
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import _check_feature_names

from fastbcd.compression.budget import Budget
from fastbcd.compression.calibrate import calibrated, has_temperature
from fastbcd.compression.certified import Certifier
from fastbcd.compression.job import Job, Scorer
from fastbcd.compression.rows import Rows, rows_of
from fastbcd.compression.run import run
from fastbcd.io.importing.read import check_targets, check_told
from fastbcd.io.importing.source import Source
from fastbcd.network.network import Network
from fastbcd.parallel.blas_threads import blas_for
from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.solvers.refine import RefineSettings
from fastbcd.utils import validation as check
from fastbcd.utils.rows import check_axes

Build = Callable[[Network], Any]
"""Returns a fitted estimator that predicts with a network."""


def compress_fitted(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    task: str | None = None,
    class_labels: Any = None,
    validation_data: tuple[ArrayLike, ArrayLike | None] | None = None,
    **options: Any,
) -> Any:
    """Return a compressed copy of a fitted estimator; see :func:`fastbcd.compress`."""
    source = Source(estimator.network_, estimator.task_)
    source.check_finite()
    check_told(estimator, source, task, class_labels)

    def build(network: Network) -> Any:
        return copy(estimator).with_network(network)

    return compress_source(source, build, X, y, validation_data=validation_data, **options)


def check_options(
    scheme: SchemeChoice,
    max_bytes: int | None,
    ratio: float | None,
    max_score_drop: float | None,
    allocation: str,
    validation_data: Any,
    certify: Any = False,
    max_error: float | None = None,
) -> Budget:
    """Return the budget; raise ValueError or TypeError if options contradict each other."""
    budget = Budget.check(scheme, max_bytes, ratio, max_score_drop, allocation, max_error)
    if max_error is not None and not wants(certify):
        raise ValueError(
            f"max_error={max_error!r} bounds the difference for every input of a region. Give it "
            "as certify=(low, high), or certify=True for the box of the rows of X."
        )
    if validation_data is None:
        return budget
    if not is_pair(validation_data):
        raise TypeError(
            "validation_data must be a pair (X, y), with y=None for rows without labels; got "
            f"{type(validation_data).__name__} of length {len(validation_data)}."
        )
    if max_score_drop is None and validation_data[1] is None:
        raise ValueError(
            "validation_data=(X, None) is only used with max_score_drop. Give labels, which "
            "calibrate the probabilities, or remove validation_data."
        )
    return budget


def wants(certify: Any) -> bool:
    """Whether ``certify`` asks for certificates: True or a region."""
    return certify is not None and certify is not False


def is_pair(data: Any) -> bool:
    """Whether ``data`` may be inputs and targets."""
    return isinstance(data, tuple | list) and len(data) == 2


def compress_source(
    source: Source,
    build: Build,
    X: Any,
    y: ArrayLike | None,
    *,
    scheme: SchemeChoice = None,
    max_bytes: int | None = None,
    ratio: float | None = None,
    max_score_drop: float | None = None,
    max_error: float | None = None,
    certify: Any = False,
    scoring: Any = None,
    validation_data: tuple[Any, ArrayLike | None] | None = None,
    allocation: str = "global",
    epochs: float | str = "auto",
    sample_weight: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
    agree: Callable[[], None] | None = None,
) -> Any:
    """Return the estimator that ``build`` makes of the compressed network.

    Parameters
    ----------
    source : Source
        The network, its task and the model that it was read from.
    build : callable
        Makes a fitted estimator of a network.
    X, y, scheme, ..., verbose
        As in :func:`fastbcd.compress`.
    agree : callable, optional
        Raises if the network does not compute what its model does; called once the rows are known
        to be finite.
    """
    budget = check_options(
        scheme,
        max_bytes,
        ratio,
        max_score_drop,
        allocation,
        validation_data,
        certify,
        max_error,
    )
    if scoring is None and max_score_drop is not None and max_score_drop > 0.5:
        raise ValueError(
            f"max_score_drop={max_score_drop!r} is a difference of scores, which are at most 1. "
            f"If percent are meant, give {max_score_drop / 100:g}."
        )
    reference = build(source.network)
    rows = _rows(source, reference, X, y, sample_weight)
    held, calibrates = None, False
    if validation_data is not None:
        held = _rows(source, reference, *validation_data, None, name="validation_data")
        calibrates = held.targets is not None and has_temperature(source.task)
        calibrates = calibrates and not wants(certify)  # which compares the outputs as they are
        if max_score_drop is None and not calibrates:
            raise ValueError(
                "validation_data serves max_score_drop, and calibrates probabilities of "
                f"classifiers without certify. This call has loss={source.task.loss!r}, "
                f"certify={certify!r} and no max_score_drop: remove validation_data."
            )
    certifier = Certifier(source.network, certify, rows.x) if wants(certify) else None
    layers = source.network.layers
    largest = max(layer.view.positions * prod(layer.weight.shape) for layer in layers)
    with blas_for(2 * RefineSettings.batch_size * largest):
        job = Job(
            source.network,
            source.task,
            rows,
            epochs,
            check_random_state(random_state),
            check.check_verbose(verbose),
            judged=max_score_drop is not None,
            held=held,
        )
        if agree is not None:
            agree()
        scorer = None
        if max_score_drop is not None and scoring is not None:
            scorer = _scorer(build, reference, scoring)
        made = run(job, budget, scorer, certifier)
    network, report = made.network, made.report
    if held is not None and held.targets is not None and calibrates:
        network, note = calibrated(network, source.task, held)
        report = replace(report, warnings=(*report.warnings, note))
        if scorer is not None:  # which may look at probabilities
            score = scorer(network, held.x, source.task.decode(held.targets))
            report = replace(report, score_after=score)
    small = build(network)
    small.scheme = made.scheme
    small.compression_report_ = report
    return small


def _rows(
    source: Source,
    reference: Any,
    X: Any,
    y: ArrayLike | None,
    sample_weight: ArrayLike | None,
    name: str = "",
) -> Rows:
    """Return checked rows; columns with names must be those that the network was trained on."""
    input_name = f"{name}[0]" if name else "X"
    if hasattr(X, "columns"):
        with warnings.catch_warnings():
            # A network that was trained without names takes columns as they come.
            warnings.filterwarnings("ignore", "X has feature names", UserWarning)
            _check_feature_names(reference, X, reset=False)
    check_axes(X)
    raw = check_array(X, accept_sparse="csr", dtype=(np.float64, np.float32), input_name=input_name)
    n_features = source.network.n_inputs
    if raw.shape[1] != n_features:
        raise ValueError(
            f"{input_name} has {raw.shape[1]} features, the network takes {n_features}. Give the "
            "columns that it was trained on, in their order."
        )
    targets = None if y is None else check_targets(source, y, f"{name}[1]" if name else "y")
    return rows_of(source.network, source.task, raw, targets, sample_weight)


def _scorer(build: Build, reference: Any, scoring: Any) -> Scorer:
    """Return the scorer of scikit-learn as a function of a network."""
    ask = check_scoring(reference, scoring)

    def score(network: Network, x: Any, y: Any) -> float:
        estimator = build(network)
        estimator.__dict__.pop("feature_names_in_", None)  # the rows are bare arrays by now
        return float(ask(estimator, x, y))

    return score
