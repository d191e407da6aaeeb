"""Quantisation: few different values, and a code for each weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbcd.formats import CodebookMatrix, CodebookSparseMatrix, Format
from fastbcd.schemes import curves as _curves
from fastbcd.schemes.nearest import kmeans as quantization
from fastbcd.schemes.nearest.codebook_fit import CodebookFit
from fastbcd.schemes.nearest.codebook_metric import improved
from fastbcd.schemes.protocol import Level, Scheme, exactly_one, warm_start
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float, Float64
from fastbcd.utils.validation import REAL, check_choice, is_integer

METHODS: dict[str, int | None] = {"kmeans": None, "uniform": None, "binary": 2, "ternary": 3}
"""The methods, and their levels where they fix them."""


@dataclass
class Quantize(Scheme):
    """Restrict the weights of each layer to a few values, and store a code for each weight.

    Parameters
    ----------
    bits : int from 1 to 16, optional
        Bits of a code. Give this or ``levels``, but neither with "binary" and "ternary".
    levels : int from 2 to 65536, optional
        Number of different values.
    method : {"kmeans", "uniform", "binary", "ternary"}, default="kmeans"
        "kmeans" chooses the values freely. "uniform" uses a symmetric grid, integers times a scale,
        which suits integer arithmetic: with an odd number of levels it contains zero, with an even
        one it does not, and ``bits`` mean 2^bits - 1 levels (2 for one bit), so that zero stays
        zero. "binary" is the grid -1, 1 and "ternary" -1, 0, 1.
    per : {"layer", "column"}, default="layer"
        Whether the layer has one scale, or each column of its weight matrix (each neuron) has its
        own. With "kmeans" the columns then share one codebook up to their scales.
    codebook : sequence of float, optional
        The values, up to a scale of each layer or column: one codebook for all layers. Instead of
        ``bits`` and ``levels``; see :func:`shared_codebook`.

    Notes
    -----
    Every projection minimises ||W - T||. k-means in one dimension is solved exactly by dynamic
    programming up to 4096 distinct weights and started near the optimum above; the scale of
    a grid is the exact minimiser, found by following all changes of codes, where sorting
    these pays, and the best of many local ones for large layers with many levels.
    See :mod:`fastbcd.schemes.nearest.kmeans`. Only "kmeans" per column is a local method:
    codebook and scales take turns.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbcd.schemes import Quantize
    >>> small = Quantize(bits=1).project(np.array([[1.0, 3.0], [1.5, 2.5]]))
    >>> small.codebook, small.codes
    (array([1.25, 2.75]), array([[0, 1],
           [0, 1]], dtype=uint8))
    """

    bits: int | None = None
    levels: int | None = None
    method: str = "kmeans"
    per: str = "layer"
    codebook: Sequence[float] | None = None

    def check(self, shape: tuple[int, int]) -> None:
        """Raise ValueError if the parameters do not describe a codebook."""
        check_choice("method", self.method, tuple(METHODS))
        check_choice("per", self.per, ("layer", "column"))
        if self.codebook is not None and self.method != "kmeans":
            raise ValueError(f"method={self.method!r} chooses the values; leave codebook out.")
        if METHODS[self.method] is not None:
            if self.bits is not None or self.levels is not None:
                raise ValueError(
                    f"method={self.method!r} fixes the levels; leave bits={self.bits!r} and "
                    f"levels={self.levels!r} out."
                )
            return
        given = exactly_one(self, "bits", "levels", "codebook")
        if given == "codebook":
            self._check_codebook()
        elif given == "bits":
            if not is_integer(self.bits, 1) or int(self.bits or 0) > 16:
                raise ValueError(f"bits={self.bits!r} must be an integer from 1 to 16.")
        elif not is_integer(self.levels, 2) or int(self.levels or 0) > 65_536:
            raise ValueError(f"levels={self.levels!r} must be an integer from 2 to 65536.")

    def _check_codebook(self) -> None:
        given: Any = self.codebook
        values = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else []
        numbers = [isinstance(v, REAL) and not isinstance(v, bool) for v in values]
        if not (1 < len(values) <= 65_536 and all(numbers) and np.isfinite(values).all()):
            raise ValueError(f"codebook={given!r} must be 2 to 65536 finite numbers.")

    @property
    def keeps_values(self) -> bool:
        """Whether only the scale of the codebook may be chosen."""
        return self.method != "kmeans" or self.codebook is not None

    @property
    def n_levels(self) -> int:
        """How many values the codebook has."""
        if self.codebook is not None:
            return len(self.codebook)
        fixed: int | None = METHODS[self.method]
        if fixed is not None:
            return fixed
        if self.levels is not None:
            return int(self.levels)
        bits = int(self.bits or 0)
        return (1 << bits) - (self.method == "uniform" and bits > 1)

    @property
    def is_open(self) -> bool:
        """Whether no amount is given, so that a budget may choose it."""
        if self.codebook is not None:
            return False
        return self.bits is None and self.levels is None and METHODS.get(self.method) is None

    def project(self, weight: Float, warm: Format | None = None) -> CodebookMatrix:
        """Return the nearest matrix with that many different values."""
        self.check((weight.shape[0], weight.shape[1]))
        start = warm_start(CodebookMatrix, warm, weight.shape)
        codes, codebook, scale = self._fit(np.ascontiguousarray(weight), None, start)
        return CodebookMatrix(codes, _honest(codebook, weight), scale)

    def project_nonzeros(self, weight: Float, warm: Format | None = None) -> CodebookSparseMatrix:
        """Return the nearest matrix with that many different values at the non-zeros of ``weight``.

        A value of zero, as an odd grid has it, is not stored.

        Parameters
        ----------
        weight : (n_in, n_out) array
            What to compress, its zeros staying.
        warm : Format, optional
            Result for a matrix nearby.
        """
        self.check((weight.shape[0], weight.shape[1]))
        start = warm_start(CodebookSparseMatrix, warm, weight.shape)
        weight = np.ascontiguousarray(weight)
        mask = weight != 0
        codes, codebook, scale = self._fit(weight, mask, start)
        return CodebookSparseMatrix.from_codes(codes, _honest(codebook, weight), mask, scale)

    def project_in_metric(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        warm: Format | None = None,
    ) -> CodebookMatrix:
        """Return a matrix with that many different values near ``target`` in the data's metric.

        See :mod:`fastbcd.schemes.nearest.codebook_metric`.
        """
        start = self.project(metric.seen(target), warm)
        mask = np.ones(target.shape, bool)
        codes, codebook, scale = improved(start, target, mask, metric, grid=self.keeps_values)
        return CodebookMatrix(
            codes, codebook.astype(dtype), None if scale is None else scale.astype(dtype)
        )

    def nonzeros_in_metric(
        self, target: Float64, metric: Metric, dtype: np.dtype[Any]
    ) -> CodebookSparseMatrix:
        """Return the same for the non-zeros of ``target``, the best weights on their supports.

        Parameters
        ----------
        target, metric, dtype
            As in :meth:`project_in_metric`.
        """
        mask = target != 0
        start = self.project_nonzeros(metric.seen(target))
        codes, codebook, scale = improved(start, target, mask, metric, grid=self.keeps_values)
        return CodebookSparseMatrix.from_codes(
            codes, codebook.astype(dtype), mask, None if scale is None else scale.astype(dtype)
        )

    def codebook_of(self, values: Float) -> Float64:
        """Return the codebook for ``values`` (n, 1), whatever ``per`` says."""
        return self._fit.levels(values)

    @property
    def _fit(self) -> CodebookFit:
        free = self.method == "kmeans"
        return CodebookFit(self.n_levels, self.per == "column", free, self.codebook)

    def curve(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        span: tuple[float, float] | None = None,
    ) -> list[Level]:
        """Return the errors of 1 to 8 bits, measured at three and interpolated between.

        The errors of a sample of the outputs stand for all.
        """
        options = [Quantize(bits=b, method=self.method, per=self.per) for b in range(1, 9)]
        errors = _curves.rounding_errors(options, target, metric)
        levels = []
        for scheme, error in zip(options, errors, strict=True):
            made = CodebookMatrix(
                np.zeros(target.shape, np.uint8),
                np.zeros(scheme.n_levels, dtype),
                np.zeros(target.shape[1], dtype) if self.per == "column" else None,
            )
            levels.append(Level(scheme, made.n_params, made.n_bits // 8, error))
        return levels


def shared_codebook(weights: Sequence[Float], levels: int) -> tuple[float, ...]:
    """Return one codebook for several layers, each up to a scale of its own.

    Parameters
    ----------
    weights : sequence of (n_in, n_out) arrays
        Weights of the layers, such as ``estimator.coefs_[:-1]``.
    levels : int
        Number of values.

    Returns
    -------
    tuple of ``levels`` floats
        For ``Quantize(codebook=...)``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbcd.schemes import Quantize
    >>> from fastbcd.schemes.quantize import shared_codebook
    >>> layers = [np.array([[1.0, -3.0]]), np.array([[300.0, -100.0]])]
    >>> values = shared_codebook(layers, 4)
    >>> [Quantize(codebook=values).project(layer).to_dense().round(9).tolist() for layer in layers]
    [[[1.0, -3.0]], [[300.0, -100.0]]]
    """
    sizes = [max(float(np.sqrt(np.mean(np.square(w, dtype=np.float64)))), 1e-300) for w in weights]
    scaled = [np.asarray(w, np.float64).ravel() / s for w, s in zip(weights, sizes, strict=True)]
    mass = [np.full(w.size, s * s / max(sizes) ** 2) for w, s in zip(scaled, sizes, strict=True)]
    values = quantization.kmeans(np.concatenate(scaled), levels, weight=np.concatenate(mass))
    return tuple(values.tolist())


def _honest(codebook: Float, weight: Float) -> Float:
    """Return a codebook of NaN if ``weight`` holds any: no code could say where it was."""
    return np.full_like(codebook, np.nan) if np.isnan(weight).any() else codebook
