"""Dense matrices."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.checks import check_float
from fastbcd.formats.products.product import FactorProduct
from fastbcd.formats.protocol import Format, State
from fastbcd.utils.types import Float


class DenseMatrix(Format):
    """A dense matrix.

    Parameters
    ----------
    weight : (n_in, n_out) array
        The entries.
    """

    kind: ClassVar[str] = "dense"

    def __init__(self, weight: Float) -> None:
        self.weight: Float = np.ascontiguousarray(weight)
        self.shape: tuple[int, int] = (weight.shape[0], weight.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the entries."""
        return self.weight.dtype

    def matmul(self, v: Float) -> Float:
        """Return ``v @ W``."""
        return v @ self.weight

    def to_dense(self) -> Float:
        """Return a copy of the matrix."""
        return self.weight.copy()

    @property
    def n_params(self) -> int:
        """Number of entries."""
        return self.weight.size

    @property
    def flops(self) -> int:
        """Two operations per entry."""
        return 2 * self.weight.size

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return ``{"weight": (n_in, n_out)}``."""
        return {"weight": self.weight}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Rebuild from :meth:`state_dict`.

        Raises
        ------
        ValueError
            If the weight is not a float32 or float64 matrix.
        """
        check_float(state["weight"], "weights", 2)
        return cls(state["weight"])

    def scaled(self, factor: float) -> Self:
        """Return ``factor * W`` in the same format."""
        return type(self)(self.weight * self.dtype.type(factor))

    @cached_property
    def _dense_product(self) -> FactorProduct:
        return FactorProduct([self.weight])
