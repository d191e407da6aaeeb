"""Errors of pruning and quantising over a range of sizes: measured at a few, else interpolated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import CodebookSparseMatrix, Format, SparseMatrix
from fastbcd.schemes.nearest import support as _support
from fastbcd.schemes.nearest.support import Keep
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float64

LEVELS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3)
"""Densities at which the error of pruning is measured; between them it is interpolated."""

FULLER, SMALL = (0.6, 1.0), 65_536
"""Maximum weights of a matrix that is measured at more densities, which mild budgets need."""

STEP = 1.8
"""Largest ratio of neighbouring densities where a span of them is asked for."""

PER_LEVEL = 12
"""Points that are interpolated between two measured ones."""


class Pruning(Protocol):
    """What is needed of a pruning scheme."""

    def path(self, target: Float64, metric: Metric, counts: Sequence[int]) -> list[Float64]:
        """Return good weights with each of ``counts``, ascending, non-zeros."""
        ...


class Quantizing(Protocol):
    """What is needed of a quantising scheme."""

    @property
    def n_levels(self) -> int:
        """How many values the codebook has."""
        ...

    def project_in_metric(self, target: Float64, metric: Metric, dtype: np.dtype[Any]) -> Format:
        """Return ``target`` quantised."""
        ...

    def nonzeros_in_metric(
        self, target: Float64, metric: Metric, dtype: np.dtype[Any]
    ) -> CodebookSparseMatrix:
        """Return the non-zeros of ``target`` quantised."""
        ...


SAMPLE = 24
"""Outputs on which the error of quantising is measured."""

TINY = np.finfo(np.float64).tiny


def counts_between(size: int, span: tuple[float, float] | None) -> list[int]:
    """Return ascending numbers of non-zeros to measure at, for shares ``span`` of ``size``."""
    densities: Sequence[float] = LEVELS if size > SMALL else (*LEVELS, *FULLER)
    if span is not None:
        n_levels = 1 + max(1, ceil(np.log(span[1] / span[0]) / np.log(STEP)))
        densities = np.geomspace(*span, n_levels).tolist()
    return sorted({min(size, max(1, round(density * size))) for density in densities})


def pruned_path(
    target: Float64, metric: Metric, counts: Sequence[int], keep: Sequence[Keep]
) -> list[Float64]:
    """Return good weights of each number of non-zeros, by short searches.

    From dense to sparse, so that each search starts from the one before.
    """
    weight: Float64 | None = None
    found: list[Float64] = []
    for constraint in reversed(keep[: len(counts)]):
        mask = _support.find_support(
            target, metric, constraint, start=weight, rho=0.1, growth=1.3, max_iterations=12
        )
        weight = _support.refit(mask, target, metric)
        found.append(weight)
    return found[::-1]


def between(counts: Sequence[int]) -> NDArray[np.int64]:
    """Return the numbers of non-zeros that are interpolated at, the measured ones included."""
    n_points = PER_LEVEL * (len(counts) - 1) + 1
    return np.unique(np.geomspace(counts[0], counts[-1], n_points).round()).astype(np.int64)


def interpolated(
    grid: NDArray[np.int64], counts: Sequence[int], errors: Sequence[float]
) -> list[float]:
    """Interpolate positive errors on logarithmic scales."""
    logs = np.log(np.maximum(errors, TINY))
    values: list[float] = np.exp(np.interp(np.log(grid), np.log(counts), logs)).tolist()
    return values


def sampled(weight: Float64, metric: Metric) -> tuple[Float64, Metric, float]:
    """Return some outputs of ``weight``, their metric, and how many times as many there are."""
    m = weight.shape[1]
    if m <= SAMPLE:
        return weight, metric, 1.0
    chosen = np.linspace(0, m - 1, SAMPLE).astype(int)
    part = Metric(metric.gram, metric.sensitivity[chosen])
    part.__dict__["factor"] = metric.factor
    return np.ascontiguousarray(weight[:, chosen]), part, m / SAMPLE


def pruned_and_quantised(
    pruning: Pruning,
    quantizers: Sequence[Quantizing],
    target: Float64,
    metric: Metric,
    dtype: np.dtype[Any],
    span: tuple[float, float] | None,
) -> Iterator[tuple[Any, int, int, float]]:
    """Yield every quantizer with numbers of non-zeros, their bytes and their errors.

    On a support the best weights and their rounding err at right angles: both errors add up.
    """
    counts = counts_between(target.size, span)
    grid = between(counts)
    path = pruning.path(target, metric, counts)
    missed = interpolated(grid, counts, [metric.error(weight - target) for weight in path])
    shape = (target.shape[0], target.shape[1])
    filled = [_filled(k, shape, dtype) for k in grid.tolist()]
    for quantizer in quantizers:
        rounding = []
        for weight in path:
            some, part, times = sampled(weight, metric)
            made = quantizer.nonzeros_in_metric(some, part, np.dtype(float))
            rounding.append(times * part.error(made.to_dense() - some))
        rounded = interpolated(grid, counts, rounding)
        for places, first, second in zip(filled, missed, rounded, strict=True):
            size = coded_bytes(places, quantizer.n_levels)
            yield quantizer, places.values.size, size, first + second


def rounding_errors(
    quantizers: Sequence[Quantizing], target: Float64, metric: Metric
) -> list[float]:
    """Return the errors of 1, 2, .. bits: measured at 1, 2 and 4, each bit more a quarter."""
    some, part, times = sampled(target, metric)
    measured = (1, 2, 4)
    logs = []
    for bits in measured:
        made = quantizers[bits - 1].project_in_metric(some, part, np.dtype(float))
        logs.append(np.log2(max(times * part.error(made.to_dense() - some), TINY)))
    return [
        2.0 ** (float(np.interp(bits, measured, logs)) - 2 * max(0, bits - measured[-1]))
        for bits in range(1, len(quantizers) + 1)
    ]


def sparse_bytes(n_nonzero: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> int:
    """Return the bytes of a sparse matrix, counted on one of the same shape and filling."""
    return _filled(n_nonzero, shape, dtype).n_bits // 8


def coded_bytes(places: SparseMatrix, levels: int) -> int:
    """Return the bytes of ``places`` with ``levels`` different values."""
    codes = np.zeros(places.values.size, np.uint16)
    numbers = np.zeros(levels, places.values.dtype)
    columns, row_lengths, width = places.columns, places.row_lengths, places.shape[1]
    return CodebookSparseMatrix(codes, numbers, columns, row_lengths, width).n_bits // 8


def _filled(n_nonzero: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> SparseMatrix:
    flat = np.zeros(shape[0] * shape[1], dtype)
    flat[np.linspace(0, flat.size - 1, n_nonzero).astype(int)] = 1
    return SparseMatrix.from_dense(flat.reshape(shape))
