"""Low-rank matrices: products of two thin factors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.checks import check_float, expect
from fastbcd.formats.operations import (
    Index,
    factors,
    scale_inputs,
    scale_outputs,
    take_inputs,
    take_outputs,
)
from fastbcd.formats.products.product import FACTORS, FactorProduct, Product
from fastbcd.formats.protocol import Format, State
from fastbcd.formats.steps import Step
from fastbcd.utils.types import Float


class LowRankMatrix(Format):
    """W = left @ right.

    Parameters
    ----------
    left : (n_in, rank) array
        Left factor.
    right : (rank, n_out) array
        Right factor.
    """

    kind: ClassVar[str] = "low_rank"
    is_factored = True

    def __init__(self, left: Float, right: Float) -> None:
        self.left: Float = np.ascontiguousarray(left)
        self.right: Float = np.ascontiguousarray(right)
        self.shape: tuple[int, int] = (left.shape[0], right.shape[1])

    @property
    def rank(self) -> int:
        """Rank: the inner dimension of the product."""
        return int(self.left.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the factors."""
        return self.left.dtype

    def matmul(self, v: Float) -> Float:
        """Return ``(v @ left) @ right``."""
        return (v @ self.left) @ self.right

    def to_dense(self) -> Float:
        """Return W as an array."""
        return self.left @ self.right

    def product(self, batch: bool) -> Product:
        """Return the product with the factors if it is faster, otherwise with W."""
        return self._factor_product if self.cost(batch) < 1 else self._dense_product

    def cost(self, batch: bool) -> float:
        """Return the time of the two thin products relative to the dense product."""
        return self.n_params / (self.shape[0] * self.shape[1]) / FACTORS[batch]

    @cached_property
    def _factor_product(self) -> Product:
        return FactorProduct([self.left, self.right])

    @property
    def is_thin(self) -> bool:
        """Whether the factors have fewer entries than W."""
        return self.n_params < self.shape[0] * self.shape[1]

    def steps(self) -> list[Step]:
        """Return the two factors."""
        return [Step(self.left), Step(self.right)]

    def parameters(self) -> list[Float]:
        """Return both factors."""
        return [self.left, self.right]

    def with_parameters(self, parameters: Sequence[Float]) -> Self:
        """Return the low-rank matrix with the given factors."""
        return type(self)(*parameters)

    def pull_back(self, gradient: Float) -> list[Float]:
        """Return the gradient with respect to each factor."""
        return [gradient @ self.right.T, self.left.T @ gradient]

    @property
    def n_params(self) -> int:
        """Number of entries in both factors."""
        return self.left.size + self.right.size

    @property
    def flops(self) -> int:
        """Two operations per entry of the factors."""
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
            "left and right must agree in inner dimension and dtype",
        )
        return cls(left, right)

    def scaled(self, factor: float) -> Self:
        """Return ``factor * W`` in the same format."""
        return type(self)(self.left, self.right * self.dtype.type(factor))


@take_inputs.register
def _take_inputs(matrix: LowRankMatrix, index: Index) -> LowRankMatrix:
    return LowRankMatrix(matrix.left[index], matrix.right)


@take_outputs.register
def _take_outputs(matrix: LowRankMatrix, index: Index) -> LowRankMatrix:
    return LowRankMatrix(matrix.left, matrix.right[:, index])


@scale_inputs.register
def _scale_inputs(matrix: LowRankMatrix, factor: Float) -> LowRankMatrix:
    return LowRankMatrix(matrix.left * factor[:, None], matrix.right)


@scale_outputs.register
def _scale_outputs(matrix: LowRankMatrix, factor: Float) -> LowRankMatrix:
    return LowRankMatrix(matrix.left, matrix.right * factor)


@factors.register
def _factors(matrix: LowRankMatrix) -> list[Float]:
    return [matrix.left, matrix.right] if matrix.is_thin else [matrix.to_dense()]
