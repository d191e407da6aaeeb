"""How contestants are timed: warm, taking turns in one process, by their medians."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter, sleep

SHORTEST = 0.01
"""Seconds that one timing should last; faster functions are called repeatedly for it."""

LONG, REST = 0.3, 0.5
"""Before a contestant of so many seconds the machine rests so long: libraries let their threads
spin for a while after a call, and the next contestant would pay for it."""


def seconds_per_call(function: Callable[[], object], n_calls: int) -> float:
    """Return the mean time of ``n_calls`` calls."""
    start = perf_counter()
    for _ in range(n_calls):
        function()
    return (perf_counter() - start) / n_calls


def race(contestants: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median seconds of each contestant.

    All are called twice beforehand, which compiles and warms them. Then they take turns, so that
    a change of the machine's clock or load meets all of them alike.

    Parameters
    ----------
    contestants : sequence of callables
        What to time.
    rounds : int
        How many timings each median is taken of.
    """
    n_calls, rests = [], []
    for contestant in contestants:
        contestant()
        once = seconds_per_call(contestant, 1)
        n_calls.append(max(1, round(SHORTEST / max(once, 1e-7))))
        rests.append(REST if once > LONG else 0.0)
    times: list[list[float]] = [[] for _ in contestants]
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            runs = zip(contestants, n_calls, rests, times, strict=True)
            for contestant, calls, rest, taken in runs:
                sleep(rest)
                taken.append(seconds_per_call(contestant, calls))
    finally:
        if collecting:
            gc.enable()
    return [median(taken) for taken in times]
