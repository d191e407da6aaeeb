"""Features with mean zero and variance one, undone in the first layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from fastbcd.compression.report import report
from fastbcd.formats import Format
from fastbcd.formats.operations import scale_inputs
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float, Float64

NOTICED = 1e-3
"""A larger change of an output, relative to the outputs' root mean square, is noted."""


@dataclass(frozen=True)
class Standardization:
    """x -> (x - mean) / deviation.

    Parameters
    ----------
    mean, deviation : (d,) float64 array
        Of each feature; the deviation of a constant feature is one.
    """

    mean: Float64
    deviation: Float64

    @classmethod
    def of(cls, x: Float) -> Self:
        """Measure the columns of ``x``."""
        mean = x.mean(axis=0, dtype=np.float64)
        deviation = np.sqrt(np.square(x - mean).mean(axis=0))
        # What is left of a constant column after centring is rounding.
        constant = deviation <= 10 * np.finfo(x.dtype).eps * np.abs(mean)
        return cls(mean, np.where(constant | (deviation == 0), 1.0, deviation))

    def apply(self, x: Float) -> Float:
        """Return the standardised rows, in the type of ``x``."""
        return ((x - self.mean) / self.deviation).astype(x.dtype)

    def absorb(self, estimator: Any, x: Float) -> float:
        """Let ``estimator``, fitted on standardised rows, take rows as they are.

        Parameters
        ----------
        estimator : BCDClassifier or BCDRegressor
            Changed in place: its first layer.
        x : (n, d) array
            Rows as they are, to compare both networks on.

        Returns
        -------
        float
            The largest change of an output on these rows, which is rounding alone, relative to
            the root mean square of the outputs.
        """
        before = estimator.network_.forward(self.apply(x))
        first: Layer = estimator.network_.layers[0]
        dense = first.weight.to_dense().astype(np.float64)
        mean, deviation, view = self.mean, self.deviation, first.view
        if isinstance(view, PiecewiseLinearEncoding):
            mean, deviation = np.zeros(len(dense)), np.ones(len(dense))  # ramps move themselves
            n_plain = len(view.plain)
            mean[:n_plain], deviation[:n_plain] = self.mean[view.plain], self.deviation[view.plain]
            view = self._moved(view)
        shift = (mean / deviation) @ dense
        layer = replace(
            first,
            weight=_rows_scaled(first.weight, 1 / deviation),
            intercept=(first.intercept - shift).astype(first.intercept.dtype),
            view=view,
        )
        estimator.network_ = Network([layer, *estimator.network_.layers[1:]])
        estimator.compression_report_ = report(estimator.network_)
        after = estimator.network_.forward(x)
        size = float(np.sqrt(np.mean(np.square(before), dtype=np.float64))) or 1.0
        return float(np.abs(after - before).max()) / size

    def _moved(self, view: PiecewiseLinearEncoding) -> PiecewiseLinearEncoding:
        """Return the ramps on raw rows that equal those of ``view`` on standardised rows."""
        mean, deviation = self.mean[view.columns], self.deviation[view.columns]
        starts, slopes = mean + view.starts * deviation, view.slopes / deviation
        return replace(view, starts=starts, slopes=slopes).astype(view.starts.dtype)


def _rows_scaled(weight: Format, factor: Float64) -> Format:
    """Return the format of diag(factor) W."""
    scaled = scale_inputs(weight, factor.astype(weight.dtype))
    if type(scaled) is not type(weight):
        raise ValueError(
            f"--standardize cannot be absorbed by a first layer of the format {weight.kind}. Fit "
            "without a scheme, then use fastbcd compress."
        )
    return scaled
