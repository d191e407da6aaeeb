"""Networks as ONNX models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbcd._version import __version__
from fastbcd.io.export.onnx.graph import Graph, import_onnx
from fastbcd.io.export.onnx.images import images_of
from fastbcd.io.export.onnx.weights import affine
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.layers.patches import Patches, Shape3
from fastbcd.network.losses.links import Link
from fastbcd.network.network import Network
from fastbcd.network.tasks import Classification, MultilabelClassification, Task
from fastbcd.utils import validation as check

if TYPE_CHECKING:
    import onnx

OPSET = 17
"""Default version of the operators: runtimes since 2022 know it."""

OLDEST_OPSET = 13

LEAK = 0.01
"""Slope of the leaky ReLU for negative arguments."""

ACTIVATIONS = {"relu": "Relu", "logistic": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus"}


def check_opset(target_opset: Any) -> int:
    """Return ``target_opset`` if the installed onnx knows it; raise ValueError otherwise."""
    newest = import_onnx().defs.onnx_opset_version()
    opset = check.check_integer("target_opset", target_opset, OLDEST_OPSET)
    if opset > newest:
        raise ValueError(f"target_opset={opset} is unknown to the installed onnx; {newest} is.")
    return opset


def add_network(graph: Graph, x: str, network: Network) -> str:
    """Add all layers to ``graph`` and return the name of their outputs, (n, n_outputs)."""
    images = images_of(graph)
    shape: Shape3 | None = None  # of the images that x are, or None for rows
    for layer in network.layers:
        view = layer.view
        if isinstance(view, PiecewiseLinearEncoding):
            x = _encoded(graph, x, view)
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


def _encoded(graph: Graph, x: str, view: PiecewiseLinearEncoding) -> str:
    """Add the features that an encoding makes of columns: some of them as they are, then ramps."""
    view = view.astype(graph.dtype)
    parts = []
    if not view.selects:
        parts.append(x)
    elif len(view.plain):
        parts.append(graph.node("Gather", x, graph.constant(view.plain, np.int64), axis=1))
    if len(view.columns):
        ramps = graph.node("Gather", x, graph.constant(view.columns, np.int64), axis=1)
        ramps = graph.node("Sub", ramps, graph.constant(view.starts))
        ramps = graph.node("Mul", ramps, graph.constant(view.slopes))
        parts.append(graph.node("Clip", ramps, graph.constant(0), graph.constant(1)))
    return graph.node("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def add_predictions(graph: Graph, outputs: str, task: Task, label: str, probabilities: str) -> None:
    """Add the nodes that turn ``outputs`` into ``label`` and ``probabilities``."""
    assert task.link is not None
    if isinstance(task, MultilabelClassification):
        above = graph.node("Greater", outputs, graph.constant(task.threshold))
        graph.node("Cast", above, output=label, to=graph.onnx.TensorProto.INT64)
    else:
        best = graph.node("ArgMax", outputs, axis=1, keepdims=0)
        classes = class_labels(task)
        graph.node("Gather", graph.constant(classes, classes.dtype), best, output=label)
    _add_link(graph, outputs, task.link, task.n_outputs, probabilities)


def _add_link(graph: Graph, outputs: str, link: Link, n_outputs: int, probabilities: str) -> None:
    """Add what :class:`fastbcd.network.losses.links.Link` computes."""
    if link.shift:
        outputs = graph.node("Sub", outputs, graph.constant(link.shift))
    if link.scale != 1:
        outputs = graph.node("Mul", outputs, graph.constant(link.scale))
    if link.form == "softmax":
        graph.node("Softmax", outputs, output=probabilities, axis=1)
        return
    if link.form == "sigmoid":
        graph.node("Sigmoid", outputs, output=probabilities)
        return
    # The largest of the thresholds (sum of the m largest - 1) / m.
    ranked = graph.largest(outputs, n_outputs)
    sums = graph.node("CumSum", ranked, graph.constant(1, np.int64))
    above = graph.node("Sub", sums, graph.constant(1))
    thresholds = graph.node("Div", above, graph.constant(np.arange(1, n_outputs + 1)))
    excess = graph.node("Sub", outputs, graph.largest(thresholds, 1))
    graph.node("Relu", excess, output=probabilities)


def class_labels(task: Task) -> NDArray[Any]:
    """Return the labels in a type that ONNX has.

    Raises
    ------
    ValueError
        If there is none.
    """
    assert isinstance(task, Classification)
    classes = task.classes
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
    if activation == "silu":
        return graph.node("Mul", x, graph.node("Sigmoid", x))
    if activation == "softplus" and graph.dtype == np.float64:
        # ONNX Runtime has the operator in single precision only.
        decay = graph.node("Exp", graph.node("Neg", graph.node("Abs", x)))
        rest = graph.node("Log", graph.node("Add", decay, graph.constant(1)))
        return graph.node("Add", graph.node("Relu", x), rest)
    if activation == "gelu":
        # The operator Gelu is younger than the oldest opset.
        error = _erf(graph, graph.node("Mul", x, graph.constant(math.sqrt(0.5))))
        doubled = graph.node("Mul", x, graph.node("Add", error, graph.constant(1)))
        return graph.node("Mul", doubled, graph.constant(0.5))
    return graph.node(ACTIVATIONS[activation], x)


def _erf(graph: Graph, x: str) -> str:
    """Add the error function, in single precision: ONNX Runtime has it in no other."""
    if graph.dtype == np.float32:
        return graph.node("Erf", x)
    single = graph.node("Cast", x, to=graph.onnx.TensorProto.FLOAT)
    return graph.node("Cast", graph.node("Erf", single), to=graph.onnx.TensorProto.DOUBLE)


def onnx_model(network: Network, task: Task, opset: int = OPSET) -> onnx.ModelProto:
    """Return a network as an ONNX model; see :func:`fastbcd.export.to_onnx`.

    Raises
    ------
    ImportError
        Without onnx.
    ValueError
        For class labels that ONNX lacks.
    """
    module = import_onnx()
    helper = module.helper
    n_in, n_out = network.n_inputs, task.n_outputs
    dtype = network.layers[0].weight.dtype
    graph = Graph(dtype)
    number = helper.np_dtype_to_tensor_dtype(dtype)
    inputs = [helper.make_tensor_value_info("X", number, [None, n_in])]
    outputs = add_network(graph, "X", network)
    if task.link is not None:
        add_predictions(graph, outputs, task, "label", "probabilities")
        if task.kind == "labels":
            label = helper.make_tensor_value_info("label", module.TensorProto.INT64, [None, n_out])
        else:
            kind = helper.np_dtype_to_tensor_dtype(class_labels(task).dtype)
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
