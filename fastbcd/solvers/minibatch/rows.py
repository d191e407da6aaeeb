"""Sources of rows: arrays, memory maps, sparse matrices, and any object with row slices.

A source returns blocks of rows in random order. Rows in memory are shuffled one by one. Other rows
are read in runs of consecutive rows: the runs come in random order, and the rows of many runs are
mixed. The disk thus sees long reads, and memory holds one pool of runs for any number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from fastbcd.network.scaling import Scaling
from fastbcd.utils.types import Float

Indices: TypeAlias = NDArray[np.int64]
Block: TypeAlias = tuple[Float, Float, Float]
"""Inputs (m, d), targets (m, k) and relative sample weights (m,)."""

RUN = 256
"""Number of consecutive rows read at once if the data are not in memory. A number of the
machine."""

POOL_BYTES = 1 << 25
"""Size of the pool in which rows of many runs are mixed. A number of the machine: memory."""


class RowSource(Protocol):
    """Inputs other than arrays: any object with a shape and slices of rows."""

    shape: tuple[int, int]

    def __getitem__(self, rows: slice) -> Any:
        """Return the rows as something that NumPy turns into an array."""
        ...


class Rows:
    """Training data, one block of shuffled rows at a time.

    Parameters
    ----------
    x : (n, d) array, memory map, SciPy sparse array or RowSource
        Inputs. They are converted block by block.
    y : (n,) integer array, or (n, k) array
        Class numbers, or targets.
    sample_weight : (n,) array or None
        Non-negative weights; :meth:`read` returns them relative to their mean.
    n_out : int
        Number of outputs of the network: the number of classes, or k.
    dtype : dtype
        Type of the blocks: float32 or float64.
    scaling : Scaling, optional
        Shift and scale of the targets.
    """

    def __init__(
        self,
        x: Any,
        y: NDArray[Any],
        sample_weight: NDArray[Any] | None,
        n_out: int,
        dtype: np.dtype[Any],
        scaling: Scaling | None = None,
    ) -> None:
        self.sparse: bool = issparse(x)
        self.x: Any = x.tocsr() if self.sparse else x
        self.y: NDArray[Any] = y
        self.n_out: int = n_out
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.n: int = x.shape[0]
        self.d: int = x.shape[1]
        self.in_memory: bool = self.sparse or (
            isinstance(x, np.ndarray) and not isinstance(_owner(x), np.memmap)
        )
        mean = 1.0 if sample_weight is None else float(np.mean(sample_weight, dtype=np.float64))
        self.scale: float = 1.0 / mean if mean > 0 else 1.0
        self.sample_weight = sample_weight
        self.scaling = scaling

    def inputs(self, rows: slice | Indices) -> Float:
        """Return new, dense, contiguous inputs of ``rows``."""
        part = self.x[rows]
        dense = part.toarray() if self.sparse else np.asarray(part)
        return np.array(dense, dtype=self.dtype, order="C")

    def targets(self, rows: slice | Indices) -> Float:
        """Return targets (m, k) of ``rows``; class numbers become indicators."""
        part = np.asarray(self.y[rows])
        if part.ndim == 2:
            if self.scaling is not None:
                part = (part - self.scaling.shift) / self.scaling.factor
            return np.ascontiguousarray(part, dtype=self.dtype)
        indicators = np.zeros((part.size, self.n_out), self.dtype)
        indicators[np.arange(part.size), part] = 1
        return indicators

    def weights(self, rows: slice | Indices) -> Float:
        """Return weights (m,) of ``rows``, relative to the mean over all rows."""
        if self.sample_weight is None:
            count = rows.stop - rows.start if isinstance(rows, slice) else rows.size
            return np.ones(count, self.dtype)
        part = np.asarray(self.sample_weight[rows], np.float64) * self.scale
        return part.astype(self.dtype)

    def read(self, rows: slice | Indices) -> Block:
        """Return the block of ``rows``."""
        return self.inputs(rows), self.targets(rows), self.weights(rows)

    def shuffled(self, rng: np.random.Generator, size: int) -> Iterator[Block]:
        """Yield all rows once, in blocks of ``size`` in random order (the last one shorter)."""
        if self.in_memory:
            for rows in shuffled_indices(self.n, rng, size):
                yield self.read(rows)
            return
        starts = np.arange(0, self.n, RUN)
        rng.shuffle(starts)
        row_bytes = (self.d + self.n_out) * self.dtype.itemsize
        pool = max(1, POOL_BYTES // (RUN * row_bytes), -(-size // RUN))
        rest: Block | None = None
        for first in range(0, starts.size, pool):
            runs = [
                self.read(slice(int(lo), min(int(lo) + RUN, self.n)))
                for lo in np.sort(starts[first : first + pool])
            ]
            if rest is not None:
                runs.append(rest)
            mixed = [np.concatenate(parts) for parts in zip(*runs, strict=True)]
            order = rng.permutation(mixed[0].shape[0])
            last = first + pool >= starts.size
            full = order.size if last else order.size - order.size % size
            for lo in range(0, full, size):
                chosen = order[lo : min(lo + size, full)]
                yield mixed[0][chosen], mixed[1][chosen], mixed[2][chosen]
            left = order[full:]
            rest = (mixed[0][left], mixed[1][left], mixed[2][left]) if left.size else None

    def sample(self, rng: np.random.Generator, size: int) -> Block:
        """Return about ``size`` random rows, or all rows if there are fewer."""
        if self.n <= size:
            return self.read(slice(0, self.n))
        if self.in_memory:
            return self.read(np.sort(rng.choice(self.n, size, replace=False)))
        run = min(32, self.n)  # short runs, because neighbours are often similar
        starts = np.sort(rng.choice(-(-self.n // run), max(1, size // run), replace=False)) * run
        parts = [self.read(slice(int(lo), min(int(lo) + run, self.n))) for lo in starts]
        x, y, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
        return x, y, weight


def shuffled_indices(n: int, rng: np.random.Generator, size: int) -> Iterator[Indices]:
    """Yield the numbers below ``n`` in random order, ``size`` at a time."""
    order = rng.permutation(n)
    for lo in range(0, n, size):
        yield order[lo : lo + size]


def _owner(x: NDArray[Any]) -> Any:
    """Return the array that ``x`` is a view of; it shows whether views hide a memory map."""
    base: Any = x
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        if base.base is None:
            break
        base = base.base
    return base
