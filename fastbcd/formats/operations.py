"""Operations on stored matrices other than the matrix product.

Each operation dispatches on the class of the matrix. The default converts to a dense matrix, which
is correct for every format. A format that can be preserved registers its own version in its own
module. Solvers and exporters call the operation and never test the class.
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
def spread_inputs(matrix: Any, index: Index, n_in: int) -> Format:
    """Return the matrix of ``n_in`` rows whose rows ``index`` are those of W, the others zero."""
    dense = matrix.to_dense()
    spread = np.zeros((n_in, dense.shape[1]), dense.dtype)
    spread[index] = dense
    return DenseMatrix(spread)


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
    """Return matrices whose product, in order, is W.

    A factored format returns thin factors if they have fewer entries than W. Every other matrix
    returns W itself, dense, as its only factor.
    """
    return [matrix.to_dense()]


@singledispatch
def cores_of(matrix: Any) -> tuple[Float, ...] | None:
    """Return the cores of a tensor train; None for every other format."""
    return None


@singledispatch
def summands(matrix: Any) -> list[Format]:
    """Return the matrices whose sum is W; a matrix that is not a sum is its only summand."""
    return [matrix]
