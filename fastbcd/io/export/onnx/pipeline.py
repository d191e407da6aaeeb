"""Pipelines as ONNX: the converters that skl2onnx calls for a Pipeline's last step.

``register()`` tells skl2onnx of them, for those who call ``skl2onnx.to_onnx`` themselves;
:func:`fastbcd.export.to_onnx` does so for Pipelines.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.io.export.onnx.graph import Graph
from fastbcd.io.export.onnx.model import add_classifier, add_network, class_labels

__all__ = ["convert_pipeline", "register"]


def register() -> None:
    """Register the converters of BCDClassifier and BCDRegressor with skl2onnx.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    """
    skl2onnx = _import_skl2onnx()
    zipmap: dict[str, Any] = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    for cls, shapes, convert, options in (
        (BCDClassifier, _classifier_shapes, _convert_classifier, zipmap),
        (BCDRegressor, _regressor_shapes, _convert_regressor, None),
    ):
        skl2onnx.update_registered_converter(
            cls, f"Fastbcd{cls.__name__}", shapes, convert, overwrite=True, options=options
        )


def convert_pipeline(pipeline: Any, opset: int) -> Any:
    """Return a fitted Pipeline that ends in one of our estimators as an ONNX model."""
    skl2onnx = _import_skl2onnx()
    last = pipeline[-1]
    if not isinstance(last, BCDClassifier | BCDRegressor):
        raise TypeError(
            f"The Pipeline ends in {type(last).__name__}; skl2onnx.to_onnx may convert it. Here it "
            "must end in a BCDClassifier or BCDRegressor."
        )
    register()
    n_features = getattr(pipeline, "n_features_in_", last.n_features_in_)
    types = skl2onnx.common.data_types
    double = last.network_.layers[0].weight.dtype == np.float64
    kind = types.DoubleTensorType if double else types.FloatTensorType
    options = {id(last): {"zipmap": False}} if isinstance(last, BCDClassifier) else None
    return skl2onnx.convert_sklearn(
        pipeline,
        initial_types=[("X", kind([None, n_features]))],
        target_opset=opset,
        options=options,
    )


def _import_skl2onnx() -> Any:
    try:
        import skl2onnx
        import skl2onnx.common.data_types
    except ImportError:
        raise ImportError(
            "Converting a Pipeline to ONNX needs skl2onnx: pip install 'fastbcd[onnx]'"
        ) from None
    return skl2onnx


def _number_type(estimator: Any, shape: list[int | None]) -> Any:
    types = _import_skl2onnx().common.data_types
    double = estimator.network_.layers[0].weight.dtype == np.float64
    return types.DoubleTensorType(shape) if double else types.FloatTensorType(shape)


def _classifier_shapes(operator: Any) -> None:
    """Set the types of label and probabilities."""
    types = _import_skl2onnx().common.data_types
    estimator = operator.raw_operator
    n_rows = operator.inputs[0].type.shape[0]
    n_out = estimator.network_.layers[-1].weight.shape[1]
    kinds = {
        "i": types.Int64TensorType,
        "O": types.StringTensorType,
        "f": types.DoubleTensorType,
    }
    if estimator._multilabel:
        operator.outputs[0].type = types.Int64TensorType([n_rows, n_out])
    else:
        labels = class_labels(estimator)
        kind = types.FloatTensorType if labels.dtype == np.float32 else kinds[labels.dtype.kind]
        operator.outputs[0].type = kind([n_rows])
    operator.outputs[1].type = _number_type(estimator, [n_rows, n_out])


def _regressor_shapes(operator: Any) -> None:
    """Set the type of the predictions."""
    estimator = operator.raw_operator
    shape = [operator.inputs[0].type.shape[0], estimator.network_.layers[-1].weight.shape[1]]
    operator.outputs[0].type = _number_type(estimator, shape)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    graph, outputs = _network(scope, operator)
    label, probabilities = (output.full_name for output in operator.outputs)
    add_classifier(graph, outputs, operator.raw_operator, label, probabilities)
    _add(graph, container)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    graph, outputs = _network(scope, operator)
    graph.node("Identity", outputs, output=operator.outputs[0].full_name)
    _add(graph, container)


def _network(scope: Any, operator: Any) -> tuple[Graph, str]:
    estimator = operator.raw_operator
    dtype = estimator.network_.layers[0].weight.dtype
    graph = Graph(dtype, scope.get_unique_variable_name)
    x = graph.cast(operator.inputs[0].full_name, dtype)
    return graph, add_network(graph, x, estimator)


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
