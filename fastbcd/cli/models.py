"""Models that the command line reads and writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline

from fastbcd import storage
from fastbcd.cli.messages import tell
from fastbcd.estimators import BCDClassifier, BCDRegressor

PICKLES = (".pkl", ".pickle", ".joblib")

TORCH = (".pt", ".pth")

OTHERS = {".onnx": "ONNX", ".h": "a C header", **dict.fromkeys(TORCH, "a PyTorch file")}
"""Endings of what ``fastbcd export`` writes."""

NETWORKS = (BCDClassifier, BCDRegressor, MLPClassifier, MLPRegressor)


def read_model(path: str, allow_pickle: bool) -> Any:
    """Return a saved network, or a pickled one if that is allowed.

    Parameters
    ----------
    path : str
        What ``fit`` or ``compress`` wrote; with ``allow_pickle`` also a scikit-learn MLP in a
        ``.pkl`` or ``.joblib``, or a whole ``torch.nn.Sequential`` in a ``.pt``.
    allow_pickle : bool
        Whether a pickle may be opened, which can run any code.

    Raises
    ------
    ValueError
        For a pickle that is not allowed, a file that is no model, or a model of which no file
        can hold the compressed version.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in PICKLES + TORCH:
        return storage.load(path)
    if not os.path.exists(path):
        raise FileNotFoundError(2, "No such file", path)
    if not allow_pickle:
        raise ValueError(
            f"{path} is a pickle, which can run any code when it is opened. If you trust whoever "
            "made it, add --allow-pickle."
        )
    if suffix in TORCH:
        return _read_torch(path)
    import joblib

    try:
        model = joblib.load(path)
    except Exception as error:  # a pickle can raise anything
        raise ValueError(f"{path} cannot be opened: {type(error).__name__}: {error}") from None
    _check_savable(path, model)
    return model


def _read_torch(path: str) -> Any:
    import torch

    try:
        model = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise ValueError(f"{path} cannot be opened: {type(error).__name__}: {error}") from None
    if not isinstance(model, torch.nn.Module):
        raise ValueError(
            f"{path} holds a {type(model).__name__}, not a network: weights alone do not say what "
            "is computed with them. Write the whole module by torch.save(model, path)."
        )
    return model.eval()


def _check_savable(path: str, model: Any) -> None:
    """Refuse, before any work, what could not be saved after it."""
    if isinstance(model, NETWORKS):
        return
    kind = type(model).__name__
    if isinstance(model, Pipeline):
        raise ValueError(
            f"{path} is a Pipeline; the file that compress writes holds one network without the "
            "steps before it. In Python, fastbcd.compress(pipeline, X) returns a Pipeline; or "
            "store pipeline[-1], and the table as pipeline[:-1].transform(X) returns it."
        )
    inner = next((name for name in ("best_estimator_", "regressor_") if hasattr(model, name)), None)
    advice = f" Store its {inner}, if that is one." if inner else ""
    raise ValueError(
        f"{path} is a {kind}. compress takes a network: BCDClassifier, BCDRegressor, "
        f"MLPClassifier or MLPRegressor.{advice}"
    )


def check_output(path: str) -> None:
    """Refuse, before any work, a network's file that could not be written after it.

    Raises
    ------
    ValueError
        For an ending of another kind of file.
    OSError
        For a folder that is not there or cannot be written to.
    """
    suffix = Path(path).suffix.lower()
    if suffix in OTHERS:
        raise ValueError(
            f"--output {path}: this command writes *.safetensors. For {OTHERS[suffix]}, run "
            f"fastbcd export on that file."
        )
    if suffix in PICKLES:
        raise ValueError(f"--output {path}: this command writes *.safetensors, not pickles.")
    check_folder(path)


def check_folder(path: str) -> None:
    """Refuse a file whose folder is not there or cannot be written to."""
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"Cannot write {path!r}: the folder {folder!r} does not exist. Nothing was done."
        )
    if os.path.isdir(path):
        raise IsADirectoryError(f"Cannot write {path!r}: it is a folder. Nothing was done.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"Cannot write {path!r}: the folder {folder!r} cannot be written to. Nothing was done."
        )


def save(estimator: Any, path: str, quiet: bool) -> None:
    """Save, and print the report and the bytes on disk."""
    storage.save(estimator, path)
    tell(estimator.compression_report_, quiet)
    tell(f"{path}: {Path(path).stat().st_size} bytes", quiet)


def n_hidden_layers(model: Any) -> int:
    """Return the number of hidden layers of weights."""
    if hasattr(model, "network_"):
        return len(model.network_.layers) - 1
    if hasattr(model, "coefs_"):
        return len(model.coefs_) - 1
    return sum(type(part).__name__ in ("Linear", "Conv2d") for part in model.modules()) - 1
