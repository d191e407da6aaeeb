"""Threads that share the rows of large arrays, each with a BLAS of its own single thread.

After each product BLAS's own threads look for the next one, for up to a tenth of a second, and take
cores from whatever is done between two products: passes over the arrays by one thread then, and
in two threads no sooner. Where instead every thread has its rows of all arrays, and takes them
through products and passes alike, nobody looks for work, and the passes are shared as well.

The parts of a sum depend on the number of threads, and so does its rounding.
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
"""Rows below which a share is not worth a thread."""

ALIGNED = 16
"""Shares begin at multiples of this, so that two threads rarely write to one line of the cache."""


class _Team(NamedTuple):
    pool: ThreadPoolExecutor | None
    size: int


_team: ContextVar[_Team | None] = ContextVar("row_threads", default=None)


def among_threads() -> bool:
    """Whether the caller is within :func:`row_threads`, or one of its threads."""
    return _team.get() is not None


@contextmanager
def row_threads(size: int | None = None) -> Iterator[None]:
    """Within it BLAS has one thread, and :func:`share` has ``size``.

    By default as many as BLAS had before; one, where several fits run in threads and another has
    limited BLAS already. Within another such context nothing changes.
    """
    if among_threads():
        yield
        return
    size = blas_threads.n_blas_threads() if size is None else size
    # A member of a team shares with nobody: its team is one without others.
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

    Outside of :func:`row_threads`, in a thread of it, and where ``n`` is small, with one slice.
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
        wait(others)  # nobody may still be writing when an exception is dealt with
    return [first, *(other.result() for other in others)]


def each(task: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """Call ``task`` with each item, several at a time within :func:`row_threads`."""
    team = _team.get()
    if team is None or team.pool is None:
        return [task(item) for item in items]
    return list(team.pool.map(task, items))
