"""What a file holds of an estimator besides its network: parameters, classes, names, report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastbcd import schemes
from fastbcd.compression.report_table import report_from_plain, report_to_plain
from fastbcd.io.codecs.container import expect
from fastbcd.io.storage.document import Document
from fastbcd.io.storage.network import NEWER
from fastbcd.io.storage.plain import from_plain, labels_from_plain, labels_to_plain, to_plain
from fastbcd.network.layers import specs
from fastbcd.network.network import Network
from fastbcd.schemes.protocol import SCHEMES
from fastbcd.solvers import ConvergenceRecord

PRIVATE = {"BCDClassifier": "_n_labels", "BCDRegressor": "_two_dimensional"}
"""What each class keeps of the shape of its targets."""


def known_objects() -> dict[str, Mapping[str, Any]]:
    """Return the dataclasses that a file may hold, by kind and name; no others are ever made."""
    assert schemes.__all__  # importing the package registers its schemes
    layers = {name: getattr(specs, name) for name in specs.__all__}
    return {"scheme": SCHEMES, "layer": layers}


def saved_estimator(estimator: Any) -> Document:
    """Return what a file holds of a fitted ``estimator``.

    Raises
    ------
    NotFittedError
        If there is nothing to save.
    TypeError
        For a class that a file does not know.
    ValueError
        For a parameter or class labels that a file without code cannot hold.
    """
    kind = vars(type(estimator)).get("saved_as")  # a subclass may hold more than a file does
    if kind is None:
        raise TypeError(
            f"Can save {' and '.join(PRIVATE)}, not {type(estimator).__name__}. fastbcd.compress "
            "makes one of other networks."
        )
    check_is_fitted(estimator)
    known = known_objects()
    params = estimator.get_params(deep=False)
    fitted: dict[str, Any] = {
        "targets": int(getattr(estimator, PRIVATE[kind], 0)),
        "n_iter": [int(estimator.n_iter_), int(estimator.best_iter_)],
    }
    if hasattr(estimator, "classes_"):
        fitted["classes"] = labels_to_plain(estimator.classes_, "classes")
    if hasattr(estimator, "feature_names_in_"):
        fitted["feature_names"] = estimator.feature_names_in_.tolist()
    return Document(
        kind,
        estimator.network_,
        {name: to_plain(name, value, known) for name, value in params.items()},
        fitted,
        report_to_plain(getattr(estimator, "compression_report_", None)),
    )


def restored_estimator(document: Document, classes: Mapping[str, type[Any]]) -> Any:
    """Return the fitted estimator that :func:`saved_estimator` took apart.

    Parameters
    ----------
    document : Document
        Not trusted.
    classes : mapping of str to class
        The classes that a file may name.

    Raises
    ------
    DamagedError, and whatever nonsense raises
        If it is the document of no estimator.
    """
    name, known = document.kind, known_objects()
    expect(name in classes, f"it holds a {name!r}, which is unknown here. {NEWER}")
    params = {key: from_plain(value, known) for key, value in document.params.items()}
    if "alpha" in params and "proximal" not in params:  # of a version that called it so
        params["proximal"] = params.pop("alpha")
    unknown = sorted(set(params) - set(classes[name]._get_param_names()))
    expect(not unknown, f"{name} has no parameter {', '.join(unknown)} here. {NEWER}")
    estimator = classes[name](**params)
    _restore(estimator, name, document.fitted, document.network)
    report = report_from_plain(document.report)
    if report is not None:
        estimator.compression_report_ = report
    return estimator


def _restore(estimator: Any, name: str, fitted: dict[str, Any], network: Network) -> None:
    """Set what the estimator knows besides its network, checked against the network."""
    n_outputs = network.layers[-1].intercept.size
    targets = fitted["targets"]
    if name == "BCDClassifier":
        estimator.classes_ = labels_from_plain(fitted["classes"], "classes")
        fits = estimator.classes_.size == n_outputs and targets in (0, n_outputs)
        expect(fits, f"its classes do not fit {n_outputs} outputs")
    else:
        expect(targets in (0, 1) and (targets or n_outputs == 1), "its outputs are not one column")
    setattr(estimator, PRIVATE[name], targets if name == "BCDClassifier" else bool(targets))
    estimator.network_ = network
    estimator.n_features_in_ = network.n_inputs
    if "feature_names" in fitted:
        names = fitted["feature_names"]
        distinct = isinstance(names, list) and all(isinstance(text, str) for text in names)
        fits = distinct and len(names) == estimator.n_features_in_
        expect(fits, "there is not one name for each feature")
        estimator.feature_names_in_ = np.array(names, dtype=object)
    estimator.n_iter_, estimator.best_iter_ = (int(count) for count in fitted["n_iter"])
    estimator.convergence_ = ConvergenceRecord()
    estimator.objective_curve_ = estimator.convergence_.objective
    estimator.validation_scores_ = []
