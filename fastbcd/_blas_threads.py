"""How many threads BLAS may use, and which BLAS, where several are loaded."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


@cache
def _blas_threads() -> Any:
    # scikit-learn depends on threadpoolctl, so it is there; to look for libraries is slow.
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def one_blas_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS and LAPACK use one thread.

    For many small calls in a row: waking and joining threads costs more than the arithmetic.
    """
    limit: AbstractContextManager[Any] = _blas_threads().limit(limits=1)
    return limit


@cache
def _idle_pools() -> Any:
    """Return NumPy's own BLAS, if SciPy brings another one."""
    libraries = {library.filepath for library in _blas_threads().lib_controllers}
    numpys = [path for path in libraries if "numpy" in path]
    return _blas_threads().select(filepath=numpys if len(numpys) < len(libraries) else [])


def one_blas_pool() -> AbstractContextManager[Any]:
    """Return a context in which only SciPy's BLAS, which does the products here, has threads.

    NumPy and SciPy each bring a BLAS in their wheels, and the threads of each spin for a while
    after a call. Where calls of both alternate, they take the cores from each other and all
    takes twice as long.
    """
    limit: AbstractContextManager[Any] = _idle_pools().limit(limits=1)
    return limit


def n_blas_threads() -> int:
    """Return how many threads BLAS would use now."""
    return max((library.num_threads for library in _blas_threads().lib_controllers), default=1)
