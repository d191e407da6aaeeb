"""Ways out of Python: ONNX, C, PyTorch and scikit-learn.

Each function takes a fitted estimator; the estimators have methods of the same names. The names
are imported on first use, and each needs its own library only when it is called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastbcd.estimators.exports import to_c as to_c
    from fastbcd.estimators.exports import to_onnx as to_onnx
    from fastbcd.estimators.exports import to_sklearn as to_sklearn
    from fastbcd.estimators.exports import to_torch as to_torch

_HOME = {
    "to_c": "fastbcd.estimators.exports",
    "to_onnx": "fastbcd.estimators.exports",
    "to_sklearn": "fastbcd.estimators.exports",
    "to_torch": "fastbcd.estimators.exports",
}
__all__ = ["to_c", "to_onnx", "to_sklearn", "to_torch"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(
            f"module 'fastbcd.export' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
