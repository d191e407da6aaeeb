"""One-shot pruning of a trained layer, written plainly from the published formulas.

Every method chooses and sets the weights of one layer so that its outputs on the data change
little: minimise ||X (W - T)||^2 over T with at most k non-zeros, with H = X'X / n. W is
(n_in, n_out), as in scikit-learn. Damping, iterations and penalties are the authors'. NumPy,
float64, no thought for speed. :mod:`bench.peers.exact_obs` has the one that needs a compiler, and
:mod:`bench.peers.sequential` applies them to whole networks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]


def keep_largest(size: Matrix, k: int) -> Mask:
    """Return the mask of the k largest entries."""
    mask = np.zeros(size.size, bool)
    mask[np.argsort(-size, axis=None, kind="stable")[:k]] = True
    return mask.reshape(size.shape)


def damped(gram: Matrix, share: float = 0.01) -> Matrix:
    """Return the Gram matrix plus ``share`` of its mean diagonal."""
    return gram + share * np.mean(np.diag(gram)) * np.eye(len(gram))


def refit(mask: Mask, weight: Matrix, gram: Matrix) -> Matrix:
    """Return the exact minimiser of ||X (W - T)||^2 over T on the support, output by output."""
    out, cross = np.zeros_like(weight), gram @ weight
    for i in range(weight.shape[1]):
        rows = np.flatnonzero(mask[:, i])
        if rows.size:
            out[rows, i] = np.linalg.solve(gram[np.ix_(rows, rows)], cross[rows, i])
    return out


def magnitude(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """Keep the k largest weights."""
    return weight * keep_largest(np.abs(weight), k)


def magnitude_refit(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """Keep the k largest weights and solve for their values."""
    return refit(keep_largest(np.abs(weight), k), weight, damped(gram, 1e-3))


def wanda(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """Keep the largest |W_ji| ||x_j|| of each output (Sun et al., arXiv:2306.11695)."""
    score = np.abs(weight) * np.sqrt(np.diag(gram))[:, None]
    counts = np.full(weight.shape[1], k // weight.shape[1])
    counts[: k % weight.shape[1]] += 1
    rank = np.argsort(np.argsort(-score, axis=0, kind="stable"), axis=0)
    return weight * (rank < counts)


def sparse_gpt(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """Sweep over the inputs and let the later ones repair (Frantar, Alistarh, arXiv:2301.00774).

    One block of all inputs: blocks of equal sparsity would be unfair on data with dead inputs.
    """
    upper = np.linalg.cholesky(np.linalg.inv(damped(gram))).T
    work = weight.copy()
    mask = keep_largest(np.square(work / np.diag(upper)[:, None]), k)
    for j in range(len(work)):
        kept = work[j] * mask[j]
        error = (work[j] - kept) / upper[j, j]
        work[j:] -= np.outer(upper[j, j:], error)
        work[j] = kept
    return work


def admm_grad(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """ADMM with one inverse and a cubic schedule of the sparsity (Boza, arXiv:2401.02938)."""
    norms = np.sqrt(np.diag(gram)) + 1e-8
    h = damped(gram / np.outer(norms, norms), 0.1)
    goal = weight * norms[:, None]
    attraction, inverse = h @ goal, np.linalg.inv(h + np.eye(len(h)))
    v, u, z = goal.copy(), np.zeros_like(goal), goal
    for t in range(1, 21):
        ramp = 1 - (1 - min(t / 15, 1.0)) ** 3
        size = goal.size - round(ramp * (goal.size - k))
        z = (v + u) * keep_largest(np.abs(v + u), size)
        u = u + v - z
        v = inverse @ (attraction + z - u)
    return z / norms[:, None]


def alps(weight: Matrix, gram: Matrix, k: int) -> Matrix:
    """ADMM with a penalty that follows the support (Meng et al., arXiv:2406.07831), then CG."""
    h = damped(gram)
    scale = np.sqrt(np.diag(h))
    h = h / np.outer(scale, scale)
    values, vectors = np.linalg.eigh(h)
    goal = weight * scale[:, None]
    attraction = h @ goal
    d, v, rho = goal * keep_largest(np.abs(goal), k), np.zeros_like(goal), 0.1
    before = d != 0
    for t in range(1, 301):
        b = vectors @ ((vectors.T @ (attraction - v + rho * d)) / (values + rho)[:, None])
        d = (b + v / rho) * keep_largest(np.abs(b + v / rho), k)
        v += rho * (b - d)
        if t % 3 == 0:
            moved = np.count_nonzero((d != 0) != before)
            before = d != 0
            if moved == 0:
                break
            rho *= 1.3 if moved >= 0.1 * k else 1.2 if moved >= 0.005 * k else 1.1
    # Conjugate gradients on the support; the scaled H has a unit diagonal to start with.
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
