r"""Tensor-train decomposition through Gram matrices.

The plain TT-SVD cuts a tensor into a train of cores by one truncated SVD per mode.
Only the leading left singular vectors are needed, and those are the eigenvectors of
the Gram matrix of the smaller side of each unfolding: one symmetric product and one
small eigenproblem instead of a long, thin SVD. Unfoldings whose rank is not cut need
no arithmetic at all.

A sweep can start from the cores of an earlier one (``warm``): the eigenproblem is then
replaced by two steps of orthogonal iteration, which never lose energy, and is solved
exactly only where these steps still gain.

Squaring the matrix halves the digits that are trusted. The energy cut off, which is what
the result is judged by, is exact as long as it is not itself lost in rounding; where less
than ``EXACT_BELOW`` of the energy is cut, an SVD of the unfolding decides instead.

Layout: modes m_1 .. m_d, ranks r_0 = 1, r_1, .., r_d = 1; core k is the C-contiguous
array (r_{k-1}, m_k, r_k), and all cores lie one after another in one float64 buffer.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

EXACT_BELOW = 1e-9
WARM_STEPS = 2
STILL_GAINING = 1e-3


@njit(cache=True, nogil=True)
def _leading_subspace(
    unfolding: NDArray[np.float64], gram: NDArray[np.float64], rank: int, left: bool
) -> tuple[NDArray[np.float64], float]:
    """Return an orthonormal basis of the leading subspace and the energy outside it."""
    energy, vectors = np.linalg.eigh(gram)
    total = 0.0
    cut = 0.0
    n = energy.size
    for i in range(n):
        total += max(energy[i], 0.0)
        if i < n - rank:
            cut += max(energy[i], 0.0)
    if cut < EXACT_BELOW * total:
        u, s, vt = np.linalg.svd(unfolding, False)
        cut = 0.0
        for i in range(rank, s.size):
            cut += s[i] * s[i]
        if left:
            return np.ascontiguousarray(u[:, :rank]), cut
        return np.ascontiguousarray(vt[:rank].T), cut
    return np.ascontiguousarray(vectors[:, n - rank :]), cut


@njit(cache=True, nogil=True)
def _orthogonal_iteration(
    gram: NDArray[np.float64], basis: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, bool]:
    """Improve ``basis``; return it, the energy outside it, and whether it has settled."""
    total = np.trace(gram)
    before = np.sum(basis * np.dot(gram, basis))
    for _ in range(WARM_STEPS):
        basis, _r = np.linalg.qr(np.dot(gram, basis))
        basis = np.ascontiguousarray(basis)
    after = np.sum(basis * np.dot(gram, basis))
    cut = max(total - after, 0.0)
    settled = after - before <= STILL_GAINING * cut and cut >= EXACT_BELOW * total
    return basis, cut, settled


@njit(cache=True, nogil=True)
def tt_sweep(
    tensor: NDArray[np.float64],
    modes: NDArray[np.int64],
    ranks: NDArray[np.int64],
    cores: NDArray[np.float64],
    warm: bool,
) -> tuple[float, int]:
    """Decompose ``tensor`` into the train ``cores``, one mode after another.

    Parameters
    ----------
    tensor : (prod(modes),) float64 array
        Entries in row-major order.
    modes : (d,) int64 array
        Mode sizes.
    ranks : (d + 1,) int64 array
        Ranks, ``ranks[k] <= min(ranks[k-1] * modes[k-1], prod(modes[k:]))``.
    cores : (sum r_{k-1} m_k r_k,) float64 array
        Result; on entry the cores of an earlier sweep if ``warm``.
    warm : bool
        Start from ``cores``.

    Returns
    -------
    cut_energy : float
        Squared Frobenius norm of what was cut off, ||tensor - train||^2.
    n_exact : int
        Eigenproblems that were solved exactly.
    """
    rest = tensor.copy()
    offset = 0
    cut_energy = 0.0
    n_exact = 0
    for k in range(modes.size - 1):
        rows = ranks[k] * modes[k]
        columns = rest.size // rows
        rank = ranks[k + 1]
        unfolding = rest.reshape(rows, columns)
        core = cores[offset : offset + rows * rank].reshape(rows, rank)
        offset += rows * rank
        if rank == rows:
            core[:, :] = 0.0
            for i in range(rows):
                core[i, i] = 1.0
            continue
        if rank == columns:
            core[:, :] = unfolding
            rest = np.zeros(rank * rank)
            for i in range(rank):
                rest[i * rank + i] = 1.0
            continue
        if rows <= columns:
            gram = np.dot(unfolding, unfolding.T)
            basis = core.copy()
            cut = 0.0
            settled = False
            if warm:
                basis, cut, settled = _orthogonal_iteration(gram, basis)
            if not settled:
                basis, cut = _leading_subspace(unfolding, gram, rank, True)
                n_exact += 1
            core[:, :] = basis
            rest = np.dot(np.ascontiguousarray(basis.T), unfolding).ravel()
        else:
            gram = np.dot(unfolding.T, unfolding)
            basis = np.empty((columns, rank))
            cut = 0.0
            settled = False
            if warm:
                start, _r = np.linalg.qr(np.dot(unfolding.T, core))
                basis, cut, settled = _orthogonal_iteration(gram, np.ascontiguousarray(start))
            if not settled:
                basis, cut = _leading_subspace(unfolding, gram, rank, False)
                n_exact += 1
            q, r = np.linalg.qr(np.dot(unfolding, basis))
            core[:, :] = q
            rest = np.dot(np.ascontiguousarray(r), np.ascontiguousarray(basis.T)).ravel()
        cut_energy += cut
    cores[offset:] = rest
    return cut_energy, n_exact
