"""Settings that every test shares."""

from __future__ import annotations

import os
from contextlib import nullcontext

# Thousands of tiny problems: threads would wait for each other longer than they compute.
# Set before NumPy loads its BLAS; what the tests start inherits it.
for _library in ("OPENBLAS", "MKL", "OMP"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import pytest  # noqa: E402  # the environment comes first
from hypothesis import settings  # noqa: E402  # the environment comes first

# The same examples in every run, and no failure because a kernel was compiled during one.
settings.register_profile("fastbcd", derandomize=True, deadline=None, database=None)
settings.load_profile("fastbcd")


@pytest.fixture(params=[False, True], ids=["alone", "shared"])
def alone_and_shared(request):
    """Do everything alone, and in threads that share rows (or right-hand sides)."""
    from fastbcd.parallel.row_threads import row_threads

    with row_threads(3) if request.param else nullcontext():
        yield
