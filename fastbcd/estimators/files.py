"""Save a fitted estimator in a small file that holds data alone, and load it.

What training left behind, such as ``objective_curve_``, is not saved.
"""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from fastbcd.estimators.classifier import BCDClassifier, BCDRegressor
from fastbcd.estimators.saved import restored_estimator, saved_estimator
from fastbcd.io.codecs.container import DamagedError
from fastbcd.io.storage.document import FAULTS, read_document, write_document
from fastbcd.utils.files import write_atomic

CLASSES: dict[str, type[Any]] = {cls.__name__: cls for cls in (BCDClassifier, BCDRegressor)}


def save(estimator: Any, path: str | PathLike[str]) -> None:
    """Write a fitted estimator to a file.

    Parameters
    ----------
    estimator : BCDClassifier or BCDRegressor
        What to save: network, classes, names of features, parameters and compression report.
    path : str or path
        File to write, by custom ``*.safetensors``. The file is complete or not there: an older one
        survives a full disk.

    Raises
    ------
    NotFittedError
        If there is nothing to save.
    TypeError
        For other estimators. Of a Pipeline, save the last step.
    ValueError
        For a parameter or class labels that a file without code cannot hold.
    OSError
        If the file cannot be written.

    See Also
    --------
    load : The way back.

    Examples
    --------
    >>> import tempfile, os
    >>> from sklearn.datasets import load_iris
    >>> from fastbcd import BCDClassifier, load
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = BCDClassifier((20,), random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clf.save(os.path.join(folder, "iris.safetensors"))
    ...     again = load(os.path.join(folder, "iris.safetensors"))
    >>> bool((again.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    write_atomic(path, to_bytes(estimator))


def load(path: str | PathLike[str]) -> Any:
    """Read an estimator that ``save`` wrote. Nothing that the file holds is executed.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    BCDClassifier or BCDRegressor
        Fitted: same predictions, same parameters. ``partial_fit`` goes on from its network.

    Raises
    ------
    ValueError
        If the file is damaged, of another kind, or written by a newer version; the message names
        it and says which.
    OSError
        If it cannot be read.
    """
    data = Path(path).read_bytes()
    try:
        return from_bytes(data)
    except DamagedError as error:
        raise ValueError(f"{fspath(path)} cannot be loaded: {error}.") from None


def to_bytes(estimator: Any) -> bytes:
    """Return what :func:`save` writes."""
    if isinstance(estimator, Pipeline):
        raise TypeError(
            "Only the network of a Pipeline can be saved: pipeline[-1].save(path). Keep the steps "
            "before it by other means, or export all of it by fastbcd.export.to_onnx(pipeline)."
        )
    return write_document(saved_estimator(estimator))


def from_bytes(data: bytes) -> Any:
    """Return the estimator that :func:`to_bytes` wrote.

    Raises
    ------
    DamagedError
        If it wrote no such thing.
    """
    try:
        return restored_estimator(read_document(data), CLASSES)
    except DamagedError:
        raise
    except FAULTS as error:
        # A hostile file can break what the checks did not foresee.
        raise DamagedError(f"it is damaged ({type(error).__name__}: {error})") from None
