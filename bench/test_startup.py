"""What a fresh process pays; see :mod:`bench.startup`."""

from __future__ import annotations

from typing import Any

import pytest

from bench import startup
from bench.conftest import Record


def once(benchmark: Any, function: Any) -> Any:
    """Run ``function`` a single time: it takes its own medians."""
    return benchmark.pedantic(function, rounds=1)


def test_import(benchmark: Any, record: Record, quick: bool) -> None:
    """Numba, SciPy and scikit-learn wait until they are needed."""
    seconds = once(benchmark, lambda: startup.import_time(1 if quick else 9))
    record("`import fastbcd`", f"{seconds:.3f} s", "under 0.1 s", seconds < 0.1, seconds=seconds)


def test_first_fit(benchmark: Any, record: Record, quick: bool) -> None:
    """Loading compiled kernels from the cache."""
    found = once(benchmark, lambda: startup.first_fit(1 if quick else 5))
    above = found["first"] - found["steady"]
    record(
        "first fit in a fresh process, warm cache, above steady state",
        f"{above:.2f} s (importing the estimators: {found['import']:.2f} s)",
        "under 1 s",
        above < 1,
        **found,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_kernels_cold(benchmark: Any, record: Record, dtype: str) -> None:
    """Every kernel, as users of one type of data meet it: the wall time of their command."""
    found = once(benchmark, lambda: startup.all_kernels_cold(dtype))
    seconds = found["all"]
    record(
        f"`fastbcd warmup --dtype {dtype}` into an empty cache: all {found['kernels']} kernels "
        f"({found['functions']} functions)",
        f"{seconds:.1f} s in {found.get('processes', 1)} processes, {found['one']:.1f} s in one",
        "under 20 s",
        seconds < 20,
        **found,
    )
