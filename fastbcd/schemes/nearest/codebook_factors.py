r"""A product of two thin matrices with entries from one codebook, in the data's metric.

The left factor L of the best product L R has, with R fixed, the error of
:mod:`._codebook_metric` in the metric G with the sensitivities :math:`R H R^T`, which the singular
value decomposition makes diagonal. Once L is encoded, R is solved for again and encoded in the
metric :math:`L^T G L`, so that it makes up for what encoding L has done. Both share the levels,
up to one number.
"""

from __future__ import annotations

import numpy as np

from fastbcd.formats import CodebookTrainMatrix
from fastbcd.schemes.nearest.codebook_metric import CodebookProblem
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float, Float64


def quantise_factors(
    left: Float,
    right: Float,
    levels: Float64,
    target: Float64,
    metric: Metric,
    *,
    grid: bool,
) -> CodebookTrainMatrix | None:
    """Return the quantised product, in float64; None if the factors or the levels vanish.

    Parameters
    ----------
    left, right : (d, r) and (r, m) arrays
        The best product of this rank in the metric, as LowRank makes it.
    levels : (k,) float64 array
        Where the levels start, for the entries of ``left``.
    target : (d, m) float64 array
        What the product is near to.
    metric : Metric
        How errors are measured.
    grid : bool
        Whether all levels keep their ratios to each other.
    """
    d, r = left.shape
    m = right.shape[1]
    through = np.square(right, dtype=np.float64) @ metric.sensitivity
    if not (through.min() > 0 and np.abs(levels).max() > 0):
        return None
    wide = np.asarray(left, np.float64)
    problem = CodebookProblem(wide, np.ones((d, r), bool), Metric(metric.gram, through))
    first = problem.fit(levels, np.ones(r), grid=grid, by_output=False)
    codes_left = problem.spread(first)
    coded: Float64 = first.levels[codes_left]
    inner = coded.T @ metric.gram @ coded
    inner[np.diag_indices(r)] += 1e-6 * max(float(np.trace(inner)) / r, np.finfo(float).tiny)
    again = np.asarray(np.linalg.solve(inner, coded.T @ (metric.gram @ target)), np.float64)
    size = float(np.sqrt(np.mean(np.square(again)) / np.mean(np.square(first.levels))))
    if not size > 0:
        return None
    problem = CodebookProblem(again, np.ones((r, m), bool), Metric(inner, metric.sensitivity))
    second = problem.fit(size * first.levels, np.ones(m), grid=True, by_output=False)
    largest = int(np.argmax(np.abs(first.levels)))
    scale = float(second.levels[largest] / first.levels[largest])
    codes = np.concatenate([codes_left.ravel(), problem.spread(second).ravel()])
    return CodebookTrainMatrix(codes, first.levels, (d, m), (1, r, 1), (d, m), scale)
