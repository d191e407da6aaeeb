"""Work on the columns of a matrix, divided among threads by cost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from fastbcd.parallel.cores import n_threads


def in_threads(work: Callable[[int, int], object], start: NDArray[np.int64]) -> None:
    """Run ``work(first, last)`` over all columns, in several threads if the cost is high.

    The cost of a column is the cube of its support size, the difference of successive entries of
    ``start``. Ranges have about equal cost. Work of a total cost below 1e7 runs in the calling
    thread. ``work`` should release the GIL.
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
