"""Train small neural networks and compress them, on an ordinary CPU.

The public names are imported on first use: ``import fastbcd`` itself loads neither
scikit-learn nor SciPy nor Numba and takes a few milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastbcd._version import __version__ as __version__

if TYPE_CHECKING:
    from fastbcd import datasets as datasets
    from fastbcd import display as display
    from fastbcd import exceptions as exceptions
    from fastbcd import export as export
    from fastbcd import formats as formats
    from fastbcd import schemes as schemes
    from fastbcd.estimators import BCDClassifier as BCDClassifier
    from fastbcd.estimators import BCDRegressor as BCDRegressor
    from fastbcd.estimators.certify import certify as certify
    from fastbcd.estimators.certify import certify_difference as certify_difference
    from fastbcd.estimators.compress import compress as compress
    from fastbcd.estimators.files import load as load
    from fastbcd.estimators.robust import is_robust as is_robust
    from fastbcd.estimators.robust import robust_radius as robust_radius
    from fastbcd.utils.info import info as info
    from fastbcd.utils.warmup import warmup as warmup

_HOME = {
    "certify": "fastbcd.estimators.certify",
    "certify_difference": "fastbcd.estimators.certify",
    "compress": "fastbcd.estimators.compress",
    "BCDClassifier": "fastbcd.estimators",
    "BCDRegressor": "fastbcd.estimators",
    "info": "fastbcd.utils.info",
    "load": "fastbcd.estimators.files",
    "is_robust": "fastbcd.estimators.robust",
    "robust_radius": "fastbcd.estimators.robust",
    "warmup": "fastbcd.utils.warmup",
}
_MODULES = ("datasets", "display", "exceptions", "export", "formats", "schemes")

__all__ = [
    "BCDClassifier",
    "BCDRegressor",
    "__version__",
    "certify",
    "certify_difference",
    "compress",
    "datasets",
    "display",
    "exceptions",
    "export",
    "formats",
    "info",
    "is_robust",
    "load",
    "robust_radius",
    "schemes",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = import_module(f"fastbcd.{name}")
    else:
        raise AttributeError(
            f"module 'fastbcd' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
