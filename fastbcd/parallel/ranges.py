"""Work on all columns of a matrix, divided among threads by its cost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from fastbcd.parallel.cores import n_threads


def in_threads(work: Callable[[int, int], object], start: NDArray[np.int64]) -> None:
    """Run ``work(first, last)`` over all outputs in several threads, of equal cubed support.

    The kernels release the interpreter. Small jobs stay in this thread.
    """
    cost = np.cumsum(np.diff(start).astype(np.float64) ** 3)
    n = n_threads()
    if n == 1 or cost.size == 0 or cost[-1] < 1e7:
        work(0, cost.size)
        return
    cuts = np.searchsorted(cost, cost[-1] * np.arange(1, 2 * n) / (2 * n))
    edges = np.unique(np.concatenate([[0], cuts, [cost.size]])).tolist()
    with ThreadPoolExecutor(n) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))
