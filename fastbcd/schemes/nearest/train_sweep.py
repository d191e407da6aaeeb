r"""Tensor-train decomposition through Gram matrices.

The plain TT-SVD (Oseledets, SIAM J. Sci. Comput. 33, 2011) cuts a tensor into a train of cores by
one truncated SVD per mode. Only the leading left singular vectors are needed, and those are
the eigenvectors of the Gram matrix of the smaller side of each unfolding: one symmetric
product and one small eigenproblem instead of a long, thin SVD. Unfoldings whose rank is not
cut need no arithmetic at all.

A sweep can start from the cores of an earlier one: the eigenproblem is then replaced by two
or four steps of orthogonal iteration, which never lose energy, and is solved exactly only where
the last two still gain, or where a direction outside holds more than the weakest one inside.

Squaring the matrix halves the digits that are trusted. The energy cut off, which is what
the result is judged by, is exact as long as it is not itself lost in rounding; where less
than ``EXACT_BELOW`` of the energy is cut, an SVD of the unfolding decides instead. The cuts of
all unfoldings add up to the error of the train, so each is held against what the ones before
it have cut already: what no longer shows in the sum is not worth an exact solution.

A sweep that starts from cores may run in float32, in less time: a basis that is off by a rounding
error cuts off more by the square of that. Where float32 would not show how much is cut, an
unfolding is dealt with once more in float64, from the basis that float32 has found.

All of it is BLAS and LAPACK. A compiled version of this sweep was tried: it ran no faster and
took longer to compile than all the kernels together, so there is none.

Layout: modes m_1 .. m_d, ranks r_0 = 1, r_1, .., r_d = 1; core k is the C-contiguous
array (r_{k-1}, m_k, r_k), and all cores lie one after another in one buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import qr, svd

from fastbcd.linalg.eigen import all_eigenpairs
from fastbcd.parallel.blas_threads import one_blas_thread
from fastbcd.utils.types import Float

EXACT_BELOW = 1e-9
SINGLE_ABOVE = 1e-5
"""Share of the energy that must be cut, for float32 to tell within a percent how much it is.

The error of the train found so is within 1e-5 of that of one found in float64.
"""

WARM_STEPS, WARM_ROUNDS = 2, 2
STILL_GAINING = 3e-4


def tt_sweep(
    tensor: Float, modes: Sequence[int], ranks: Sequence[int], cores: Float, warm: bool
) -> tuple[float, int]:
    """Decompose ``tensor`` into the train ``cores``, one mode after another.

    Parameters
    ----------
    tensor : (prod(modes),) array
        Entries in row-major order; in float32 only if ``warm``.
    modes : sequence of d int
        Mode sizes.
    ranks : sequence of d + 1 int
        Ranks, ``ranks[k] <= min(ranks[k-1] * modes[k-1], prod(modes[k:]))``.
    cores : (sum r_{k-1} m_k r_k,) array of the type of ``tensor``
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
    with one_blas_thread():
        return _sweep(tensor, modes, ranks, cores, warm)


def _sweep(
    tensor: Float, modes: Sequence[int], ranks: Sequence[int], cores: Float, warm: bool
) -> tuple[float, int]:
    """Do the work of :func:`tt_sweep`."""
    rest = tensor
    offset = 0
    cut_energy = 0.0
    n_exact = 0
    for k in range(len(modes) - 1):
        rows, rank = ranks[k] * modes[k], ranks[k + 1]
        unfolding = rest.reshape(rows, -1)
        core = cores[offset : offset + rows * rank].reshape(rows, rank)
        offset += rows * rank
        if rank == rows:
            core[:] = np.eye(rows, dtype=core.dtype)
            continue
        if rank == unfolding.shape[1]:
            core[:] = unfolding
            rest = np.eye(rank, dtype=core.dtype)
            continue
        basis, cut, exact = _left_basis(unfolding, core if warm else None, rank, cut_energy)
        if warm:
            # The next core was fitted to the old basis: turn it along.
            size = rank * modes[k + 1] * ranks[k + 2]
            following = cores[offset : offset + size].reshape(rank, -1)
            following[:] = (basis.T @ core) @ following
        core[:] = basis
        rest = basis.T @ unfolding
        cut_energy += cut
        n_exact += exact
    cores[offset:] = rest.ravel()
    return cut_energy, n_exact


def _left_basis(
    unfolding: Float, start: Float | None, rank: int, lost: float
) -> tuple[Float, float, bool]:
    """Return an orthonormal basis (rows, rank) of the leading left singular subspace.

    Also the energy outside it, and whether an eigenproblem was solved. The Gram matrix is
    that of the shorter side; a basis of the right side is carried over by a QR. ``lost`` is the
    energy that earlier unfoldings have cut off.
    """
    rows, columns = unfolding.shape
    short = unfolding if rows <= columns else unfolding.T
    gram = short @ short.T  # NumPy forms a symmetric product, and lets other threads run
    settled = False
    if start is not None:
        guess = start if rows <= columns else _orthonormal(unfolding.T @ start)
        basis, cut, settled = _orthogonal_iteration(gram, guess, lost)
    if not settled and (start is None or _shows(lost + cut, gram)):
        basis, cut = _leading_subspace(short, gram, rank, lost)
    if rows > columns:
        basis = _orthonormal(unfolding @ basis)
        if settled:  # the step to the other side has gained once more
            kept = basis.T @ unfolding
            total = float(np.trace(gram, dtype=np.float64))
            cut = max(total - float(np.sum(kept * kept, dtype=np.float64)), 0.0)
    if gram.dtype == np.float32 and not _shows(lost + cut, gram):
        wide = unfolding.astype(np.float64)
        basis, cut, exact = _left_basis(wide, basis.astype(np.float64), rank, lost)
        return basis.astype(np.float32), cut, exact
    return basis, cut, not settled


def _shows(error: float, gram: Float) -> bool:
    """Whether the type of ``gram`` can tell how much energy is cut."""
    least = SINGLE_ABOVE if gram.dtype == np.float32 else 0.0
    return error >= least * float(np.trace(gram, dtype=np.float64))


def _orthonormal(matrix: Float) -> Float:
    factors: Any = qr(matrix, mode="economic", check_finite=False)
    q: Float = factors[0]
    return q


def _leading_subspace(short: Float, gram: Float, rank: int, lost: float) -> tuple[Float, float]:
    """Return a basis of the leading subspace of the rows' side, and the energy outside it."""
    n = gram.shape[0]
    # All eigenvectors by divide and conquer come sooner than a third of them by the others.
    energies, all_vectors = all_eigenpairs(gram)
    energy, vectors = energies[n - rank :], all_vectors[:, n - rank :]
    total = float(np.trace(gram, dtype=np.float64))
    cut = max(total - float(energy.sum(dtype=np.float64)), 0.0)
    if lost + cut >= EXACT_BELOW * total or gram.dtype == np.float32:
        return vectors, cut
    u, s, _ = svd(short, full_matrices=False, check_finite=False)
    return u[:, :rank], float(np.sum(np.square(s[rank:])))


def _orthogonal_iteration(gram: Float, basis: Float, lost: float) -> tuple[Float, float, bool]:
    """Improve ``basis``; return it, the energy outside it, and whether it has settled."""
    total = float(np.trace(gram, dtype=np.float64))
    image = gram @ basis
    energy = float(np.sum(basis * image, dtype=np.float64))
    for _ in range(WARM_ROUNDS):
        for _ in range(WARM_STEPS):
            basis = _orthonormal(image)
            image = gram @ basis
        inside = np.sum(basis * image, axis=0, dtype=np.float64)
        gained, energy = float(inside.sum()) - energy, float(inside.sum())
        cut = max(total - energy, 0.0)
        error = lost + cut
        settled = gained <= STILL_GAINING * error
        if settled:
            break
    settled = settled and error >= EXACT_BELOW * total and _shows(error, gram)
    return basis, cut, settled and _holds_most(gram, basis, float(inside.min()))


def _holds_most(gram: Float, basis: Float, weakest: float) -> bool:
    """Whether a few power steps outside ``basis`` find nothing stronger than its weakest vector.

    An invariant subspace that is not the leading one does not move either.
    """
    outside: Any = np.ones(gram.shape[0], gram.dtype)
    for _ in range(WARM_STEPS + 1):
        outside = outside - basis @ (basis.T @ outside)
        norm = float(np.linalg.norm(outside))
        if norm == 0:
            return True
        image = gram @ (outside / norm)
        if float(outside @ image) / norm > (1 + STILL_GAINING) * weakest:
            return False
        outside = image
    return True
