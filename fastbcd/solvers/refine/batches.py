"""Batches of rows in random order, as columns, with inputs dropped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastbcd.parallel.crew import ALONE, Crew
from fastbcd.solvers.refine.settings import DEFAULTS, RefineSettings
from fastbcd.solvers.refine.targets import Rows
from fastbcd.utils.small import is_small
from fastbcd.utils.types import Float
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
        Number of rows of a batch.
    drop : float
        Share of the entries that are dropped, to a precision of 1 / 256. They become zero, or the
        mean of their input if zero is ``settings.far`` from it. A centred copy of ``x`` is then
        kept.
    random_state : RandomState
        Source of the order and of the dropped entries.
    crew : Crew
        Threads to use.
    settings : RefineSettings
        Numbers of the method.
    """

    def __init__(
        self,
        x: Float,
        rows: Rows,
        size: int,
        drop: float,
        random_state: np.random.RandomState,
        crew: Crew = ALONE,
        settings: RefineSettings = DEFAULTS,
    ) -> None:
        self._size = size
        self._dropped = round(256 * drop)
        centre = np.zeros(x.shape[1], x.dtype)
        if self._dropped:
            centre = _centre(x[rows[: settings.centre_rows]], settings.far)
        # Dropped entries of centred inputs become zero, and the centre is added afterwards.
        self._centre = centre.astype(np.float32) if centre.any() else None
        self._x = x if self._centre is None else x - centre
        self._order = random_state.permutation(rows)
        self._random_state = random_state
        # This generator makes random bytes twenty times as fast as the other.
        self._bits = np.random.SFC64(random_state.randint(2**31 - 1))
        self._crew = crew
        self._parts = crew.parts(np.full(size, x.shape[1]))
        self._at = 0
        self._out = np.zeros((x.shape[1], size), np.float32)

    def next(self, inputs: Rows) -> tuple[Rows, Float]:
        """Return the rows of the next batch and their ``inputs`` (d, b), until the next call."""
        if self._at + self._size > self._order.size:
            self._order, self._at = self._random_state.permutation(self._order), 0
        rows = self._order[self._at : self._at + self._size]
        self._at += self._size
        n_bytes = self._x.shape[1] * rows.size if self._dropped else 0
        noise = self._bits.random_raw(-(-n_bytes // 8)).view(np.uint8)
        if is_small(self._out.size):
            self._gather(rows, noise)
        else:
            self._crew.share(
                lambda lo, hi: sparse_batch.gather(
                    self._x, rows, inputs, noise, self._dropped, lo, hi, self._out
                ),
                self._parts,
            )
        if self._centre is not None:
            self._out[inputs, : rows.size] += self._centre[inputs, None]
        return rows, self._out

    def _gather(self, rows: Rows, noise: NDArray[np.uint8]) -> None:
        """Do what :func:`fastbcd_kernels.sparse_batch.gather` does, for all inputs."""
        chosen = self._x[rows].astype(np.float32)
        if self._dropped:
            chosen *= np.float32(256 / (256 - self._dropped))
            chosen[noise[: chosen.size].reshape(chosen.shape) < self._dropped] = 0.0
        self._out[:, : rows.size] = chosen.T


def _centre(x: Float, distance: float) -> Float:
    """Return the mean (d,) of the columns of ``x``, but zero where zero is an ordinary value."""
    mean = x.mean(axis=0, dtype=np.float64)
    far = np.abs(mean) > distance * x.std(axis=0, dtype=np.float64)
    centre: Float = np.where(far, mean, 0.0).astype(x.dtype)
    return centre
