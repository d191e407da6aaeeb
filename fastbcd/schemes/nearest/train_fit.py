r"""Fit a tensor train to a matrix in the data's metric, core by core.

Where the modes can be cut between the inputs and the outputs, the matrix of the train is A B,
with A (d, r) made of the first cores and B (r, m) of the others. Then

    error = tr[(A B - T)' G (A B - T) H]

is a quadratic in A alone and in B alone, with small metrics on both sides,

    (A - S) : G, B H B'        with S = T H B' (B H B')^{-1}
    (B - S) : A' G A, H        with S = (A' G A)^{-1} A' G T

and A and B are linear in each of their cores. Each core in turn solves its least-squares
problem exactly (alternating linear scheme; Holtz, Rohwedder, Schneider, SIAM J. Sci. Comput.
34, 2012), so that the error never rises.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, solve

from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float, Float64

MAX_SWEEPS = 12
TOLERANCE = 1e-3
"""A sweep that lowers the error by less than this share is the last one."""

MAX_WORK = 2e10
"""Flops per core above which the plain decomposition is kept; the fit would take minutes."""


def fit_train(cores: list[Float], target: Float64, metric: Metric) -> list[Float64]:
    """Return cores of the same shapes, nearer to ``target`` in the metric or as near.

    Parameters
    ----------
    cores : list of (r_{k-1}, m_k, r_k) arrays
        Where to start.
    target : (d, m) float64 array
        What to approximate.
    metric : Metric
        How the distance is measured.
    """
    d = target.shape[0]
    best = [np.asarray(core, np.float64) for core in cores]
    sizes = np.cumprod([core.shape[1] for core in best])
    hits = np.flatnonzero(sizes == d)
    if hits.size == 0 or hits[0] + 1 == len(best):
        return best
    cut = int(hits[0]) + 1
    rank = best[cut].shape[0]
    if max(_work(best[:cut], d, rank), _work(best[cut:], target.shape[1], rank)) > MAX_WORK:
        return best
    error = _error(best, cut, target, metric)
    trial = list(best)
    for _ in range(MAX_SWEEPS):
        try:
            trial = _sweep(trial, cut, target, metric)
        except (LinAlgError, np.linalg.LinAlgError):
            return best
        before, error = error, _error(trial, cut, target, metric)
        if not error < before:
            return best
        best = list(trial)
        if before - error < TOLERANCE * before:
            break
    return best


def _work(cores: list[Float64], length: int, rank: int) -> float:
    """Return the flops of the dearest core of a chain of ``length * rank`` entries.

    They are those of the metric times the Jacobian, of the normal matrix, and of its solution.
    """
    size = float(max(core.size for core in cores))
    return 2 * size * length * rank * (length + size) + size**3 / 3


def _sweep(cores: list[Float64], cut: int, target: Float64, metric: Metric) -> list[Float64]:
    d, m = target.shape
    rank = cores[cut].shape[0]
    gram, h = metric.gram, metric.sensitivity
    right = _chain(cores[cut:]).reshape(rank, m)
    outer = (right * h) @ right.T
    goal = _solve(outer, right @ (target * h).T).T
    left_cores = _fit_chain(cores[:cut], goal, gram, outer)
    left = _chain(left_cores).reshape(d, rank)
    inner = left.T @ gram @ left
    goal = _solve(inner, left.T @ (gram @ target))
    return left_cores + _fit_chain(cores[cut:], goal, inner, np.diag(h))


def _fit_chain(
    cores: list[Float64], goal: Float64, rows: Float64, columns: Float64
) -> list[Float64]:
    """Solve for each core of a chain that approximates ``goal``, metrics on both sides."""
    cores = list(cores)
    weighted = (rows @ goal @ columns).ravel()
    for k, core in enumerate(cores):
        a, n, b = core.shape
        before = _chain(cores[:k]).reshape(-1, a) if k else np.eye(a)
        after = _chain(cores[k + 1 :]).reshape(b, -1) if k + 1 < len(cores) else np.eye(b)
        # Entry (p, i, q) of the chain is linear in core[., i, .]: before[p, :] core after[:, q].
        jacobian = np.zeros((before.shape[0], n, after.shape[1], a, n, b))
        block = np.einsum("pa,bq->pqab", before, after)
        for i in range(n):
            jacobian[:, i, :, :, i, :] = block
        flat = jacobian.reshape(goal.size, core.size)
        moved = (rows @ flat.reshape(goal.shape[0], -1)).reshape(*goal.shape, core.size)
        moved = np.matmul(columns, moved).reshape(goal.size, core.size)
        normal = flat.T @ moved
        solution = _solve(normal, (flat.T @ weighted)[:, None])
        cores[k] = np.ascontiguousarray(solution.reshape(a, n, b))
    return cores


def _solve(matrix: Float64, rhs: Float64) -> Float64:
    """Solve a symmetric positive semidefinite system, slightly damped."""
    damped = matrix + np.eye(len(matrix)) * (1e-10 * np.trace(matrix) / len(matrix))
    solution: Float64 = solve(damped, rhs, assume_a="pos", check_finite=False)
    return solution


def _chain(cores: list[Float64]) -> Float64:
    product = cores[0].reshape(-1, cores[0].shape[2])
    for core in cores[1:]:
        product = (product @ core.reshape(core.shape[0], -1)).reshape(-1, core.shape[2])
    return product


def _error(cores: list[Float64], cut: int, target: Float64, metric: Metric) -> float:
    rank = cores[cut].shape[0]
    left = _chain(cores[:cut]).reshape(target.shape[0], rank)
    return metric.error(left @ _chain(cores[cut:]).reshape(rank, target.shape[1]) - target)
