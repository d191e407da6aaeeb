"""One-shot pruning of a trained layer, written plainly from the published formulas.

All methods choose and set the weights of one layer so that its outputs on the data change
little: minimise ||X (W - T)||^2 over T with at most k non-zeros, with H = X'X / n. W is
(n_in, n_out), as in scikit-learn. NumPy, float64, no thought for speed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def _keep(size: Matrix, k: int) -> NDArray[np.bool_]:
    """Return the mask of the k largest entries."""
    mask = np.zeros(size.size, bool)
    mask[np.argsort(-size, axis=None, kind="stable")[:k]] = True
    return mask.reshape(size.shape)


def _damped(gram: Matrix, share: float = 0.01) -> Matrix:
    return gram + share * np.mean(np.diag(gram)) * np.eye(len(gram))


def magnitude(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """Keep the k largest weights."""
    return weight * _keep(np.abs(weight), k)


def wanda(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """Keep the largest |W_ji| ||x_j|| of each output (Sun et al., arXiv:2306.11695)."""
    score = np.abs(weight) * np.sqrt(np.diag(gram))[:, None]
    per_output = max(1, round(k / weight.shape[1]))
    order = np.argsort(-score, axis=0)[:per_output]
    mask = np.zeros(weight.shape, bool)
    np.put_along_axis(mask, order, True, axis=0)
    return weight * mask


def sparse_gpt(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """Sweep over the inputs and let the later ones repair (Frantar, Alistarh, arXiv:2301.00774).

    One block of all inputs: blocks of equal sparsity would be unfair on data with dead inputs.
    """
    upper = np.linalg.cholesky(np.linalg.inv(_damped(gram))).T
    work = weight.copy()
    mask = _keep(np.square(work / np.diag(upper)[:, None]), k)
    for j in range(len(work)):
        kept = work[j] * mask[j]
        error = (work[j] - kept) / upper[j, j]
        work[j:] -= np.outer(upper[j, j:], error)
        work[j] = kept
    return work


def exact_obs(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """Remove one weight after the other, each the cheapest (Frantar et al., arXiv:2208.11580).

    The losses of all outputs are merged for one global mask, and every output is rewound to
    its own number of weights. All outputs take a step at once.
    """
    d, m = weight.shape
    inverse = np.repeat(np.linalg.inv(_damped(gram, 1e-3))[None], m, axis=0)
    work = weight.T.copy()
    alive = np.ones((m, d), bool)
    order, loss = np.empty((m, d), int), np.empty((m, d))
    everyone = np.arange(m)
    for t in range(d):
        diagonal = np.einsum("ijj->ij", inverse)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = np.where(alive, np.square(work) / diagonal, np.inf)
        p = score.argmin(axis=1)
        order[:, t], loss[:, t] = p, score[everyone, p]
        pivot = diagonal[everyone, p]
        column = inverse[everyone, :, p]
        work -= column * (work[everyone, p] / pivot)[:, None]
        inverse -= column[:, :, None] * (column / pivot[:, None])[:, None, :]
        alive[everyone, p] = False
        work[~alive] = 0
    merged = np.maximum.accumulate(loss, axis=1)
    n_removed = (merged <= np.sort(merged, axis=None)[d * m - k - 1]).sum(axis=1)
    mask = np.ones((m, d), bool)
    for i in range(m):
        mask[i, order[i, : n_removed[i]]] = False
    return _refit(mask.T, weight, _damped(gram, 1e-3))


def alps(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """ADMM with a penalty that follows the support (Meng et al., arXiv:2406.07831), then CG."""
    h = _damped(gram)
    scale = np.sqrt(np.diag(h))
    h = h / np.outer(scale, scale)
    values, vectors = np.linalg.eigh(h)
    goal = weight * scale[:, None]
    attraction = h @ goal
    d, v, rho = goal * _keep(np.abs(goal), k), np.zeros_like(goal), 0.1
    before = d != 0
    for t in range(1, 301):
        b = vectors @ ((vectors.T @ (attraction - v + rho * d)) / (values + rho)[:, None])
        d = (b + v / rho) * _keep(np.abs(b + v / rho), k)
        v += rho * (b - d)
        if t % 3 == 0:
            moved = np.count_nonzero((d != 0) != before)
            before = d != 0
            if moved == 0:
                break
            rho *= 1.3 if moved >= 0.1 * k else 1.2 if moved >= 0.005 * k else 1.1
    mask = d != 0
    residual = (attraction - h @ d) * mask
    direction = residual.copy()
    for _ in range(10):
        step = h @ direction
        old = np.sum(residual**2)
        a = old / max(np.sum(direction * step), 1e-30)
        d = d + a * direction
        residual = (residual - a * step) * mask
        direction = residual + np.sum(residual**2) / max(old, 1e-30) * direction
    return d / scale[:, None]


def _refit(mask: NDArray[np.bool_], weight: Matrix, gram: Matrix) -> Matrix:
    out, cross = np.zeros_like(weight), gram @ weight
    for i in range(weight.shape[1]):
        rows = np.flatnonzero(mask[:, i])
        if rows.size:
            out[rows, i] = np.linalg.solve(gram[np.ix_(rows, rows)], cross[rows, i])
    return out


METHODS = {
    "magnitude": magnitude,
    "Wanda": wanda,
    "SparseGPT": sparse_gpt,
    "ALPS": alps,
    "ExactOBS": exact_obs,
}
