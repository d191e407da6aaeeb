"""Warnings that point at the line of the user, whatever lies between."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import sklearn

OURS = str(Path(__file__).parents[1]) + os.sep
SKLEARN = str(Path(sklearn.__file__).parent) + os.sep
JOBLIB = f"{os.sep}joblib{os.sep}"
"""Part of the path of joblib, which calls estimators on behalf of scikit-learn."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the nearest line that belongs neither to the package nor to scikit-learn or joblib.

    A fit inside a Pipeline or a search is several frames away from the line that asked for it.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_between(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level + 1)


def _is_between(file: str) -> bool:
    return file.startswith((OURS, SKLEARN)) or JOBLIB in file
