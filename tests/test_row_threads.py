"""Threads that share rows: every row once, one result whatever their number, and nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext
from itertools import pairwise

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastbcd import BCDRegressor
from fastbcd.linalg import blas as _blas
from fastbcd.network.layers.activations import ACTIVATIONS, PiecewiseLinear
from fastbcd.network.layers.patches import WHOLE_ROW
from fastbcd.network.losses.losses import LOSSES
from fastbcd.objective.terms import Penalties, Problem
from fastbcd.parallel import blas_threads as _blas_threads
from fastbcd.parallel.row_threads import LEAST_SHARE, among_threads, each, row_threads, share
from fastbcd.schemes import Prune
from fastbcd.solvers import FullSolver

TOL = {np.float32: 1e-4, np.float64: 1e-12}

each_dtype = pytest.mark.parametrize("dtype", TOL)
each_flag = pytest.mark.parametrize("transposed", [False, True])


def parts_of_larger(*shape, dtype=np.float64, seed=0):
    """Return some rows and columns of a larger matrix."""
    n, m = shape
    larger = np.random.default_rng(seed).normal(size=(n + 3, m + 5)).astype(dtype)
    return larger[2 : 2 + n, 4 : 4 + m]


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [0, 1, LEAST_SHARE, 2 * LEAST_SHARE, 1000, 1001])
def test_every_row_is_in_one_share(size, n):
    with row_threads(size):
        shares = share(lambda rows: (rows.start, rows.stop), n)
    assert [row for start, stop in shares for row in range(start, stop)] == list(range(n))
    assert len(shares) == max(1, min(size, n // LEAST_SHARE))


def test_shares_are_taken_by_different_threads_at_the_same_time():
    meeting = threading.Barrier(3, timeout=30)  # is broken if fewer than three wait at once
    with row_threads(3):
        places = share(lambda _: (meeting.wait(), threading.get_ident())[1], 1000)
    assert len(set(places)) == 3
    assert places[0] == threading.get_ident()


def test_items_are_dealt_with_in_order():
    with row_threads(2):
        assert each(lambda x: x * x, range(9)) == [x * x for x in range(9)]
    assert each(lambda x: x * x, range(9)) == [x * x for x in range(9)]


def test_a_thread_of_a_team_shares_with_nobody():
    with row_threads(2):
        inner = share(lambda _: (among_threads(), len(share(lambda rows: rows, 1000))), 1000)
        innermost = each(lambda _: len(each(lambda _: 0, range(3))), range(3))
    assert inner == [(True, 2), (True, 1)]
    assert innermost == [3, 3, 3]
    assert not among_threads()


@pytest.mark.parametrize("guilty", [0, 1], ids=["the caller", "another thread"])
def test_an_exception_waits_until_nobody_writes(guilty):
    written = np.zeros(1000)

    def task(rows):
        if (rows.start > 0) == bool(guilty):
            raise RuntimeError("in a share")
        time.sleep(0.05)
        written[rows] = 1

    with row_threads(2):
        with pytest.raises(RuntimeError, match="in a share"):
            share(task, 1000)
        assert written.sum() == 500 - 500 % 16 if guilty else written.sum() >= 500


def test_blas_has_its_threads_back_after_an_interruption(monkeypatch):
    limits = []

    @contextmanager
    def one_blas_thread():
        limits.append(1)
        try:
            yield
        finally:
            limits.pop()

    def interrupted():
        with row_threads():
            assert limits == [1]
            assert len(share(lambda rows: rows, 10_000)) == 6
            raise KeyboardInterrupt

    monkeypatch.setattr(_blas_threads, "one_blas_thread", one_blas_thread)
    monkeypatch.setattr(_blas_threads, "n_blas_threads", lambda: 6)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not limits
    assert not among_threads()


def test_one_context_within_another_changes_nothing():
    with row_threads(3):
        with row_threads(5):
            assert len(share(lambda rows: rows, 10_000)) == 3
        assert among_threads()


class Library:
    """What threadpoolctl knows of a BLAS."""

    def __init__(self, filepath, num_threads):
        self.filepath, self.num_threads = filepath, num_threads

    def set_num_threads(self, num_threads):
        self.num_threads = num_threads


def test_limits_that_overlap_do_not_restore_each_other(monkeypatch):
    libraries = [Library("numpy.libs/blas", 4), Library("scipy.libs/blas", 6)]
    monkeypatch.setattr(_blas_threads, "libraries", lambda: libraries)
    monkeypatch.setattr(_blas_threads, "idle_libraries", lambda: {"numpy.libs/blas"})
    pool, thread = _blas_threads.one_blas_pool(), _blas_threads.one_blas_thread()
    expected = [[1, 6], [1, 1], [1, 1], [4, 6]]
    steps = (
        pool.__enter__,
        thread.__enter__,
        lambda: pool.__exit__(None, None, None),
        lambda: thread.__exit__(None, None, None),
    )
    for step, numbers in zip(steps, expected, strict=True):
        step()
        assert [library.num_threads for library in libraries] == numbers


@pytest.mark.parametrize("layer", ["pthreads", "openmp"], ids=["of the process", "of a thread"])
@pytest.mark.parametrize("when", [1, 4], ids=["taken", "given back"])
def test_an_interruption_while_a_limit_changes_leaves_none(monkeypatch, when, layer):
    class Interrupting(Library):
        threading_layer = layer
        calm = False

        def set_num_threads(self, num_threads):
            super().set_num_threads(num_threads)
            if num_threads == when and not self.calm:
                self.calm = True
                raise KeyboardInterrupt

    def limited():
        with _blas_threads.one_blas_thread():
            pass

    library = Interrupting("scipy.libs/blas", 4)
    monkeypatch.setattr(_blas_threads, "libraries", lambda: [library])
    with pytest.raises(KeyboardInterrupt):
        limited()
    assert library.num_threads == 4
    with _blas_threads.one_blas_pool():  # would set it to one, were the limit still held
        assert library.num_threads == 4


def test_a_forked_process_forgets_the_limits_of_its_parent(monkeypatch):
    library = Library("scipy.libs/blas", 4)
    monkeypatch.setattr(_blas_threads, "libraries", lambda: [library])
    limits = _blas_threads.Limits(of_threads=False)
    limits.change("all", +1)
    assert library.num_threads == 1
    limits.forget()
    assert library.num_threads == 4
    limits.change("idle", +1)
    assert library.num_threads == 4


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="BLAS has one thread on one core")
def test_two_fits_in_threads_leave_blas_with_its_threads():
    """With the real libraries, in a process whose BLAS has two threads."""
    program = """
import threading
from fastbcd.parallel import blas_threads as _blas_threads
from fastbcd.parallel.row_threads import row_threads

before = _blas_threads.n_blas_threads()
assert before == 2
with row_threads():  # as of a fit in the main thread, before all others
    assert _blas_threads.n_blas_threads() == 1
first_began, second_began, first_ended = (threading.Event() for _ in range(3))


def first():
    with row_threads():
        first_began.set()
        second_began.wait(30)
    first_ended.set()


def second():
    first_began.wait(30)
    with row_threads():
        second_began.set()
        first_ended.wait(30)
        assert _blas_threads.n_blas_threads() == 1


threads = [threading.Thread(target=first), threading.Thread(target=second)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert _blas_threads.n_blas_threads() == before, (_blas_threads.n_blas_threads(), before)
with row_threads():
    assert _blas_threads.n_blas_threads() == 1
assert _blas_threads.n_blas_threads() == before
"""
    two = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "2")
    subprocess.run([sys.executable, "-c", program], env={**os.environ, **two}, check=True)


@each_dtype
@each_flag
@pytest.mark.parametrize("keep", [0.0, 1.0, -0.5])
def test_a_product_of_parts_of_matrices(dtype, transposed, keep):
    a, b = parts_of_larger(7, 4, dtype=dtype), parts_of_larger(4, 6, dtype=dtype, seed=1)
    out = parts_of_larger(7, 6, dtype=dtype, seed=2)
    around, expected = out.base.copy(), 0.5 * (a @ b) + keep * out
    with row_threads(2):
        if transposed:
            at, bt = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
            _blas.gemm(out, at, bt, 0.5, keep, ta=True, tb=True)
        else:
            _blas.gemm(out, a, b, 0.5, keep)
    np.testing.assert_allclose(out, expected, atol=TOL[dtype])
    out[...] = around[2:9, 4:10]
    np.testing.assert_array_equal(out.base, around)


@pytest.mark.parametrize("team", [False, True])
@pytest.mark.parametrize("sizes", [(0, 3, 2), (4, 0, 2), (4, 3, 0)], ids=str)
def test_a_product_of_nothing(team, sizes):
    n, k, m = sizes
    out = np.ones((n, m))
    with row_threads(2) if team else nullcontext():
        _blas.gemm(out, np.ones((n, k)), np.ones((k, m)), 1.0, 1.0)
    np.testing.assert_array_equal(out, 1.0 + k)


@each_dtype
def test_a_symmetric_product_of_parts_of_matrices(dtype):
    a, out = parts_of_larger(7, 5, dtype=dtype), parts_of_larger(7, 5, dtype=dtype, seed=1)
    half = parts_of_larger(5, 5, dtype=dtype, seed=2)
    half[np.triu_indices(5, 1)] = np.nan
    with row_threads(2):
        _blas.symm(out, a, half)
    lower = np.tril(half)
    np.testing.assert_allclose(out, a @ (lower + np.tril(lower, -1).T), atol=TOL[dtype])


@each_dtype
@each_flag
@pytest.mark.parametrize("size", [1, 2])
def test_a_square_is_added_to_the_lower_half(dtype, transposed, size):
    a = parts_of_larger(5, 9, dtype=dtype) if transposed else parts_of_larger(9, 5, dtype=dtype)
    out = parts_of_larger(5, 5, dtype=dtype, seed=1)
    expected = out + (a @ a.T if transposed else a.T @ a)
    with row_threads(size):
        _blas.syrk(out, a, outer=transposed)
    np.testing.assert_allclose(np.tril(out), np.tril(expected), atol=TOL[dtype])


@each_dtype
@each_flag
def test_a_triangular_system_of_parts_of_matrices(dtype, transposed):
    lower = np.tril(parts_of_larger(6, 6, dtype=dtype)) + 4 * np.eye(6, dtype=dtype)
    matrix = lower.T if transposed else lower
    lower = lower + np.triu(np.full((6, 6), np.nan, dtype), 1)
    x = parts_of_larger(6, 3, dtype=dtype, seed=1)
    expected = np.linalg.solve(matrix, x)
    with row_threads(2):
        _blas.trsm(x, lower, transposed=transposed)
    np.testing.assert_allclose(x, expected, atol=TOL[dtype])


def test_what_blas_cannot_take_is_refused_before_it_is_called():
    a, b, out = np.ones((4, 3)), np.ones((3, 2)), np.ones((4, 2))
    with row_threads(2):
        with pytest.raises(ValueError, match=r"shape \(4, 2\) was passed where shape \(4, 3\)"):
            _blas.gemm(out, out, b, 1.0, 0.0)
        with pytest.raises(ValueError, match=r"shape \(3, 2\) was passed where shape \(3, 4\)"):
            _blas.gemm(np.ones((4, 4)), a, b, 1.0, 0.0)
        with pytest.raises(ValueError, match="rows must be contiguous and must not overlap"):
            _blas.gemm(out, a, np.asfortranarray(b), 1.0, 0.0)
        with pytest.raises(ValueError, match="rows must be contiguous and must not overlap"):
            _blas.gemm(out, a[::-1], b, 1.0, 0.0)
        with pytest.raises(ValueError, match="rows must be contiguous and must not overlap"):
            _blas.gemm(out, np.broadcast_to(a[0], a.shape), b, 1.0, 0.0)
        with pytest.raises(ValueError, match="A matrix of float32"):
            _blas.gemm(out, a.astype(np.float32), b, 1.0, 0.0)
        with pytest.raises(ValueError, match="was passed where"):
            _blas.symm(out, out, np.ones((3, 3)))
        with pytest.raises(ValueError, match="was passed where"):
            _blas.syrk(out, a)
        with pytest.raises(ValueError, match="was passed where"):
            _blas.trsm(a, np.ones((3, 3)))
    with pytest.raises(ValueError, match="not C-contiguous"):
        _blas.gemm(np.ones((4, 5))[:, :2], a, b, 1.0, 0.0)
    with pytest.raises(ValueError, match="not C-contiguous"):
        _blas.symm(out[:, :1], out[:, :1], np.ones((1, 1)))
    with pytest.raises(ValueError, match="not C-contiguous"):
        _blas.trsm(out[:, :1], np.eye(4))
    np.testing.assert_array_equal(out, 1)


class WatchedReLU(PiecewiseLinear):
    """Notes which threads take its U-steps."""

    def __init__(self):
        super().__init__("relu", 0.0)
        self.threads = set()

    def step(self, *arguments):
        self.threads.add(threading.get_ident())
        return super().step(*arguments)


def sweeps(n_threads, monkeypatch, weighted):
    """Return what three sweeps make of a problem that is large enough for threads."""
    monkeypatch.setattr(_blas_threads, "n_blas_threads", lambda: n_threads)
    rng = np.random.RandomState(0)
    x, y = rng.normal(size=(1500, 90)), rng.normal(size=(1500, 2))
    widths = (90, 200, 160, 2)
    relu, identity = WatchedReLU(), ACTIVATIONS["identity"]
    problem = Problem(
        x,
        y,
        rng.uniform(0.5, 2, 1500) if weighted else np.ones(1500),
        LOSSES["squared"],
        [relu, relu, identity],
        [WHOLE_ROW] * 3,
        [Prune(density=0.3), Prune(density=0.3), None],
        Penalties(rho=0.5, gamma=0.5, tau=5.0, proximal=1.0),
    )
    weights = [rng.normal(size=s) / np.sqrt(s[0]) for s in pairwise(widths)]
    solver = FullSolver(certificate=True)
    state = solver.init(problem, weights, [np.zeros(m) for m in widths[1:]])
    for _ in range(3):
        solver.step(problem, state)
    assert (len(relu.threads) == 1) == (n_threads == 1)
    return state


@pytest.mark.parametrize("types", [("f8", "f4"), ("f4", "f8")], ids=str)
def test_a_warm_start_may_have_data_of_another_type(monkeypatch, types):
    monkeypatch.setattr(_blas_threads, "n_blas_threads", lambda: 2)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1500, 90)), rng.normal(size=1500)
    regressor = BCDRegressor((200, 160), solver="full", warm_start=True, max_iter=2)
    for dtype in types:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            regressor.fit(x.astype(dtype), y.astype(dtype))
    assert regressor.network_.layers[0].weight.dtype == types[1]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_sweeps_agree_for_any_number_of_threads(monkeypatch, weighted):
    alone = sweeps(1, monkeypatch, weighted)
    shared = sweeps(3, monkeypatch, weighted)
    for one, three in zip(alone.blocks, shared.blocks, strict=True):
        np.testing.assert_allclose(one.weight, three.weight, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(one.pre, three.pre, rtol=1e-8, atol=1e-9)
    totals = [[terms.total for terms in state.record.terms] for state in (alone, shared)]
    np.testing.assert_allclose(*totals, rtol=1e-11)
    for sweep in shared.record.block_steps:
        assert all(step.decrease >= step.guaranteed - 1e-9 * totals[0][0] for step in sweep)
