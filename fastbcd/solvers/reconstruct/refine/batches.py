"""Batches of rows in random order, as columns, with inputs dropped."""

from __future__ import annotations

import numpy as np

from fastbcd._types import Float
from fastbcd.solvers.reconstruct.refine.targets import Rows
from fastbcd_kernels import sparse_batch


class Batches:
    """Passes over some rows in random order.

    Parameters
    ----------
    x : (n, d) array
        Inputs.
    rows : integer array
        The rows to pass over.
    size : int
        Rows of a batch.
    drop : float
        Share of the entries that are set to zero, to a precision of 1 / 256.
    random_state : RandomState
        Order, and what is dropped.
    """

    def __init__(
        self, x: Float, rows: Rows, size: int, drop: float, random_state: np.random.RandomState
    ) -> None:
        self._x = x
        self._size = size
        self._dropped = round(256 * drop)
        self._order = random_state.permutation(rows)
        self._random_state = random_state
        # Random bytes by the million: this generator makes them ten times as fast.
        self._bytes = np.random.Generator(np.random.SFC64(random_state.randint(2**31 - 1)))
        self._at = 0
        self._out = np.zeros((x.shape[1], size), np.float32)

    def next(self, inputs: Rows) -> tuple[Rows, Float]:
        """Return the rows of the next batch and their ``inputs`` (d, b); valid until the next."""
        if self._at + self._size > self._order.size:
            self._order, self._at = self._random_state.permutation(self._order), 0
        rows = self._order[self._at : self._at + self._size]
        self._at += self._size
        n_bytes = inputs.size * rows.size if self._dropped else 0
        noise = np.frombuffer(self._bytes.bytes(n_bytes), np.uint8)
        sparse_batch.gather(self._x, rows, inputs, noise, self._dropped, self._out)
        return rows, self._out
