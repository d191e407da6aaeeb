"""Weights of each format as ONNX: stored small, and decoded by standard nodes.

The nodes depend on constants alone, so a runtime that folds constants decodes the weights once,
when it loads the model, and computes as fast as with dense ones. Nothing newer than opset 13 is
used.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import (
    CodebookMatrix,
    CodebookSparseMatrix,
    CodebookTrainMatrix,
    Format,
    LowRankMatrix,
    SparseMatrix,
    SumMatrix,
    TensorTrainMatrix,
)
from fastbcd.io.codecs.streams import ESCAPE, to_gaps
from fastbcd.io.export.onnx.graph import Graph
from fastbcd.utils.types import Float


def affine(graph: Graph, x: str, matrix: Format, intercept: Float) -> str:
    """Add ``x @ W + intercept`` and return its name."""
    *thin, (weight, _) = factors(graph, matrix)
    for left, _ in thin:
        x = graph.node("MatMul", x, left)
    return graph.node("Gemm", x, weight, graph.constant(intercept))


def factors(graph: Graph, matrix: Format) -> list[tuple[str, int]]:
    """Add the matrices to multiply by one after the other; return their names and columns.

    These are two thin factors where they take less than their product, or the dense W.
    """
    thin = _thin(matrix, graph)
    n_out = matrix.shape[1]
    if thin is None:
        return [(_weight(matrix, graph), n_out)]
    left, rank, right = thin
    return [(left, rank), (right, n_out)]


@singledispatch
def _weight(matrix: Any, graph: Graph) -> str:
    """Add the dense W (n_in, n_out), decoded from the constants of its format.

    A format without nodes of its own is stored dense.
    """
    return graph.constant(matrix.to_dense())


@_weight.register
def _sparse(matrix: SparseMatrix, graph: Graph) -> str:
    gaps = to_gaps(matrix.columns, matrix.row_lengths, matrix.shape[1])
    # An escape ends on a zero.
    values = np.zeros(gaps.size, matrix.dtype)
    values[gaps != ESCAPE] = matrix.values
    return _scattered(graph, graph.constant(gaps, np.uint8), graph.constant(values), matrix.shape)


@_weight.register
def _codebook_sparse(matrix: CodebookSparseMatrix, graph: Graph) -> str:
    gaps = to_gaps(matrix.columns, matrix.row_lengths, matrix.shape[1])
    escapes = gaps == ESCAPE
    codes = np.zeros(gaps.size, matrix.codes.dtype)
    codes[~escapes] = matrix.codes
    stored = graph.constant(gaps, np.uint8)
    values = _looked_up(graph, codes, matrix.codebook)
    if escapes.any():
        last = graph.constant(ESCAPE - 1, np.int32)
        at_escape = graph.node("Greater", graph.cast(stored, np.int32), last)
        values = graph.node("Where", at_escape, graph.constant(0), values)
    return _scaled(graph, _scattered(graph, stored, values, matrix.shape), matrix.scale)


def _scattered(graph: Graph, gaps: str, values: str, shape: tuple[int, int]) -> str:
    """Add the matrix whose non-zeros follow after ``gaps`` zeros each."""
    # A gap below 255 moves on by one more, to the non-zero; an escape by 255 zeros.
    one, most = graph.constant(1, np.int64), graph.constant(ESCAPE, np.int64)
    steps = graph.node("Min", graph.node("Add", graph.cast(gaps, np.int64), one), most)
    places = graph.node("Sub", graph.node("CumSum", steps, graph.constant(0, np.int64)), one)
    zero = graph.onnx.numpy_helper.from_array(np.zeros(1, graph.dtype))
    size = graph.constant([shape[0] * shape[1]], np.int64)
    zeros = graph.node("ConstantOfShape", size, value=zero)
    return graph.reshape(graph.node("ScatterElements", zeros, places, values, axis=0), *shape)


@_weight.register
def _codebook(matrix: CodebookMatrix, graph: Graph) -> str:
    values = _looked_up(graph, matrix.codes.reshape(-1), matrix.codebook)
    return _scaled(graph, graph.reshape(values, *matrix.shape), matrix.scale)


def _looked_up(graph: Graph, codes: NDArray[Any], codebook: Float) -> str:
    """Add ``codebook[codes]``, the codes stored as digits of bytes to the base of their number.

    With 16 levels a byte holds two codes, with 3 it holds five.
    """
    base = max(codebook.size, 2)
    n_digits = 1
    while base ** (n_digits + 1) <= 256:
        n_digits += 1
    if n_digits == 1:
        index = graph.cast(graph.constant(codes, codes.dtype), np.int32)
    else:
        powers = base ** np.arange(n_digits)
        padded = np.zeros((-(-codes.size // n_digits), n_digits), np.int64)
        padded.reshape(-1)[: codes.size] = codes
        digits = graph.constant(padded @ powers, np.uint8)
        column = graph.reshape(graph.cast(digits, np.int32), -1, 1)
        high = graph.node("Div", column, graph.constant(powers, np.int32))
        index = graph.node("Mod", high, graph.constant(base, np.int32))
        index = graph.reshape(index, -1)
        if padded.size > codes.size:
            ends = (graph.constant([bound], np.int64) for bound in (0, codes.size))
            index = graph.node("Slice", index, *ends)
    return graph.node("Gather", graph.constant(codebook), index)


def _scaled(graph: Graph, weight: str, scale: Float | None) -> str:
    return weight if scale is None else graph.node("Mul", weight, graph.constant(scale))


@_weight.register
def _sum(matrix: SumMatrix, graph: Graph) -> str:
    total = _weight(matrix.parts[0], graph)
    for part in matrix.parts[1:]:
        total = graph.node("Add", total, _weight(part, graph))
    return total


@_weight.register
def _low_rank(matrix: LowRankMatrix, graph: Graph) -> str:
    return graph.node("MatMul", graph.constant(matrix.left), graph.constant(matrix.right))


@_weight.register(TensorTrainMatrix)
@_weight.register(CodebookTrainMatrix)
def _train(matrix: TensorTrainMatrix | CodebookTrainMatrix, graph: Graph) -> str:
    return graph.reshape(_chain(graph, _cores(matrix, graph)), *matrix.shape)


Core = tuple[str, int, int]
"""A core: its name, its mode and its second rank. It is stored as (r_{k-1}, m_k r_k)."""


@singledispatch
def _cores(matrix: Any, graph: Graph) -> list[Core]:
    """Add the cores of a train."""
    raise TypeError(f"{type(matrix).__name__} has no cores.")


@_cores.register
def _plain_cores(matrix: TensorTrainMatrix, graph: Graph) -> list[Core]:
    cores: list[Core] = []
    for entries in matrix.cores:
        rows, mode, columns = entries.shape
        cores.append((graph.constant(entries.reshape(rows, -1)), mode, columns))
    return cores


@_cores.register
def _coded_cores(matrix: CodebookTrainMatrix, graph: Graph) -> list[Core]:
    cores: list[Core] = []
    start = 0
    for k, mode in enumerate(matrix.modes):
        rows, columns = matrix.ranks[k], matrix.ranks[k + 1]
        codes = matrix.codes[start : start + rows * mode * columns]
        start += codes.size
        core = graph.reshape(_looked_up(graph, codes, matrix.codebook), rows, mode * columns)
        cores.append((core, mode, columns))
    name, mode, columns = cores[-1]
    scaled = graph.node("Mul", name, graph.constant(matrix.scale))
    return [*cores[:-1], (scaled, mode, columns)]


def _chain(graph: Graph, cores: list[Core]) -> str:
    """Add the product of neighbouring cores, its last rank as columns."""
    product = graph.reshape(cores[0][0], -1, cores[0][2])
    for name, _, columns in cores[1:]:
        product = graph.reshape(graph.node("MatMul", product, name), -1, columns)
    return product


@singledispatch
def _thin(matrix: Any, graph: Graph) -> tuple[str, int, str] | None:
    """Add two thin factors of W and tell their rank, if they take fewer products than W."""
    return None


@_thin.register
def _thin_product(matrix: LowRankMatrix, graph: Graph) -> tuple[str, int, str] | None:
    if not matrix.is_thin:
        return None
    return graph.constant(matrix.left), matrix.rank, graph.constant(matrix.right)


@_thin.register(TensorTrainMatrix)
@_thin.register(CodebookTrainMatrix)
def _thin_train(
    matrix: TensorTrainMatrix | CodebookTrainMatrix, graph: Graph
) -> tuple[str, int, str] | None:
    n_in, n_out = matrix.shape
    cuts = np.flatnonzero(np.cumprod(matrix.modes) == n_in)
    if not cuts.size or int(cuts[0]) + 1 == len(matrix.modes):
        return None
    cut = int(cuts[0]) + 1
    rank = matrix.ranks[cut]
    if rank * (n_in + n_out) >= n_in * n_out:
        return None
    cores = _cores(matrix, graph)
    right = graph.reshape(_chain(graph, cores[cut:]), rank, n_out)
    return _chain(graph, cores[:cut]), rank, right
