"""How a fitted estimator leaves Python: the methods that save and export it."""

from __future__ import annotations

from abc import abstractmethod
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.validation import check_is_fitted

from fastbcd.estimators.saved import saved_estimator
from fastbcd.io.export.c.header import write_c
from fastbcd.io.export.onnx.model import OPSET, check_opset, onnx_model
from fastbcd.io.export.sklearn import sklearn_mlp
from fastbcd.io.export.torch import torch_module
from fastbcd.io.storage.document import write_document
from fastbcd.network.network import Network
from fastbcd.network.tasks import Task
from fastbcd.utils.files import write_atomic

if TYPE_CHECKING:
    import onnx
    import torch


class Deployable:
    """The methods that save and export a fitted network."""

    network_: Network
    n_iter_: int
    best_iter_: int
    random_state: int | np.random.RandomState | None
    feature_names_in_: NDArray[Any]

    saved_as: ClassVar[str | None] = None
    """Name of the class in a file; None for classes that a file does not know."""

    @property
    @abstractmethod
    def task_(self) -> Task:
        """What the outputs of the fitted network mean."""

    @abstractmethod
    def _check_inputs(self, X: ArrayLike) -> Any:
        """Return new inputs, checked: an array or a CSR matrix."""

    def save(self, path: str | PathLike[str]) -> None:
        """Write the estimator to a file, from which :func:`fastbcd.load` reads it back.

        See :func:`fastbcd.storage.save` for the file and the errors.

        Parameters
        ----------
        path : str or path
            File to write, by custom ``*.safetensors``. An older one is replaced at once when the
            new one is complete.
        """
        write_atomic(path, write_document(saved_estimator(self)))

    def to_onnx(
        self, path: str | PathLike[str] | None = None, *, target_opset: int = OPSET
    ) -> onnx.ModelProto:
        """Return the estimator as an ONNX model, and write it to ``path`` if one is given.

        See :func:`fastbcd.export.to_onnx` for inputs, outputs and errors.

        Parameters
        ----------
        path : str or path, optional
            File to write.
        target_opset : int, default=17
            Version of the operators, at least 13.
        """
        opset = check_opset(target_opset)
        check_is_fitted(self)
        model = onnx_model(self.network_, self.task_, opset)
        if path is not None:
            write_atomic(path, model.SerializeToString())
        return model

    def to_c(
        self,
        path: str | PathLike[str],
        *,
        arithmetic: str = "float",
        name: str | None = None,
        X: ArrayLike | None = None,
        allow_dense: bool = False,
    ) -> None:
        """Write the estimator as one C99 header without dependencies.

        See :func:`fastbcd.export.to_c` for the options and the functions of the header.

        Parameters
        ----------
        path : str or path
            File to write.
        arithmetic : {"float", "int8"}, default="float"
            Type of the numbers in C.
        name : str, optional
            What all names in the header begin with.
        X : (n_samples, n_features) array, optional
            Rows like those that the network will see; "int8" needs them.
        allow_dense : bool, default=False
            Write a matrix that has no compressed form in C with all its entries.
        """
        check_is_fitted(self)
        rows = None if X is None else self._check_inputs(X)
        write_c(
            self.network_,
            self.task_,
            path,
            arithmetic=arithmetic,
            name=name,
            X=rows,
            allow_dense=allow_dense,
        )

    def to_torch(self) -> torch.nn.Sequential:
        """Return the network as a ``torch.nn.Sequential``; see :func:`fastbcd.export.to_torch`."""
        check_is_fitted(self)
        return torch_module(self.network_)

    def to_sklearn(self) -> MLPClassifier | MLPRegressor:
        """Return scikit-learn's MLP with the same predictions.

        See :func:`fastbcd.export.to_sklearn` for what it can express.
        """
        check_is_fitted(self)
        return sklearn_mlp(
            self.network_,
            self.task_,
            random_state=self.random_state,
            feature_names=getattr(self, "feature_names_in_", None),
            n_iter=int(self.n_iter_),
        )
