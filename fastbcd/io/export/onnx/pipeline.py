"""Networks in the graphs that skl2onnx makes of Pipelines.

skl2onnx converts an estimator by functions that are registered for its class. They are made here
from a function that returns the network and the task of an estimator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastbcd.io.export.onnx.graph import Graph
from fastbcd.io.export.onnx.model import add_network, add_predictions, class_labels
from fastbcd.network.network import Network
from fastbcd.network.tasks import Task

Read = Callable[[Any], tuple[Network, Task]]
"""Returns the network of a fitted estimator, and what its outputs mean."""


def register_class(cls: type, read: Read, classifies: bool) -> None:
    """Register the converter of an estimator class with skl2onnx.

    Parameters
    ----------
    cls : type
        The class.
    read : callable
        Reads a fitted estimator of this class.
    classifies : bool
        Whether its outputs are a label and probabilities rather than numbers.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    """
    converter = _Converter(read)
    zipmap: dict[str, Any] = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    import_skl2onnx().update_registered_converter(
        cls,
        f"Fastbcd{cls.__name__}",
        converter.classifier_shapes if classifies else converter.regressor_shapes,
        converter.classifier if classifies else converter.regressor,
        overwrite=True,
        options=zipmap if classifies else None,
    )


def import_skl2onnx() -> Any:
    """Return the module skl2onnx; raise ImportError that says how to install it."""
    try:
        import skl2onnx
        import skl2onnx.common.data_types
    except ImportError:
        raise ImportError(
            "Converting a Pipeline to ONNX needs skl2onnx: pip install 'fastbcd[onnx]'"
        ) from None
    return skl2onnx


def number_type(network: Network, shape: list[int | None]) -> Any:
    """Return skl2onnx's type of tensors of the network's numbers."""
    return _numbers(network.layers[0].weight.dtype, shape)


def _numbers(dtype: Any, shape: list[int | None]) -> Any:
    types = import_skl2onnx().common.data_types
    double = dtype == np.float64
    return types.DoubleTensorType(shape) if double else types.FloatTensorType(shape)


def column_types(columns: Mapping[str, str], network: Network) -> list[tuple[str, Any]]:
    """Return skl2onnx's types of named columns (n, 1), given their kinds.

    Numbers are of the type of the network's.
    """
    types = import_skl2onnx().common.data_types
    kinds = {
        "single": types.FloatTensorType,
        "integer": types.Int64TensorType,
        "string": types.StringTensorType,
        "boolean": types.BooleanTensorType,
    }
    return [
        (name, kinds[kind]([None, 1]) if kind in kinds else number_type(network, [None, 1]))
        for name, kind in columns.items()
    ]


class _Converter:
    """The functions that skl2onnx calls for a step of a Pipeline."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def classifier_shapes(self, operator: Any) -> None:
        """Set the types of label and probabilities."""
        types = import_skl2onnx().common.data_types
        _, task = self._read(operator.raw_operator)
        n_rows = operator.inputs[0].type.shape[0]
        kinds = {
            "i": types.Int64TensorType,
            "O": types.StringTensorType,
            "f": types.DoubleTensorType,
        }
        if task.kind == "labels":
            operator.outputs[0].type = types.Int64TensorType([n_rows, task.n_outputs])
        else:
            labels = class_labels(task)
            kind = types.FloatTensorType if labels.dtype == np.float32 else kinds[labels.dtype.kind]
            operator.outputs[0].type = kind([n_rows])
        operator.outputs[1].type = _numbers(_dtype_of(operator), [n_rows, task.n_outputs])

    def regressor_shapes(self, operator: Any) -> None:
        """Set the type of the predictions."""
        _, task = self._read(operator.raw_operator)
        shape = [operator.inputs[0].type.shape[0], task.n_outputs]
        operator.outputs[0].type = _numbers(_dtype_of(operator, zips=False), shape)

    def classifier(self, scope: Any, operator: Any, container: Any) -> None:
        """Add the nodes of a classifier."""
        graph, outputs, task = self._network(scope, operator)
        label, probabilities = (output.full_name for output in operator.outputs)
        found = scope.get_unique_variable_name("probabilities")
        add_predictions(graph, outputs, task, label, found)
        graph.cast(found, _dtype_of(operator), output=probabilities)
        _add(graph, container)

    def regressor(self, scope: Any, operator: Any, container: Any) -> None:
        """Add the nodes of a regressor."""
        graph, outputs, _ = self._network(scope, operator)
        graph.cast(outputs, _dtype_of(operator, zips=False), output=operator.outputs[0].full_name)
        _add(graph, container)

    def _network(self, scope: Any, operator: Any) -> tuple[Graph, str, Task]:
        network, task = self._read(operator.raw_operator)
        dtype = network.layers[0].weight.dtype
        graph = Graph(dtype, scope.get_unique_variable_name)
        x = graph.cast(operator.inputs[0].full_name, dtype)
        return graph, add_network(graph, x, network), task


def _dtype_of(operator: Any, zips: bool = True) -> Any:
    """Return the type of the numbers that ``operator`` shall return.

    That of its inputs, as with scikit-learn's own estimators: what follows in the graph expects
    it. ZipMap, which skl2onnx adds to classifiers unless told otherwise, takes floats alone.
    """
    double = isinstance(
        operator.inputs[0].type, import_skl2onnx().common.data_types.DoubleTensorType
    )
    if double and zips:
        options = operator.scope_inst.get_options(operator.raw_operator, {"zipmap": True})
        double = options["zipmap"] is not True
    return np.dtype(np.float64 if double else np.float32)


def _add(graph: Graph, container: Any) -> None:
    """Hand constants and nodes over to skl2onnx."""
    onnx = graph.onnx
    for tensor in graph.tensors():
        content: Any = tensor
        if tensor.data_type == onnx.TensorProto.STRING:
            content = list(tensor.string_data)
        container.add_initializer(tensor.name, tensor.data_type, list(tensor.dims), content)
    for node in graph.nodes:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        container.add_node(
            node.op_type, list(node.input), list(node.output), name=node.output[0], **attributes
        )
