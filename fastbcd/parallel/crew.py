"""Threads that share short work on ranges, and are kept from one piece of work to the next."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.parallel.cores import n_threads

MOST = 4
"""Threads beyond which work of a fraction of a millisecond gets no faster."""

WORTH = 2e5
"""Multiplications that take longer than waking another thread."""


class Crew:
    """The calling thread and its helpers.

    Parameters
    ----------
    size : int
        How many they are.
    """

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self._helpers = ThreadPoolExecutor(size - 1) if size > 1 else None

    @classmethod
    def of_all(cls) -> Crew:
        """Return as many threads as may be used, and are of use."""
        return cls(min(n_threads(), MOST))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._helpers is not None:
            self._helpers.shutdown()

    def parts(self, cost: NDArray[np.integer]) -> list[tuple[int, int]]:
        """Divide ``range(cost.size)`` into ranges of about equal cost, one for each thread.

        Parameters
        ----------
        cost : (m,) array
            Multiplications that each element takes. Few are not worth another thread.
        """
        done = np.cumsum(cost, dtype=np.float64)
        total = float(done[-1]) if done.size else 0.0
        n_parts = max(1, min(self.size, int(total / WORTH)))
        cuts = np.searchsorted(done, total * np.arange(1, n_parts) / n_parts)
        edges = np.unique([0, *cuts, done.size]).tolist()
        return list(pairwise(edges))

    def share(self, work: Callable[[int, int], object], parts: list[tuple[int, int]]) -> None:
        """Run ``work(first, last)`` on all ``parts``; it should release the interpreter."""
        if self._helpers is None or len(parts) < 2:
            for first, last in parts:
                work(first, last)
            return
        others = [self._helpers.submit(work, *part) for part in parts[1:]]
        work(*parts[0])
        for other in others:
            other.result()


ALONE = Crew()
"""The calling thread only."""
