"""Aliases for array types in signatures."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.floating[Any]]
"""A float32 or float64 array."""

Float64: TypeAlias = NDArray[np.float64]
"""A float64 array."""
