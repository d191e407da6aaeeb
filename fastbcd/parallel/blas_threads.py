"""Limits on the number of BLAS threads when one or several BLAS libraries are loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from threading import Lock, local
from typing import Any

ONE_THREAD_BELOW = 50_000_000
"""Operations of the largest product below which one BLAS thread is faster than several. A number of
the machine: such a product takes about a millisecond, and waking the other threads takes a share of
that, most of all where other programs use their cores."""


@cache
def libraries() -> list[Any]:
    """Return threadpoolctl's handle of every BLAS that is loaded."""
    # scikit-learn depends on threadpoolctl, so it is there; to look for libraries is slow.
    import scipy.linalg  # noqa: F401  # only libraries that are loaded are found: this is SciPy's
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@cache
def idle_libraries() -> frozenset[str]:
    """Return the file of NumPy's BLAS if SciPy has a BLAS of its own, otherwise nothing."""
    files = {library.filepath for library in libraries()}
    numpys = frozenset(file for file in files if "numpy" in file)
    return numpys if numpys < files else frozenset()


class Limits:
    """The limits now in force, either of the whole process or of one thread.

    Holders of a limit are counted. If overlapping threads each saved and restored the number of
    threads, they would restore each other's limits.
    """

    def __init__(self, of_threads: bool) -> None:
        self._of_threads = of_threads
        self._lock = Lock()
        self._holders = {"all": 0, "idle": 0}
        self._before: dict[str, int] = {}

    def change(self, which: str, by: int) -> None:
        """Add (+1) or remove (-1) a holder of the limit for "all" libraries or the "idle" ones."""
        with self._lock:
            if not any(self._holders.values()):
                self._before = {lib.filepath: lib.num_threads for lib in self._concerned()}
            self._holders[which] += by
            try:
                self._apply()
            except BaseException:  # interrupted: undo the addition of a holder, keep a removal
                self._holders[which] -= max(by, 0)
                self._apply()
                raise

    def forget(self) -> None:
        """Drop all limits: a forked process lacks the threads that would release them."""
        self._lock = Lock()
        if any(self._holders.values()):
            self._holders = dict.fromkeys(self._holders, 0)
            self._apply()

    def _concerned(self) -> list[Any]:
        # OpenMP keeps a separate setting for each thread.
        return [
            library
            for library in libraries()
            if (getattr(library, "threading_layer", "") == "openmp") == self._of_threads
        ]

    def _apply(self) -> None:
        for library in self._concerned():
            idle = self._holders["idle"] and library.filepath in idle_libraries()
            wanted = 1 if idle or self._holders["all"] else self._before[library.filepath]
            if library.num_threads != wanted:
                _let_anybody_set(library)
                library.set_num_threads(wanted)
                _let_anybody_set(library)


def _let_anybody_set(library: Any) -> None:
    """Let any thread change the limit: threadpoolctl otherwise accepts only the first one."""
    forget = getattr(library, "clear_controlling_thread", None)
    if forget is not None:
        forget(force=True)


_of_process = Limits(of_threads=False)
_of_thread = local()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_of_process.forget)


@contextmanager
def _limited(which: str) -> Iterator[None]:
    if not hasattr(_of_thread, "limits"):
        _of_thread.limits = Limits(of_threads=True)
    _of_process.change(which, +1)
    try:
        _of_thread.limits.change(which, +1)
        try:
            yield
        finally:
            _of_thread.limits.change(which, -1)
    finally:
        _of_process.change(which, -1)


def one_blas_thread() -> AbstractContextManager[None]:
    """Return a context in which BLAS and LAPACK use one thread.

    Use it for many small calls in a row: waking and joining threads costs more than the arithmetic.
    """
    return _limited("all")


def one_blas_pool() -> AbstractContextManager[None]:
    """Return a context in which only SciPy's BLAS is multithreaded.

    The wheels of NumPy and SciPy each contain a BLAS. The threads of each keep spinning for a while
    after a call. When calls alternate between the two, their threads compete for the cores, and the
    work takes twice as long.
    """
    return _limited("idle")


def blas_for(flops: float, below: float = ONE_THREAD_BELOW) -> AbstractContextManager[None]:
    """Return a context with as many BLAS threads as products of so many operations are worth.

    With one thread the results do not depend on the number of cores either.

    Parameters
    ----------
    flops : float
        Floating-point operations of the largest product.
    below : float
        Operations from which several threads are faster.
    """
    return one_blas_thread() if flops < below else one_blas_pool()


def n_blas_threads() -> int:
    """Return the number of threads that BLAS would use now."""
    return max((library.num_threads for library in libraries()), default=1)
