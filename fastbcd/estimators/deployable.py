"""How a fitted estimator leaves Python: the methods that save and export it."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx
    import torch
    from sklearn.neural_network import MLPClassifier, MLPRegressor


class Deployable:
    """The methods that save and export; each loads what it needs when it is called."""

    def save(self, path: str | PathLike[str]) -> None:
        """Write the estimator to a file, from which :func:`fastbcd.load` reads it back.

        See :func:`fastbcd.io.storage.document.save` for the file and the errors.

        Parameters
        ----------
        path : str or path
            File to write, by custom ``*.safetensors``. An older one is replaced at once when the
            new one is complete.
        """
        from fastbcd.io.storage import document as storage

        storage.save(self, path)

    def to_onnx(self, path: str | PathLike[str] | None = None, **options: Any) -> onnx.ModelProto:
        """Return the estimator as an ONNX model, and write it to ``path`` if one is given.

        See :func:`fastbcd.export.to_onnx` for the options, the inputs and outputs, and the errors.

        Parameters
        ----------
        path : str or path, optional
            File to write.
        **options
            Options of :func:`fastbcd.export.to_onnx`.
        """
        from fastbcd.io.export.onnx.model import to_onnx

        return to_onnx(self, path, **options)

    def to_c(self, path: str | PathLike[str], **options: Any) -> Any:
        """Write the estimator as one C99 header without dependencies.

        See :func:`fastbcd.export.to_c` for the options and the functions of the header.

        Parameters
        ----------
        path : str or path
            File to write.
        **options
            Options of :func:`fastbcd.export.to_c`.
        """
        from fastbcd.io.export.c.header import to_c

        return to_c(self, path, **options)

    def to_torch(self) -> torch.nn.Sequential:
        """Return the network as a ``torch.nn.Sequential``; see :func:`fastbcd.export.to_torch`."""
        from fastbcd.io.export.torch import to_torch

        return to_torch(self)

    def to_sklearn(self) -> MLPClassifier | MLPRegressor:
        """Return scikit-learn's MLP with the same predictions.

        See :func:`fastbcd.export.to_sklearn` for what it can express.
        """
        from fastbcd.io.export.sklearn import to_sklearn

        return to_sklearn(self)
