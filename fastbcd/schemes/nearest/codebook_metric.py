r"""Quantised weights in the data's metric: codes with error feedback, levels by least squares.

    minimise  sum_i h_i (w_i - t_i)' G (w_i - t_i)   over w_i = s_i c[codes_i] on the support of t_i

The first codes correct for each other's errors; see
:func:`fastbcd_kernels.codebook_metric.nearest_plane`.
Then levels, scales and single codes are improved in turns, each exactly, so that the error falls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import CodebookMatrix, CodebookSparseMatrix
from fastbcd.parallel.ranges import in_threads
from fastbcd.schemes.nearest.support import supports
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float64
from fastbcd_kernels import codebook_metric as kernel

ROUNDS, SETTLED = 6, 2e-3
"""Levels and codes take turns at most so often, and while that lowers the error by this share."""

SWEEPS = 4
"""Sweeps over the codes in each turn."""

MAX_SYSTEM = 1 << 16
"""Entries of an output's system of levels above which the levels stay as they start."""


def improved(
    start: CodebookMatrix | CodebookSparseMatrix,
    target: Float64,
    mask: NDArray[np.bool_],
    metric: Metric,
    *,
    grid: bool,
) -> tuple[NDArray[np.int64], Float64, Float64 | None]:
    """Return codes (d, m), codebook and scale that are nearer to ``target`` in the metric.

    Parameters
    ----------
    start : CodebookMatrix or CodebookSparseMatrix
        Plain projection; levels and scales start there.
    target, mask, metric
        As in :class:`CodebookProblem`.
    grid : bool
        Whether all levels keep their ratios to each other.
    """
    by_output = start.scale is not None
    scale = np.ones(target.shape[1]) if start.scale is None else start.scale
    problem = CodebookProblem(target, mask, metric)
    book = problem.fit(
        start.codebook.astype(np.float64), scale.astype(np.float64), grid=grid, by_output=by_output
    )
    return problem.spread(book), book.levels, book.scale if by_output else None


@dataclass(frozen=True)
class Codebook:
    """Levels, scales and codes.

    Parameters
    ----------
    levels : (k,) float64 array
        Ascending.
    scale : (m,) float64 array
        Factor of each output.
    codes : (nnz,) int64 array
        A code for each entry of the support, output by output.
    """

    levels: Float64
    scale: Float64
    codes: NDArray[np.int64]


class CodebookProblem:
    """Best weights on their supports, and the metric.

    Parameters
    ----------
    target : (d, m) float64 array
        Best weights; zero off the support.
    mask : (d, m) bool array
        The supports.
    metric : Metric
        What is measured.
    """

    def __init__(self, target: Float64, mask: NDArray[np.bool_], metric: Metric) -> None:
        self._start, self._index = supports(mask)
        self._outputs = np.repeat(np.arange(mask.shape[1]), np.diff(self._start))
        self._target = np.ascontiguousarray(target[self._index, self._outputs])
        self._metric = metric
        self._gram = np.ascontiguousarray(metric.gram)
        self._shape = target.shape

    def spread(self, book: Codebook) -> NDArray[np.int64]:
        """Return the codes as a (d, m) array; zero off the support."""
        codes = np.zeros(self._shape, np.int64)
        codes[self._index, self._outputs] = book.codes
        return codes

    def fit(self, levels: Float64, scale: Float64, *, grid: bool, by_output: bool) -> Codebook:
        """Choose codes, and improve levels and scales.

        Parameters
        ----------
        levels, scale : (k,) and (m,) float64 arrays
            Where to start.
        grid : bool
            Whether all levels keep their ratios to each other.
        by_output : bool
            Whether every output has a scale.
        """
        levels = np.sort(levels)
        divisor = np.where(scale > 0, scale, 1.0)[self._outputs]
        nearest = np.searchsorted((levels[1:] + levels[:-1]) / 2, self._target / divisor)
        plain = Codebook(levels, scale, nearest.astype(np.int64))
        # Descent from the plain codes as well: the result is never worse than they are.
        starts = [self._encode(plain, fresh=fresh) for fresh in (True, False)]
        best, best_error = min(starts, key=lambda start: start[1])
        book = best
        for _ in range(ROUNDS):
            if levels.size**2 > MAX_SYSTEM:
                break
            book, error = self._encode(self._improved(book, grid, by_output), fresh=False)
            if not error < best_error:
                break
            settled = best_error - error <= SETTLED * best_error
            best, best_error = book, error
            if settled:
                break
        return best

    def _encode(self, book: Codebook, fresh: bool) -> tuple[Codebook, float]:
        """Return the codes that these levels lead to, and the error."""
        codes = book.codes.copy()
        arrays = (self._start, self._index, self._target, book.levels, book.scale)
        h = self._metric.sensitivity
        errors = np.zeros(h.size)
        factor = np.ascontiguousarray(self._metric.factor)
        sizes = np.diff(self._start)

        def work(lo: int, hi: int) -> None:
            scratch = np.empty(len(factor))
            if fresh:
                own = sizes[lo:hi]
                widest = int(np.max(own, initial=0, where=own < len(factor)))
                upper = np.empty((widest, widest))
                kernel.nearest_plane(self._gram, factor, *arrays, lo, hi, upper, scratch, codes)
            for i in range(lo, hi):
                errors[i] = kernel.descend(self._gram, *arrays, SWEEPS, i, i + 1, scratch, codes)

        in_threads(work, self._start)
        return replace(book, codes=codes), float(h @ errors)

    def _improved(self, book: Codebook, grid: bool, by_output: bool) -> Codebook:
        """Solve for the levels, and for the scales, the codes given."""
        k, m = book.levels.size, self._shape[1]
        system, rhs = np.empty((m, k, k)), np.empty((m, k))
        in_threads(
            lambda lo, hi: kernel.normal_equations(
                self._gram,
                self._start,
                self._index,
                self._target,
                book.codes,
                lo,
                hi,
                system,
                rhs,
            ),
            self._start,
        )
        h, scale, levels = self._metric.sensitivity, book.scale, book.levels
        codes = book.codes
        total = np.einsum("i,ikl->kl", h * scale**2, system)
        wanted = (h * scale) @ rhs
        if grid and not by_output:
            square = float(levels @ total @ levels)
            if square > 0:
                levels = levels * max(float(levels @ wanted) / square, 0.0)
        elif not grid:
            # Levels that no weight takes stay where they are.
            used = np.flatnonzero(np.diag(total) > 0)
            part = total[np.ix_(used, used)]
            part[np.diag_indices_from(part)] *= 1 + 1e-9
            levels = levels.copy()
            levels[used] = np.linalg.lstsq(part, wanted[used], rcond=1e-10)[0]
            order = np.argsort(levels, kind="stable")
            place = np.empty_like(order)
            place[order] = np.arange(k)
            levels, codes = levels[order], place[codes]
            system, rhs = system[:, order][:, :, order], rhs[:, order]
        if by_output:
            square = np.einsum("k,ikl,l->i", levels, system, levels)
            scale = np.maximum(np.divide(rhs @ levels, square, out=scale * 0, where=square > 0), 0)
        return Codebook(levels, scale, codes)
