"""A team of threads for short tasks on ranges, kept alive between tasks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.parallel.cores import n_threads

MOST = 4
"""Maximum number of threads; tasks under a millisecond do not get faster with more."""

WORTH = 2e5
"""Minimum number of multiplications per thread; fewer cost less than waking a thread."""


class Crew:
    """A team of threads: the calling thread and ``size - 1`` helpers.

    Parameters
    ----------
    size : int
        Number of threads, including the calling thread.
    """

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self._helpers = ThreadPoolExecutor(size - 1) if size > 1 else None

    @classmethod
    def of_all(cls) -> Crew:
        """Return a team of all usable threads, at most ``MOST``."""
        return cls(min(n_threads(), MOST))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._helpers is not None:
            self._helpers.shutdown()

    def parts(self, cost: NDArray[np.integer]) -> list[tuple[int, int]]:
        """Divide ``range(cost.size)`` into ranges of about equal cost, at most one per thread.

        Parameters
        ----------
        cost : (m,) array
            Number of multiplications for each element. Cheap work gets fewer ranges.
        """
        done = np.cumsum(cost, dtype=np.float64)
        total = float(done[-1]) if done.size else 0.0
        n_parts = max(1, min(self.size, int(total / WORTH)))
        cuts = np.searchsorted(done, total * np.arange(1, n_parts) / n_parts)
        edges = np.unique([0, *cuts, done.size]).tolist()
        return list(pairwise(edges))

    def share(self, work: Callable[[int, int], object], parts: list[tuple[int, int]]) -> None:
        """Run ``work(first, last)`` on all ``parts``; it should release the GIL."""
        if self._helpers is None or len(parts) < 2:
            for first, last in parts:
                work(first, last)
            return
        others = [self._helpers.submit(work, *part) for part in parts[1:]]
        work(*parts[0])
        for other in others:
            other.result()


ALONE = Crew()
"""A team with the calling thread only."""
