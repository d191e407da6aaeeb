"""What the outputs of a PyTorch network mean: it does not say, so the caller or the targets do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbcd.io.importing.targets import as_array, is_indicators, is_one_hot, is_whole
from fastbcd.utils import validation as check

TASKS = ("classification", "regression", "multilabel")

SETTLED = {"softmax": "Softmax", "log_softmax": "LogSoftmax", "sigmoid": "Sigmoid"}
"""Final activations that settle the task, and what PyTorch calls them."""


def find_task(
    final: str, n_outputs: int, y: ArrayLike | None, task: str | None, class_labels: Any
) -> str:
    """Return the task of a PyTorch network.

    Parameters
    ----------
    final : {"identity", "softmax", "log_softmax", "sigmoid"}
        Its final activation.
    n_outputs : int
        Number of its outputs.
    y : array or None
        Targets.
    task : str or None
        What the caller says.
    class_labels : array-like or None
        Given, it makes the network a classifier.

    Raises
    ------
    ValueError
        If what is given does not agree, or can be read in two ways; both are named.
    """
    if task is not None:
        check.check_choice("task", task, TASKS)
    if class_labels is not None and task not in (None, "classification"):
        raise ValueError(f"class_labels are for task='classification', but task={task!r} is given.")
    if final in SETTLED:
        settled = "multilabel" if final == "sigmoid" and n_outputs > 1 else "classification"
        if n_outputs == 1 and final != "sigmoid":
            raise ValueError(
                f"A {SETTLED[final]} of one output is the same number for every row. Compress "
                "model[:-1]."
            )
        told = task or ("classification" if class_labels is not None else settled)
        if told != settled:
            raise ValueError(
                f"task={told!r} does not fit a network that ends in {SETTLED[final]} of "
                f"{n_outputs} outputs; that is {settled!r}. Leave task and class_labels out, or "
                "give model[:-1], which ends before it."
            )
        if settled == "multilabel" and y is not None and as_array(y).shape[1:] in ((), (1,)):
            raise ValueError(
                f"y has one label for each row, but a Sigmoid of {n_outputs} outputs gives each "
                f"label a probability of its own. Pass y as zeros and ones, (n_samples, "
                f"{n_outputs}); or, if the largest output is the class, model[:-1] with "
                "task='classification'."
            )
        return settled
    if task == "multilabel" and n_outputs == 1:
        raise ValueError(
            "task='multilabel' needs a network of several outputs, this one has 1. Set "
            "task='classification'."
        )
    if task is None and class_labels is not None:
        return "classification"
    return task or _inferred(n_outputs, y)


def _inferred(n_outputs: int, y: ArrayLike | None) -> str:
    if y is None:
        return "regression"  # the outputs as they are
    targets = as_array(y)
    if targets.shape[1:] in ((), (1,)):
        labels = targets.ravel()
        # One number for each row cannot be the target of several outputs: it is a label.
        if n_outputs > 1 or labels.dtype.kind not in "iuf":
            return "classification"
        values = np.unique(labels)
        if is_whole(values) and (values.size == 2 or np.isin(values, (0, 1)).all()):
            raise ValueError(
                f"The network has one output and y the values {_shown(values)}. Either the output "
                "is the log-odds of the larger one (BCEWithLogitsLoss): set "
                "task='classification'. Or it is the number itself (MSELoss): set "
                "task='regression'."
            )
        return "regression"
    if targets.shape[1] != n_outputs:
        raise ValueError(
            f"y has {targets.shape[1]} columns, the network {n_outputs} outputs. Pass one label "
            "for each row, or one column for each output."
        )
    if is_one_hot(targets):
        raise ValueError(
            "Every row of y is zero but for a one. Either that marks the class of the row: set "
            "task='classification'. Or these are numbers to predict: set task='regression'. Or "
            "labels of which a row may have several: set task='multilabel'."
        )
    if is_indicators(targets):
        raise ValueError(
            "y holds zeros and ones only. Either a row may have several labels "
            "(BCEWithLogitsLoss): set task='multilabel'. Or these are numbers to predict: set "
            "task='regression'."
        )
    if targets.dtype.kind not in "iuf":
        raise ValueError(f"y has {n_outputs} columns that are not numbers. Pass one label per row.")
    if (targets >= 0).all() and np.allclose(targets.sum(axis=1), 1, atol=1e-4):
        raise ValueError(
            "The rows of y are non-negative and sum to one. Either they are probabilities of the "
            "classes: pass labels, y.argmax(axis=1). Or they are numbers to predict: set "
            "task='regression'."
        )
    return "regression"


def output_labels(n_outputs: int, y: ArrayLike | None, class_labels: Any) -> NDArray[Any]:
    """Return the class of each output of a classifier, in the order of the outputs.

    Parameters
    ----------
    n_outputs : int
        Number of outputs; a single one separates two classes.
    y : array or None
        Labels of rows, or one column of zeros and ones for each output.
    class_labels : array-like or None
        What the caller says.

    Raises
    ------
    ValueError
        If the labels do not tell which output is which; the readings are named.
    """
    n_classes = max(n_outputs, 2)
    targets = None if y is None else as_array(y)
    column = targets is not None and targets.shape[1:] in ((), (1,))
    if class_labels is not None:
        labels = _checked(class_labels, n_classes)
        if column and targets is not None:
            missing = np.setdiff1d(targets.ravel(), labels)
            if missing.size:
                raise ValueError(
                    f"y contains the label {missing.tolist()[0]!r}, which class_labels="
                    f"{labels.tolist()} lack."
                )
        return labels
    if targets is None or not column:
        return np.arange(n_classes)
    labels = targets.ravel()
    found: NDArray[Any] = np.unique(labels)
    if labels.dtype.kind in "biuf" and not is_whole(found):
        fraction = found[found != np.round(found)].tolist()[0]
        raise ValueError(
            f"y contains {fraction!r}, which is no class label. Pass whole numbers or strings; for "
            "a regression, one column for each output and task='regression'."
        )
    numeric = found.dtype.kind in "iuf" or (found.dtype.kind == "b" and n_classes == 2)
    counted = numeric and np.isin(found, np.arange(n_classes)).all()
    if counted and 0 in found:
        return np.arange(n_classes).astype(found.dtype)
    outputs = f"{n_outputs} outputs" if n_outputs > 1 else "one output for two classes"
    if counted:
        raise ValueError(
            f"y has the labels {_shown(found)}, the network {outputs}. Either the labels count "
            f"from 0, and 0 is absent: pass class_labels=range({n_classes}). Or they count from 1, "
            f"and {n_classes} is absent: pass class_labels=range(1, {n_classes + 1})."
        )
    if found.size != n_classes:
        raise ValueError(
            f"y has {found.size} classes, {_shown(found)}, the network {outputs}. Give "
            "class_labels, the label of each output in their order."
        )
    return found


def _checked(class_labels: Any, n_classes: int) -> NDArray[Any]:
    labels = as_array(list(class_labels) if np.ndim(class_labels) else [], "class_labels")
    if labels.ndim != 1 or labels.size != n_classes or np.unique(labels).size != n_classes:
        raise ValueError(
            f"class_labels must be {n_classes} different labels, one for each output in their "
            f"order{' (for a single output: the one below zero first)' if n_classes == 2 else ''}; "
            f"got {class_labels!r}."
        )
    return labels


def _shown(values: NDArray[Any]) -> str:
    """Return labels for a message, at most six of them."""
    listed = [repr(value) for value in values.tolist()]
    if len(listed) > 6:
        listed = [*listed[:3], "...", *listed[-2:]]
    return ", ".join(listed)
