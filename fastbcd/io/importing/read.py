"""Read a trained network from scikit-learn or PyTorch.

What is read is a :class:`fastbcd.network.network.Network` and what an estimator must know
besides: the classes, the names of the features, the shape of the predictions. The model that is
read is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.validation import check_is_fitted

from fastbcd.formats import DenseMatrix
from fastbcd.io.importing.agreement import check_agreement as check_agreement
from fastbcd.io.importing.layout import image_rows as image_rows
from fastbcd.io.importing.modules import full_name, is_sequential, run
from fastbcd.io.importing.sklearn import read_mlp, two_logits
from fastbcd.io.importing.source import Origin
from fastbcd.io.importing.source import Source as Source
from fastbcd.io.importing.targets import as_array
from fastbcd.io.importing.targets import check_targets as check_targets
from fastbcd.io.importing.task import TASKS, find_task, output_labels
from fastbcd.io.importing.torch import read_torch
from fastbcd.io.importing.wrappers import networks_inside
from fastbcd.network.network import Network
from fastbcd.network.tasks import Classification, MultilabelClassification, Regression
from fastbcd.utils import validation as check

SUPPORTED = (
    "a fitted BCDClassifier or BCDRegressor, scikit-learn's MLPClassifier or MLPRegressor, "
    "a Pipeline or search that ends in one of them, or torch.nn.Sequential"
)


def read(
    model: Any,
    y: ArrayLike | None = None,
    input_shape: tuple[int, ...] | None = None,
    *,
    task: str | None = None,
    class_labels: Any = None,
) -> Source:
    """Read the network of ``model``.

    Parameters
    ----------
    model : object
        A fitted BCD estimator, MLPClassifier, MLPRegressor or torch.nn.Sequential.
    y : array, optional
        Targets, from which the kind of a PyTorch network is told: labels make it a classifier.
    input_shape : tuple of int, optional
        Shape of one input of a PyTorch network, if it has more than one axis: (h, w, c) for
        images.
    task : {"classification", "regression", "multilabel"}, optional
        What the outputs are; found in ``y`` and the final activation where only one reading fits.
    class_labels : array-like, optional
        The class of each output of a PyTorch network, in their order.

    Raises
    ------
    TypeError
        For any other object.
    ValueError
        For a network that cannot be represented, whose weights are not finite, or whose outputs
        can be read in two ways.
    """
    if hasattr(type(model), "task_"):
        check_is_fitted(model)
        source = Source(model.network_, model.task_)
    elif isinstance(model, MLPClassifier | MLPRegressor):
        check_is_fitted(model)
        source = read_mlp(model)
    elif is_sequential(model):
        source = _read_sequential(model, y, input_shape, task, class_labels)
    else:
        raise _refusal(model)
    source.check_finite()
    if not is_sequential(model):
        check_told(model, source, task, class_labels)
    return source


def _read_sequential(
    model: Any,
    y: ArrayLike | None,
    input_shape: tuple[int, ...] | None,
    task: str | None,
    class_labels: Any,
) -> Source:
    found = read_torch(model, input_shape)
    network, final = found.network, found.final
    n_outputs = network.layers[-1].weight.shape[1]
    task = find_task(final, n_outputs, y, task, class_labels)
    origin = Origin("the PyTorch network", network, final, partial(run, model))
    numbers = Regression(n_outputs, flat=y is not None and as_array(y).ndim == 1)
    source = Source(network, numbers, origin=origin, column_is_usual=n_outputs == 1)
    if network.sees_images:
        sizes, shape = found.hidden_layer_sizes, found.input_shape
        source = replace(source, hidden_layer_sizes=sizes, input_shape=shape)
    if task == "regression":
        return source
    if task == "multilabel":
        return replace(source, task=MultilabelClassification(n_outputs))
    *hidden, last = network.layers
    if n_outputs == 1:
        last = two_logits(last)
    labels = output_labels(n_outputs, y, class_labels)
    order = np.argsort(labels)
    if np.array_equal(order, np.arange(order.size)):
        return replace(source, network=Network([*hidden, last]), task=Classification(labels))
    last = replace(
        last,
        weight=DenseMatrix(np.ascontiguousarray(last.weight.to_dense()[:, order])),
        intercept=last.intercept[order],
    )
    # Estimators keep their classes sorted.
    network = Network([*hidden, last])
    return replace(source, network=network, task=Classification(labels[order]), columns=labels)


def check_told(model: Any, source: Source, task: str | None, class_labels: Any) -> None:
    """Compare what the caller says with what a model knows of itself."""
    name = type(model).__name__
    if task is not None and check.check_choice("task", task, TASKS) != source.task_name:
        raise ValueError(
            f"task={task!r}, but the {name} was trained for {source.task_name!r}. Leave task out: "
            "it is for PyTorch networks, which do not know."
        )
    if class_labels is None:
        return
    own = source.task.classes if isinstance(source.task, Classification) else None
    if own is None or not np.array_equal(np.asarray(class_labels), own):
        raise ValueError(
            f"class_labels={class_labels!r}, but the {name} has its own, {own}. Leave "
            "class_labels out: they are for PyTorch networks, which have none."
        )


def _refusal(model: Any) -> TypeError:
    if isinstance(model, type):
        return TypeError(f"Cannot compress the class {model.__name__}: give a fitted instance.")
    known = type(model).__module__.partition(".")[0] == "sklearn"
    name = type(model).__name__ if known else full_name(model)
    inside = networks_inside(model)
    if inside:
        return TypeError(
            f"Cannot compress {name} as a whole. It holds networks that can be compressed by "
            f"themselves: {inside}."
        )
    if isinstance(model, str | PathLike):
        return TypeError(
            f"model={model!r} is a path, not a model. Read the file first: "
            f"compress(fastbcd.load({model!r}), X, ...)."
        )
    if isinstance(model, np.ndarray):
        return TypeError(
            f"model is an array of shape {model.shape}. The model comes first, then the rows: "
            "compress(model, X, ...)."
        )
    if any(full == "torch.nn.modules.module.Module" for full in map(_full, type(model).__mro__)):
        return TypeError(
            f"Cannot compress {name}: its forward can do anything. Put its layers into a "
            "torch.nn.Sequential, in the order in which forward applies them, and give that."
        )
    if isinstance(model, Mapping):
        return TypeError(
            f"model is a {type(model).__name__}, not a model. If it is a state_dict, load it into "
            "its torch.nn.Sequential, and give that."
        )
    return TypeError(f"Cannot compress {name}. Supported are {SUPPORTED}.")


def _full(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
