"""Numbers as several features each: the piecewise-linear encoding of the inputs of a network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastbcd.linalg import products as la
from fastbcd.network.layers.view import View
from fastbcd.utils.types import Float, Float64


def selection(n_columns: int, dtype: np.dtype[Any]) -> PiecewiseLinearEncoding:
    """Return the encoding that takes every column as it is: what columns are left out of.

    Parameters
    ----------
    n_columns : int
        Number of columns of the input rows.
    dtype : dtype
        Type of the network.
    """
    none = np.zeros(0, dtype)
    return PiecewiseLinearEncoding(
        n_columns, np.arange(n_columns), np.zeros(0, np.intp), none, none
    )


@dataclass(frozen=True, eq=False)
class PiecewiseLinearEncoding(View):
    r"""The view of a first layer that reads columns through ramps.

    The features of a row x are the chosen columns themselves, then one number for each ramp,

    .. math:: \min(\max((x_c - a) s, 0), 1),

    with the column c, the start a and the slope s of the ramp. The ramps of a column between
    neighbouring quantiles are its piecewise-linear encoding (Gorishniy, Rubachev and Babenko,
    "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS 2022, eq. 1). A layer
    that multiplies them adds up a piecewise-linear function of each column.

    Parameters
    ----------
    n_columns : int
        Number of columns of the input rows.
    plain : (p,) integer array
        Columns that are features as they are.
    columns : (m,) integer array
        Column of each ramp.
    starts, slopes : (m,) arrays
        Where each ramp leaves zero, and its positive slope.
    """

    n_columns: int
    plain: NDArray[np.intp]
    columns: NDArray[np.intp]
    starts: Float
    slopes: Float

    @property
    def n_inputs(self) -> int:
        """Number of columns of the input rows."""
        return self.n_columns

    @property
    def n_features(self) -> int:
        """Number of features: rows of the weights."""
        return len(self.plain) + len(self.columns)

    @property
    def positions(self) -> int:
        """The number of rows p, which is 1."""
        return 1

    @property
    def n_params(self) -> int:
        """Starts and slopes."""
        return 2 * len(self.columns)

    @property
    def n_bytes(self) -> int:
        """Size of starts, slopes and indices.

        An index counts as the smallest unsigned integer that holds all of them: files and exported
        code store it like that. If all columns are features themselves, no index says so.
        """
        n_indices = len(self.columns) + (len(self.plain) if self.selects else 0)
        return self.starts.nbytes + self.slopes.nbytes + self.index_type.itemsize * n_indices

    @property
    def flops(self) -> int:
        """Two operations per ramp: the clipping does not count, as activations do not."""
        return 2 * len(self.columns)

    @property
    def index_type(self) -> np.dtype[Any]:
        """Smallest unsigned type of the index of a column."""
        return np.min_scalar_type(max(self.n_columns - 1, 0))

    @cached_property
    def selects(self) -> bool:
        """Whether some columns are no features themselves."""
        return not np.array_equal(self.plain, np.arange(self.n_columns))

    def rows(self, v: Float) -> Float:
        """Return the features (n, p + m) of rows ``v`` (n, n_columns), of the type of ``v``."""
        n_plain = len(self.plain)
        out = np.empty((len(v), self.n_features), v.dtype)
        out[:, :n_plain] = v.take(self.plain, axis=1) if self.selects else v
        ramps = v.take(self.columns, axis=1)
        with np.errstate(over="ignore"):  # infinity becomes 1
            ramps -= self.starts.astype(v.dtype, copy=False)
            ramps *= self.slopes.astype(v.dtype, copy=False)
        np.maximum(ramps, 0, out=ramps)  # clip is slow for one row
        np.minimum(ramps, 1, out=out[:, n_plain:])
        return out

    def take(self, features: NDArray[np.intp]) -> PiecewiseLinearEncoding:
        """Return the encoding of some of the features, given in ascending order."""
        n_plain = len(self.plain)
        ramps = features[features >= n_plain] - n_plain
        return PiecewiseLinearEncoding(
            self.n_columns,
            self.plain[features[features < n_plain]],
            self.columns[ramps],
            self.starts[ramps],
            self.slopes[ramps],
        )

    def astype(self, dtype: np.dtype[np.floating]) -> PiecewiseLinearEncoding:
        """Return the encoding with numbers of another type, slopes kept positive and finite."""
        if self.starts.dtype == self.slopes.dtype == dtype:
            return self
        limits = np.finfo(dtype)
        low, tiny, high = float(limits.min), float(limits.tiny), float(limits.max)
        starts = np.clip(self.starts.astype(np.float64), low, high).astype(dtype)
        slopes = np.clip(self.slopes.astype(np.float64), tiny, high).astype(dtype)
        return PiecewiseLinearEncoding(self.n_columns, self.plain, self.columns, starts, slopes)

    def linear(self, v: Float, weight: Float, bias: Float, out: Float) -> Float:
        """Write A(v) W + b into ``out``."""
        return la.linear(self.rows(v), weight, bias, out)

    def subtract_product(self, v: Float, weight: Float, out: Float) -> Float:
        """Subtract A(v) W from ``out``."""
        return la.add_product(out, self.rows(v), weight, -1.0)

    def gram(self, v: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return [A(v) 1]' S [A(v) 1]."""
        return la.gram(self.rows(v), sample_weight, wide)

    def square_sum(self, v: Float, sample_weight: Float64) -> float:
        """Return the weighted sum of squares of A(v)."""
        return float(sample_weight @ np.sum(np.square(self.rows(v)), axis=1, dtype=np.float64))

    def cross(self, v: Float, u: Float, sample_weight: Float64 | None, wide: bool = True) -> Float:
        """Return [A(v) 1]' S u."""
        return la.cross(self.rows(v), u, sample_weight, wide)

    def fold(self, rows: Float) -> NoReturn:
        """Refuse: nothing before the first layer is trained."""
        raise NotImplementedError("The encoding of the inputs has no adjoint.")

    def pull_back(self, u: Float, weight: Float) -> NoReturn:
        """Refuse, as :meth:`fold`."""
        raise NotImplementedError("The encoding of the inputs has no adjoint.")

    def solve_activation(
        self, new: Float, miss: Float, old: Float, weight: Float, ratio: float, residual: Float
    ) -> NoReturn:
        """Refuse, as :meth:`fold`."""
        raise NotImplementedError("The encoding of the inputs has no adjoint.")
