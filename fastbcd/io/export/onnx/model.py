"""Fitted estimators, and Pipelines that end in one, as ONNX models."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from fastbcd._version import __version__
from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.io.export.onnx.graph import Graph, import_onnx
from fastbcd.io.export.onnx.images import images_of
from fastbcd.io.export.onnx.weights import affine
from fastbcd.network.layers.patches import Patches, Shape3
from fastbcd.utils import validation as check
from fastbcd.utils.files import write_atomic

if TYPE_CHECKING:
    import onnx

OPSET = 17
"""Default version of the operators: runtimes since 2022 know it."""

OLDEST_OPSET = 13

LEAK = 0.01
"""Slope of the leaky ReLU for negative arguments."""

ACTIVATIONS = {"relu": "Relu", "logistic": "Sigmoid", "tanh": "Tanh"}


def to_onnx(
    estimator: Any, path: str | PathLike[str] | None = None, *, target_opset: int = OPSET
) -> onnx.ModelProto:
    """Return ``estimator`` as an ONNX model of standard operators, and write it if asked to.

    The weights are stored in their compressed form together with nodes that decode them. A runtime
    that folds constants, as ONNX Runtime does, runs those once when it loads the file: the file is
    small, and the speed that of a dense network, or better with low rank.

    Parameters
    ----------
    estimator : BCDClassifier, BCDRegressor or Pipeline
        Fitted. A Pipeline is converted by skl2onnx and must end in one of the former.
    path : str or path, optional
        File to write; an older one is replaced when the new one is complete.
    target_opset : int, default=17
        Version of the operators, at least 13. Old runtimes need an old one.

    Returns
    -------
    onnx.ModelProto
        Its input is ``X``, (n, n_features), of the type of the network's numbers; images are rows
        as in Python.

        A classifier's outputs are ``label``, (n,) or (n, n_labels), and ``probabilities``,
        (n, n_classes), as those of ``predict`` and ``predict_proba``. A regressor's output is
        ``variable``, (n, n_outputs), also for one output.

    Raises
    ------
    ImportError
        Without onnx, or without skl2onnx for a Pipeline: ``pip install 'fastbcd[onnx]'``.
    TypeError, ValueError
        For another estimator, or one with class labels that ONNX lacks.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbcd import BCDClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BCDClassifier((20,), random_state=0).fit(X, y).to_onnx()  # doctest: +SKIP
    """
    module = import_onnx()
    newest = module.defs.onnx_opset_version()
    opset = check.check_integer("target_opset", target_opset, OLDEST_OPSET)
    if opset > newest:
        raise ValueError(f"target_opset={opset} is unknown to the installed onnx; {newest} is.")
    if isinstance(estimator, Pipeline):
        from fastbcd.io.export.onnx.pipeline import convert_pipeline

        model: onnx.ModelProto = convert_pipeline(estimator, opset)
    elif isinstance(estimator, BCDClassifier | BCDRegressor):
        check_is_fitted(estimator)
        model = _model(module, estimator, opset)
    else:
        raise TypeError(
            "to_onnx takes a BCDClassifier, a BCDRegressor or a Pipeline that ends in one, not "
            f"{type(estimator).__name__}."
        )
    if path is not None:
        write_atomic(path, model.SerializeToString())
    return model


def add_network(graph: Graph, x: str, estimator: Any) -> str:
    """Add all layers to ``graph`` and return the name of their outputs, (n, n_outputs)."""
    images = images_of(graph)
    shape: Shape3 | None = None  # of the images that x are, or None for rows
    for layer in estimator.network_.layers:
        view = layer.view
        if isinstance(view, Patches):
            if shape is None:
                x = images.from_rows(x, view.shape)
            x = images.average(x, view)
            shape = view.pooled_shape
        if isinstance(view, Patches) and not view.is_whole:
            x = images.convolution(x, layer, view)
            shape = (*view.grid, layer.weight.shape[1])
        else:
            if shape is not None:
                x = images.to_rows(x, shape)
            x = affine(graph, x, layer.weight, layer.intercept)
            shape = None
        x = _activated(graph, x, layer.activation)
        if layer.pool is not None and shape is not None:
            x = images.maxima(x, shape, layer.pool.window)
            shape = layer.pool.shape_out
    return x if shape is None else images.to_rows(x, shape)


def add_classifier(
    graph: Graph, outputs: str, estimator: BCDClassifier, label: str, probabilities: str
) -> None:
    """Add the nodes that turn ``outputs`` into ``label`` and ``probabilities``."""
    if estimator._multilabel:
        threshold = estimator._threshold()
        above = graph.node("Greater", outputs, graph.constant(threshold))
        graph.node("Cast", above, output=label, to=graph.onnx.TensorProto.INT64)
        if estimator._loss() != "logistic":
            outputs = graph.node("Sub", outputs, graph.constant(threshold))
            outputs = graph.node("Mul", outputs, graph.constant(4))
        graph.node("Sigmoid", outputs, output=probabilities)
        return
    best = graph.node("ArgMax", outputs, axis=1, keepdims=0)
    classes = class_labels(estimator)
    graph.node("Gather", graph.constant(classes, classes.dtype), best, output=label)
    loss = estimator._loss()
    if loss == "cross_entropy":
        graph.node("Softmax", outputs, output=probabilities, axis=1)
        return
    if loss == "hinge":
        outputs = graph.node("Add", outputs, graph.constant(1))
        outputs = graph.node("Div", outputs, graph.constant(2))
    # Clipped and normalised; where nothing is positive all classes are as likely.
    zero, one = graph.constant(0), graph.constant(1)
    clipped = graph.node("Clip", outputs, zero, one)
    axis = graph.constant([1], np.int64)
    none = graph.node("Equal", graph.node("ReduceSum", clipped, axis, keepdims=1), zero)
    shares = graph.node("Where", none, one, clipped)
    total = graph.node("ReduceSum", shares, axis, keepdims=1)
    graph.node("Div", shares, total, output=probabilities)


def class_labels(estimator: BCDClassifier) -> Any:
    """Return the labels in a type that ONNX has.

    Raises
    ------
    ValueError
        If there is none.
    """
    classes = np.asarray(estimator.classes_)
    if classes.dtype.kind in "iub":
        return classes.astype(np.int64)
    if classes.dtype.kind == "f":
        return classes.astype(np.float64 if classes.itemsize > 4 else np.float32)
    if classes.dtype.kind == "U" or all(isinstance(label, str) for label in classes.tolist()):
        return classes.astype(object)
    raise ValueError(
        f"ONNX has no labels of type {classes.dtype} such as {classes[0]!r}. Train with labels "
        "that are numbers or strings."
    )


def _activated(graph: Graph, x: str, activation: str) -> str:
    if activation == "identity":
        return x
    if activation == "hard_tanh":
        return graph.node("Clip", x, graph.constant(-1), graph.constant(1))
    if activation == "leaky_relu":
        if graph.dtype == np.float32:
            return graph.node("LeakyRelu", x, alpha=LEAK)
        # Attributes are of single precision.
        return graph.node("Max", x, graph.node("Mul", x, graph.constant(LEAK)))
    return graph.node(ACTIVATIONS[activation], x)


def _model(module: Any, estimator: Any, opset: int) -> onnx.ModelProto:
    helper = module.helper
    network = estimator.network_
    n_in, n_out = network.n_inputs, network.layers[-1].weight.shape[1]
    dtype = network.layers[0].weight.dtype
    graph = Graph(dtype)
    number = helper.np_dtype_to_tensor_dtype(dtype)
    inputs = [helper.make_tensor_value_info("X", number, [None, n_in])]
    outputs = add_network(graph, "X", estimator)
    if isinstance(estimator, BCDClassifier):
        add_classifier(graph, outputs, estimator, "label", "probabilities")
        if estimator._multilabel:
            label = helper.make_tensor_value_info("label", module.TensorProto.INT64, [None, n_out])
        else:
            kind = helper.np_dtype_to_tensor_dtype(class_labels(estimator).dtype)
            label = helper.make_tensor_value_info("label", kind, [None])
        chances = helper.make_tensor_value_info("probabilities", number, [None, n_out])
        results = [label, chances]
    else:
        graph.node("Identity", outputs, output="variable")
        results = [helper.make_tensor_value_info("variable", number, [None, n_out])]
    body = helper.make_graph(graph.nodes, "fastbcd", inputs, results, graph.tensors())
    operators = [helper.make_opsetid("", opset)]
    model: onnx.ModelProto = helper.make_model(
        body,
        producer_name="fastbcd",
        producer_version=__version__,
        opset_imports=operators,
        # Older runtimes refuse a newer container than the operators need.
        ir_version=helper.find_min_ir_version_for(operators),
    )
    module.checker.check_model(model, full_check=True)
    return model
