"""Ways out of Python: ONNX, C, PyTorch and scikit-learn.

Each function takes a fitted estimator; the estimators have methods of the same names. The names
are imported on first use, and each needs its own library only when it is called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastbcd.io.export.c.header import to_c as to_c
    from fastbcd.io.export.onnx.model import to_onnx as to_onnx
    from fastbcd.io.export.sklearn import to_sklearn as to_sklearn
    from fastbcd.io.export.torch import to_torch as to_torch

_HOME = {
    "to_c": "fastbcd.io.export.c.header",
    "to_onnx": "fastbcd.io.export.onnx.model",
    "to_sklearn": "fastbcd.io.export.sklearn",
    "to_torch": "fastbcd.io.export.torch",
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
