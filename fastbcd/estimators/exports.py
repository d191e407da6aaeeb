"""Ways out of Python for fitted estimators, and for Pipelines that end in one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline

from fastbcd.estimators.classifier import BCDClassifier, BCDRegressor
from fastbcd.io.export.onnx.columns import named_columns
from fastbcd.io.export.onnx.model import OPSET, check_opset
from fastbcd.io.export.onnx.pipeline import (
    column_types,
    import_skl2onnx,
    number_type,
    register_class,
)
from fastbcd.network.network import Network
from fastbcd.network.tasks import Task
from fastbcd.utils.files import write_atomic

if TYPE_CHECKING:
    import onnx
    import torch

__all__ = ["register", "to_c", "to_onnx", "to_sklearn", "to_torch"]


def to_c(
    estimator: Any,
    path: str | os.PathLike[str],
    *,
    arithmetic: str = "float",
    name: str | None = None,
    X: ArrayLike | None = None,
    allow_dense: bool = False,
) -> None:
    """Write a fitted network as one C99 header, which is also C++.

    The header holds the weights as constants, in their compressed form, and functions that
    multiply by them while they decode: ``NAME_predict``, ``NAME_outputs`` and, for a classifier,
    ``NAME_predict_proba``. It needs no heap and no library but ``expf`` and ``tanhf`` of
    ``math.h``, and only where probabilities or activations ask for them. A comment at its head
    explains it by a worked example.

    Parameters
    ----------
    estimator : BCDClassifier or BCDRegressor
        Fitted. Others become one by :func:`fastbcd.compress`.
    path : str or path
        File to write. An existing one is replaced in one step, and stays if anything fails.
    arithmetic : {"float", "int8"}, default="float"
        "float" computes in single precision. "int8" rounds weights and activations to 8 bits and
        adds in 32, for processors without a floating-point unit; it needs ``X``, and a network
        that sees no images and reads columns as they are.
    name : str, optional
        What all names in the header begin with: a C identifier. Made of the file's name by
        default.
    X : (n_samples, n_features) array, optional
        Rows like those that the network will see. "int8" takes from them the range of every
        activation, of 4096 evenly spaced ones if there are more; values beyond it are clipped. On
        all of them the predictions of the integers are compared with those of the estimator.
    allow_dense : bool, default=False
        Write a matrix that has no compressed form in C with all its entries rather than refuse
        it.

    Raises
    ------
    ValueError
        If a parameter cannot be used, or a layer cannot be expressed. Nothing is written then.
    OSError
        If the file cannot be written.

    Warns
    -----
    ExportWarning
        If "int8" changes the class or a label of any row of ``X``, with the share of such rows; or
        an output of a regression by more than a tenth of its standard deviation, in the root mean
        square. Features of unlike size and outliers cause that: all inputs share one grid of 256
        points.
    """
    if not isinstance(estimator, BCDClassifier | BCDRegressor):
        raise TypeError(
            f"Cannot write {type(estimator).__name__} in C. Supported are BCDClassifier and "
            "BCDRegressor; fastbcd.compress makes one of scikit-learn's MLPs and of PyTorch's "
            "Sequential. Steps of a Pipeline before the network must be done by the caller of C."
        )
    estimator.to_c(path, arithmetic=arithmetic, name=name, X=X, allow_dense=allow_dense)


def to_onnx(
    estimator: Any,
    path: str | PathLike[str] | None = None,
    *,
    initial_types: Sequence[tuple[str, Any]] | None = None,
    target_opset: int = OPSET,
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
    initial_types : list of (str, type), optional
        Names and types of the inputs of a Pipeline, as those of ``skl2onnx.convert_sklearn``:
        ``[("age", FloatTensorType([None, 1])), ...]``. By default one input ``X``; where the
        Pipeline begins with a ColumnTransformer that takes columns by name, one input for each
        column that it reads: strings, integers or truth values where an encoder or imputer learned
        such, numbers of the network's type otherwise, or floats where an imputer comes first.
    target_opset : int, default=17
        Version of the operators, at least 13. Old runtimes need an old one.

    Returns
    -------
    onnx.ModelProto
        Its input is ``X``, (n, n_features), of the type of the network's numbers; images are rows
        as in Python. A Pipeline of named columns has an input (n, 1) for each of them.

        A classifier's outputs are ``label``, (n,) or (n, n_labels), and ``probabilities``,
        (n, n_classes), as those of ``predict`` and ``predict_proba``. A regressor's output is
        ``variable``, (n, n_outputs), also for one output.

    Raises
    ------
    ImportError
        Without onnx, or without skl2onnx for a Pipeline: ``pip install 'fastbcd[onnx]'``.
    TypeError, ValueError
        For another estimator, one with class labels that ONNX lacks, or ``initial_types`` without
        a Pipeline.
    OSError
        If the file cannot be written.

    Notes
    -----
    The model computes in the type of the network's numbers, except the error function of GELU,
    which ONNX Runtime has in single precision only.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbcd import BCDClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BCDClassifier((20,), random_state=0).fit(X, y).to_onnx()  # doctest: +SKIP
    """
    if isinstance(estimator, Pipeline):
        model: onnx.ModelProto = _convert_pipeline(
            estimator, check_opset(target_opset), initial_types
        )
        if path is not None:
            write_atomic(path, model.SerializeToString())
        return model
    if not isinstance(estimator, BCDClassifier | BCDRegressor):
        raise TypeError(
            "to_onnx takes a BCDClassifier, a BCDRegressor or a Pipeline that ends in one, not "
            f"{type(estimator).__name__}."
        )
    if initial_types is not None:
        raise ValueError(
            "initial_types name the inputs of a Pipeline; a network by itself has one input, X. "
            "Leave them out."
        )
    return estimator.to_onnx(path, target_opset=target_opset)


def register() -> None:
    """Register the converters of BCDClassifier and BCDRegressor with skl2onnx.

    :func:`to_onnx` does so for Pipelines; this is for those who call
    ``skl2onnx.to_onnx`` themselves.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    """
    register_class(BCDClassifier, _network_and_task, classifies=True)
    register_class(BCDRegressor, _network_and_task, classifies=False)


def _network_and_task(estimator: Any) -> tuple[Network, Task]:
    return estimator.network_, estimator.task_


def _convert_pipeline(
    pipeline: Any, opset: int, initial_types: Sequence[tuple[str, Any]] | None
) -> Any:
    """Return a fitted Pipeline that ends in one of our estimators as an ONNX model."""
    skl2onnx = import_skl2onnx()
    last = pipeline[-1]
    if not isinstance(last, BCDClassifier | BCDRegressor):
        raise TypeError(
            f"The Pipeline ends in {type(last).__name__}; skl2onnx.to_onnx may convert it. Here it "
            "must end in a BCDClassifier or BCDRegressor."
        )
    register()
    if initial_types is None:
        columns = named_columns(pipeline)
        if columns is None:
            n_features = getattr(pipeline, "n_features_in_", last.n_features_in_)
            initial_types = [("X", number_type(last.network_, [None, n_features]))]
        else:
            initial_types = column_types(columns, last.network_)
    options = {id(last): {"zipmap": False}} if isinstance(last, BCDClassifier) else None
    return skl2onnx.convert_sklearn(
        pipeline, initial_types=list(initial_types), target_opset=opset, options=options
    )


def to_sklearn(estimator: Any) -> MLPClassifier | MLPRegressor:
    """Return scikit-learn's MLP with dense weights and the same predictions.

    ``predict``, ``predict_proba``, ``score`` and ``partial_fit`` work on it, and so do the tools
    that take an MLP, such as converters. Two classes share one logit there, the difference of ours.
    An encoding of the columns becomes one more hidden layer, two units for each ramp.

    Parameters
    ----------
    estimator : BCDClassifier or BCDRegressor
        Fitted, all hidden layers of one activation among identity, logistic, tanh and relu.

    Returns
    -------
    MLPClassifier or MLPRegressor
        Fitted. One output is predicted as (n,), also where ``estimator`` gives (n, 1).

    Raises
    ------
    ValueError
        For activations or class labels that scikit-learn's MLPs lack, and for networks that read
        columns through an encoding and have other activations than ReLU: train with
        ``encoding=None``.

    Warns
    -----
    ExportWarning
        With the hinge or the squared loss and one class per row: the predicted classes are the
        same, but ``predict_proba`` is the softmax of the outputs.
    """
    if not isinstance(estimator, BCDClassifier | BCDRegressor):
        raise TypeError(
            f"to_sklearn takes a BCDClassifier or BCDRegressor, not {type(estimator).__name__}."
        )
    return estimator.to_sklearn()


def to_torch(estimator: Any) -> torch.nn.Sequential:
    """Return the network as a ``torch.nn.Sequential`` of PyTorch's own modules.

    Its outputs are those of ``estimator.network_.forward``: the logits of a classifier, on which
    ``torch.nn.CrossEntropyLoss`` works (``argmax(1)`` is an index into ``estimator.classes_``), or
    the predictions of a regressor, (n, n_outputs).

    Low-rank layers become two linear layers, or two convolutions, so that they stay small and
    fast. All others become dense: PyTorch has no modules for them. Training goes on with all of
    their weights.

    An encoding of columns becomes a ``torch.fx.GraphModule``, whose ramps are not trained.
    :func:`fastbcd.compress` cannot read it back.

    The inputs of convolutions are rows too, pixel by pixel with the channels of a pixel together.
    Where there are several channels, ``torch.nn.ChannelShuffle`` transposes pixels and channels:
    PyTorch keeps the numbers of a channel together.

    Parameters
    ----------
    estimator : BCDClassifier or BCDRegressor
        Fitted.

    Returns
    -------
    torch.nn.Sequential
        In evaluation mode, of the type of the network's numbers.

    Raises
    ------
    ImportError
        If PyTorch is not installed: ``pip install 'fastbcd[torch]'``.
    """
    if not isinstance(estimator, BCDClassifier | BCDRegressor):
        raise TypeError(
            f"to_torch takes a BCDClassifier or BCDRegressor, not {type(estimator).__name__}."
        )
    return estimator.to_torch()
