"""Warnings that point to the user's line of code."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import sklearn

OURS = str(Path(__file__).parents[1]) + os.sep
SKLEARN = str(Path(sklearn.__file__).parent) + os.sep
JOBLIB = f"{os.sep}joblib{os.sep}"
"""Part of the paths of joblib, through which scikit-learn calls estimators."""


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning at the nearest line outside this package, scikit-learn and joblib.

    Inside a Pipeline or a search, the user's call is several frames above the fit.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_between(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level + 1)


def _is_between(file: str) -> bool:
    return file.startswith((OURS, SKLEARN)) or JOBLIB in file
