"""A product of two thin matrices."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.checks import check_float, expect
from fastbcd.formats.products.product import FACTORS, FactorProduct, Product
from fastbcd.formats.protocol import Format, State
from fastbcd.utils.types import Float


class LowRankMatrix(Format):
    """W = left @ right.

    Parameters
    ----------
    left : (n_in, rank) array
        First factor.
    right : (rank, n_out) array
        Second factor.
    """

    kind: ClassVar[str] = "low_rank"

    def __init__(self, left: Float, right: Float) -> None:
        self.left: Float = np.ascontiguousarray(left)
        self.right: Float = np.ascontiguousarray(right)
        self.shape: tuple[int, int] = (left.shape[0], right.shape[1])

    @property
    def rank(self) -> int:
        """Inner dimension."""
        return int(self.left.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the factors."""
        return self.left.dtype

    def matmul(self, v: Float) -> Float:
        """Return ``(v @ left) @ right``."""
        return (v @ self.left) @ self.right

    def to_dense(self) -> Float:
        """Return W as an array."""
        return self.left @ self.right

    def product(self, batch: bool) -> Product:
        """Return the product with the factors where they are small enough, else with W."""
        return self._factor_product if self.cost(batch) < 1 else self._dense_product

    def cost(self, batch: bool) -> float:
        """Return the time of two thin products relative to that of a dense one."""
        return self.n_params / (self.shape[0] * self.shape[1]) / FACTORS[batch]

    @cached_property
    def _factor_product(self) -> Product:
        return FactorProduct([self.left, self.right])

    @property
    def n_params(self) -> int:
        """Entries of both factors."""
        return self.left.size + self.right.size

    @property
    def flops(self) -> int:
        """Two per entry of the factors."""
        return 2 * self.n_params

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return ``{"left": (n_in, rank), "right": (rank, n_out)}``."""
        return {"left": self.left, "right": self.right}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Rebuild from :meth:`state_dict`.

        Raises
        ------
        ValueError
            If the arrays contradict each other.
        """
        left, right = state["left"], state["right"]
        for factor in (left, right):
            check_float(factor, "factors", 2)
        expect(
            left.shape[1] == right.shape[0] and left.dtype == right.dtype,
            "the factors can be multiplied",
        )
        return cls(left, right)

    def scaled(self, factor: float) -> Self:
        """Return the format of ``factor * W``."""
        return type(self)(self.left, self.right * self.dtype.type(factor))
