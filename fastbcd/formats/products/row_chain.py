"""Matrices, biases and activations applied to one row in a single kernel call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbcd.utils.types import Float
from fastbcd_kernels.residual import add_bias_piecewise_linear
from fastbcd_kernels.row_chain import chain_row


class Workspace:
    """Named work arrays that are reused between calls."""

    def __init__(self) -> None:
        self._arrays: dict[Any, NDArray[Any]] = {}
        self.of_chains: dict[Chain, tuple[NDArray[Any], ...]] = {}

    def get(self, name: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the array ``name`` with this shape, reusing the first rows of a larger one."""
        array = self._arrays.get(name)
        if array is None or len(array) < shape[0] or array.shape[1:] != shape[1:]:
            array = self._arrays[name] = np.empty(shape, dtype)
        return array if len(array) == shape[0] else array[: shape[0]]


class SparseArrays(NamedTuple):
    """A sparse matrix in the form that the kernels read.

    ``values`` holds the non-zeros, or the codebook if ``codes`` is not empty. ``places`` holds the
    column of each non-zero in row-major order, or its row in column-major order. ``starts`` holds
    the index of the first non-zero of each row or column, and the number of non-zeros at the end.
    ``scale`` holds one factor per column, or is empty.
    """

    values: Float
    codes: NDArray[Any]
    places: NDArray[Any]
    starts: NDArray[np.uint64]
    scale: Float

    def by_column(self, n_out: int) -> SparseArrays:
        """Return the same matrix in column-major order; this one must be in row-major order."""
        n_in = self.starts.size - 1
        order = np.argsort(self.places, kind="stable")
        lengths = np.diff(self.starts).astype(np.intp)
        rows = np.repeat(np.arange(n_in), lengths)[order]
        coded = self.codes.size > 0
        return SparseArrays(
            self.values if coded else self.values[order],
            self.codes[order] if coded else self.codes,
            rows.astype(_place_type(n_in)),
            starts_of(np.bincount(self.places, minlength=n_out)),
            self.scale,
        )


def _place_type(n: int) -> type[np.unsignedinteger[Any]]:
    """Return the index type for ``n`` positions; nearly all share uint16, compiled once."""
    return np.uint16 if n <= 1 << 16 else np.uint32


def starts_of(lengths: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the start of each run, given the lengths, and the end of the last run."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.uint64)]).astype(np.uint64)


class Link(NamedTuple):
    """A matrix of a chain.

    Parameters
    ----------
    matrix : array or SparseArrays
        A dense matrix, or the non-zeros in row-major order.
    shape : (n_in, n_out)
        Shape of the matrix.
    most : float
        Maximum number of non-zeros in a row; BLAS multiplies rows with more.
    dense : callable
        Returns the dense matrix for BLAS.
    """

    matrix: Float | SparseArrays
    shape: tuple[int, int]
    most: float
    dense: Callable[[], Float]

    @property
    def size(self) -> int:
        """Number of stored entries of the matrix."""
        return (
            self.matrix.places.size if isinstance(self.matrix, SparseArrays) else self.matrix.size
        )


class Chain:
    """The function x -> sigma_k(.. sigma_1(x W_1 + b_1) .. W_k + b_k) of one row.

    Parameters
    ----------
    links : sequence of Link
        The matrices. A single dense matrix is used without a copy; others are copied.
    biases : sequence of (n_out,) array or None
        Intercepts b; None for zeros.
    slopes : sequence of float
        Slopes of the activations for negative arguments.

    Attributes
    ----------
    arrays : tuple of arrays
        What the kernel reads: a table with a line per matrix, slopes, values, codes, places,
        starts, and shifts.
    """

    def __init__(
        self, links: Sequence[Link], biases: Sequence[Float | None], slopes: Sequence[float]
    ) -> None:
        self._links, self._biases, self._slopes = links, biases, slopes
        values, codes, places, starts, shifts = (_Pile() for _ in range(5))
        table = np.full((len(links), 9), -1, np.int64)
        for row, link, bias in zip(table, links, biases, strict=True):
            row[:3] = *link.shape, min(link.most, link.shape[0])
            one = link.matrix
            if isinstance(one, SparseArrays):
                row[3] = values.add(one.values)
                if one.codes.size:
                    row[4] = codes.add(one.codes)
                row[5] = places.add(one.places)
                row[6] = starts.add(one.starts)
                if one.scale.size:
                    row[7] = shifts.add(one.scale)
            else:
                row[3] = values.add(one.reshape(-1))
            if bias is not None:
                row[8] = shifts.add(bias)
        self._widths = [link.shape[1] for link in links]
        self._length = len(links)
        widest = max(max(link.shape) for link in links)
        dtype = values.arrays[0].dtype
        self.arrays = (
            table,
            np.array(slopes, dtype),
            values.joined(dtype),
            codes.joined(np.result_type(np.uint8, *codes.arrays)),
            places.joined(_place_type(widest)),
            starts.joined(np.uint64),
            shifts.joined(dtype),
        )

    def __call__(self, x: Float, out: Float, space: Workspace) -> None:
        """Write the output for the row ``x``."""
        arrays: Any = space.of_chains.get(self)
        if arrays is None:
            arrays = space.of_chains[self] = (*self.arrays, *self._work())
        rest: Any = (*arrays, out)
        done = chain_row(x, 0, *rest)
        while done < self._length:
            work = arrays[-1]
            v = x if done == 0 else work[done - 1, : self._widths[done - 1]]
            to = out if done == self._length - 1 else work[done, : self._widths[done]]
            self._leave_to_blas(done, v, to)
            done = chain_row(to, done + 1, *rest)

    def _work(self) -> tuple[NDArray[Any], NDArray[Any]]:
        listed = max(link.shape[0] for link in self._links) + 1
        work = np.empty((self._length, max(self._widths)), self.arrays[1].dtype)
        return np.empty(listed, np.uint64), work

    def _leave_to_blas(self, k: int, v: Float, to: Float) -> None:
        bias = self._biases[k]
        np.dot(v, self._links[k].dense(), out=to)
        if bias is not None or self._slopes[k] != 1:
            bias = np.zeros(to.size, to.dtype) if bias is None else bias
            add_bias_piecewise_linear(to[None], bias, self._slopes[k])


class _Pile:
    """Arrays to be concatenated into one buffer."""

    def __init__(self) -> None:
        self.arrays: list[NDArray[Any]] = []
        self._size = 0

    def add(self, array: NDArray[Any]) -> int:
        """Add an array; return its offset in the buffer."""
        self.arrays.append(array)
        self._size += array.size
        return self._size - array.size

    def joined(self, dtype: Any) -> NDArray[Any]:
        """Return the concatenated arrays.

        A single array of the right dtype is not copied unless it is read-only: the kernels would
        have to be compiled again for read-only arrays.
        """
        if not self.arrays:
            return np.empty(0, dtype)
        first = self.arrays[0]
        if len(self.arrays) == 1 and first.dtype == dtype and first.flags.writeable:
            return first
        return np.concatenate(self.arrays, dtype=dtype, casting="same_kind")
