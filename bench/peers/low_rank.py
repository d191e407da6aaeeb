"""Low-rank factors of a trained layer, written plainly from the published formulas.

W (n_in, n_out) becomes A B of a given rank; H = X'X / n. NumPy, float64.
"""

from __future__ import annotations

import numpy as np

from bench.peers.oneshot import Matrix, damped

Factors = tuple[Matrix, Matrix]


def plain(weight: Matrix, gram: Matrix, rank: int) -> Factors:
    """Truncate the singular values of W."""
    u, s, vt = np.linalg.svd(weight, full_matrices=False)
    return u[:, :rank] * s[:rank], vt[:rank]


def activation_aware(weight: Matrix, gram: Matrix, rank: int, alpha: float = 0.5) -> Factors:
    """Scale the inputs by their mean size first (ASVD, Yuan et al., arXiv:2312.05821).

    ASVD takes mean |x_j|^alpha; the root mean square stands for the mean size here, which needs
    H alone.
    """
    scale = np.maximum(np.sqrt(np.diag(gram)), 1e-6) ** alpha
    left, right = plain(weight * scale[:, None], gram, rank)
    return left / scale[:, None], right


def whitened(weight: Matrix, gram: Matrix, rank: int) -> Factors:
    """Truncate S'W with S S' = H, which minimises ||X (W - A B)|| (SVD-LLM, arXiv:2403.07378)."""
    factor = np.linalg.cholesky(damped(gram, 1e-3))
    left, right = plain(factor.T @ weight, gram, rank)
    return np.linalg.solve(factor.T, left), right
