"""Threads that share rows: every row once, one result whatever their number, and nothing left."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from fastbcd import _blas, _blas_threads
from fastbcd._objective import Penalties, Problem
from fastbcd._row_threads import LEAST_SHARE, among_threads, each, row_threads, share
from fastbcd._views import WHOLE_ROW
from fastbcd.activations import ACTIVATIONS, PiecewiseLinear
from fastbcd.losses import LOSSES
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


class Library:
    """What threadpoolctl knows of a BLAS."""

    def __init__(self, filepath, num_threads):
        self.filepath, self.num_threads = filepath, num_threads

    def set_num_threads(self, num_threads):
        self.num_threads = num_threads


@pytest.fixture
def libraries(monkeypatch):
    """Return NumPy's BLAS and SciPy's, of four and of six threads."""
    numpys, scipys = Library("numpy.libs/blas", 4), Library("scipy.libs/blas", 6)
    monkeypatch.setattr(_blas_threads, "_libraries", lambda: [numpys, scipys])
    monkeypatch.setattr(_blas_threads, "_idle_libraries", lambda: {numpys.filepath})
    return numpys, scipys


def numbers(libraries):
    """Return the threads of each."""
    return [library.num_threads for library in libraries]


def test_blas_has_its_threads_back(libraries):
    def interrupted():
        with row_threads():
            assert len(share(lambda rows: rows, 10_000)) == 6
            assert numbers(libraries) == [1, 1]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert numbers(libraries) == [4, 6]
    assert not among_threads()


def test_limits_of_blas_that_overlap_do_not_restore_each_other(libraries):
    """As of two threads that fit at the same time: the first to begin ends first."""
    pool, thread = _blas_threads.one_blas_pool(), _blas_threads.one_blas_thread()
    pool.__enter__()
    assert numbers(libraries) == [1, 6]
    thread.__enter__()
    assert numbers(libraries) == [1, 1]
    pool.__exit__(None, None, None)
    assert numbers(libraries) == [1, 1]
    thread.__exit__(None, None, None)
    assert numbers(libraries) == [4, 6]


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
        with pytest.raises(ValueError, match=r"shape \(4, 2\) stands where \(4, 3\)"):
            _blas.gemm(out, out, b, 1.0, 0.0)
        with pytest.raises(ValueError, match=r"shape \(3, 2\) stands where \(3, 4\)"):
            _blas.gemm(np.ones((4, 4)), a, b, 1.0, 0.0)
        with pytest.raises(ValueError, match="rows of that type without gaps"):
            _blas.gemm(out, a, np.asfortranarray(b), 1.0, 0.0)
        with pytest.raises(ValueError, match="A matrix of float32"):
            _blas.gemm(out, a.astype(np.float32), b, 1.0, 0.0)
        with pytest.raises(ValueError, match="stands where"):
            _blas.symm(out, out, np.ones((3, 3)))
        with pytest.raises(ValueError, match="stands where"):
            _blas.syrk(out, a)
        with pytest.raises(ValueError, match="stands where"):
            _blas.trsm(a, np.ones((3, 3)))
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
        Penalties(rho=0.5, gamma=0.5, tau=5.0, alpha=1.0),
    )
    weights = [rng.normal(size=s) / np.sqrt(s[0]) for s in pairwise(widths)]
    solver = FullSolver(certificate=True)
    state = solver.init(problem, weights, [np.zeros(m) for m in widths[1:]])
    for _ in range(3):
        solver.step(problem, state)
    assert (len(relu.threads) == 1) == (n_threads == 1)
    return state


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
