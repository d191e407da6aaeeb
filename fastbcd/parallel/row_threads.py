"""Threads that share the rows of large arrays, each calling single-threaded BLAS.

After each product, BLAS's own threads spin for up to a tenth of a second, waiting for the next one.
They take cores from the elementwise passes between two products, so that two threads make these
passes no faster. Here, instead, every thread owns some rows of all arrays and performs both the
products and the passes on them. No thread spins, and the passes run in parallel too.

The partial sums depend on the number of threads, and so does the rounding of a sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import NamedTuple, TypeVar

from fastbcd.parallel import blas_threads as blas_threads

T = TypeVar("T")
S = TypeVar("S")

LEAST_SHARE = 64
"""Minimum number of rows per thread."""

ALIGNED = 16
"""Slices start at multiples of this row number, so threads rarely write to one cache line."""


class _Team(NamedTuple):
    pool: ThreadPoolExecutor | None
    size: int


_team: ContextVar[_Team | None] = ContextVar("row_threads", default=None)


def among_threads() -> bool:
    """Whether the caller is inside :func:`row_threads` or in one of its threads."""
    return _team.get() is not None


@contextmanager
def row_threads(size: int | None = None) -> Iterator[None]:
    """Enter a context in which BLAS has one thread and :func:`share` uses ``size`` threads.

    By default ``size`` is the number of BLAS threads before. It is 1 if fits run in several threads
    and another fit has already limited BLAS. A nested context changes nothing.
    """
    if among_threads():
        yield
        return
    size = blas_threads.n_blas_threads() if size is None else size
    # A member of a team does not share its work: it has a team of size 1.
    member = _Team(None, 1)
    with blas_threads.one_blas_thread(), ExitStack() as stack:
        team = member
        if size > 1:
            initializer = partial(_team.set, member)
            pool = ThreadPoolExecutor(size, "fastbcd-rows", initializer=initializer)
            team = _Team(stack.enter_context(pool), size)
        token = _team.set(team)
        try:
            yield
        finally:
            _team.reset(token)


def share(task: Callable[[slice], T], n: int) -> list[T]:
    """Call ``task`` with consecutive slices of range(n), and return the results in order.

    There is a single slice outside :func:`row_threads`, in its threads, and for few rows.
    """
    team = _team.get()
    size = 1 if team is None else max(1, min(team.size, n // LEAST_SHARE))
    if team is None or team.pool is None or size == 1:
        return [task(slice(0, n))]
    starts = [i * n // size // ALIGNED * ALIGNED for i in range(size)]
    slices = [slice(lo, hi) for lo, hi in zip(starts, [*starts[1:], n], strict=True)]
    others: list[Future[T]] = []
    try:
        others.extend(team.pool.submit(task, part) for part in slices[1:])
        first = task(slices[0])
    finally:
        wait(others)  # no thread may still be writing while an exception is handled
    return [first, *(other.result() for other in others)]


def each(task: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """Call ``task`` with each item, in parallel within :func:`row_threads`."""
    team = _team.get()
    if team is None or team.pool is None:
        return [task(item) for item in items]
    return list(team.pool.map(task, items))
