"""What can be done to a stored matrix besides multiplying by it.

Each operation dispatches on the class of the matrix. The default goes through the dense matrix,
which is right for every format; a format that can keep its form registers a version of its own,
in its own file. A solver or an exporter asks for the operation and never for the class.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.dense import DenseMatrix
from fastbcd.formats.protocol import Format
from fastbcd.utils.types import Float

Index: TypeAlias = NDArray[np.intp]


@singledispatch
def take_inputs(matrix: Any, index: Index) -> Format:
    """Return the rows ``index`` of a matrix (n_in, n_out)."""
    return DenseMatrix(np.ascontiguousarray(matrix.to_dense()[index]))


@singledispatch
def take_outputs(matrix: Any, index: Index) -> Format:
    """Return the columns ``index`` of a matrix (n_in, n_out)."""
    return DenseMatrix(np.ascontiguousarray(matrix.to_dense()[:, index]))


@singledispatch
def scale_inputs(matrix: Any, factor: Float) -> Format:
    """Return diag(factor) W for a matrix W (n_in, n_out) and ``factor`` (n_in,)."""
    return DenseMatrix(matrix.to_dense() * factor[:, None])


@singledispatch
def scale_outputs(matrix: Any, factor: Float) -> Format:
    """Return W diag(factor) for a matrix W (n_in, n_out) and ``factor`` (n_out,)."""
    return DenseMatrix(matrix.to_dense() * factor)


@singledispatch
def factors(matrix: Any) -> list[Float]:
    """Return matrices whose product is W, one after another: thin ones if they are fewer numbers.

    A format that is no product is one factor, its dense matrix.
    """
    return [matrix.to_dense()]


@singledispatch
def cores_of(matrix: Any) -> tuple[Float, ...] | None:
    """Return the cores of a tensor train, None for other formats."""
    return None


@singledispatch
def summands(matrix: Any) -> list[Format]:
    """Return the matrices whose sum is W; a format that is no sum is its only summand."""
    return [matrix]
