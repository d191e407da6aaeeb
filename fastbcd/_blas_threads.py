"""How many threads BLAS may use, and which BLAS, where several are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from threading import Lock
from typing import Any


@cache
def _libraries() -> list[Any]:
    # scikit-learn depends on threadpoolctl, so it is there; to look for libraries is slow.
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@cache
def _idle_libraries() -> frozenset[str]:
    """Return the file of NumPy's own BLAS, if SciPy brings another one."""
    files = {library.filepath for library in _libraries()}
    numpys = frozenset(file for file in files if "numpy" in file)
    return numpys if numpys < files else frozenset()


class _Limits:
    """The limits that hold now, of all threads of the process together.

    The number of BLAS's threads belongs to the process. Two threads that each kept the number
    they found, and restored it, would restore each other's limit when they overlap.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._holders = {"all": 0, "idle": 0}
        self._before: dict[str, int] = {}

    def change(self, which: str, by: int) -> None:
        """Take or give back a limit of one thread for all libraries, or for the idle ones."""
        with self._lock:
            if not any(self._holders.values()):
                self._before = {lib.filepath: lib.num_threads for lib in _libraries()}
            self._holders[which] += by
            for library in _libraries():
                idle = library.filepath in _idle_libraries() and self._holders["idle"]
                wanted = 1 if self._holders["all"] or idle else self._before[library.filepath]
                if library.num_threads != wanted:
                    library.set_num_threads(wanted)


_limits = _Limits()


@contextmanager
def _limited(which: str) -> Iterator[None]:
    _limits.change(which, +1)
    try:
        yield
    finally:
        _limits.change(which, -1)


def one_blas_thread() -> AbstractContextManager[None]:
    """Return a context in which BLAS and LAPACK use one thread.

    For many small calls in a row: waking and joining threads costs more than the arithmetic.
    """
    return _limited("all")


def one_blas_pool() -> AbstractContextManager[None]:
    """Return a context in which only SciPy's BLAS, which does the products here, has threads.

    NumPy and SciPy each bring a BLAS in their wheels, and the threads of each spin for a while
    after a call. Where calls of both alternate, they take the cores from each other and all
    takes twice as long.
    """
    return _limited("idle")


def n_blas_threads() -> int:
    """Return how many threads BLAS would use now."""
    return max((library.num_threads for library in _libraries()), default=1)
