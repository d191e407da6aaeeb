"""Sums of matrices, each in its own format."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.checks import expect
from fastbcd.formats.operations import (
    Index,
    scale_inputs,
    scale_outputs,
    summands,
    take_inputs,
    take_outputs,
)
from fastbcd.formats.products.product import Product, SumProduct
from fastbcd.formats.protocol import FORMATS, Format, State
from fastbcd.utils.types import Float


class SumMatrix(Format):
    """W = parts[0] + parts[1] + ..., for example low rank plus sparse.

    Parameters
    ----------
    parts : sequence of Format
        At least one matrix; all must have the same shape and dtype.
    """

    kind: ClassVar[str] = "sum"

    def __init__(self, parts: Sequence[Format]) -> None:
        self.parts: tuple[Format, ...] = tuple(parts)
        self.shape: tuple[int, int] = self.parts[0].shape
        self.is_factored = any(part.is_factored for part in self.parts)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the parts."""
        return self.parts[0].dtype

    def matmul(self, v: Float) -> Float:
        """Return the sum of ``v @ part``."""
        total = self.parts[0].matmul(v)
        for part in self.parts[1:]:
            total += part.matmul(v)
        return total

    def product(self, batch: bool) -> Product:
        """Return the product with the parts if it is estimated to be faster, otherwise with W."""
        if self.cost(batch) >= 1:
            return self._dense_product
        if batch not in self._products:
            parts = [part.product(batch) for part in self.parts]
            self._products[batch] = SumProduct(parts, self.shape[1], self.dtype)
        return self._products[batch]

    def cost(self, batch: bool) -> float:
        """Return the sum of the relative costs of the parts."""
        return sum(part.cost(batch) for part in self.parts)

    @cached_property
    def _products(self) -> dict[bool, Product]:
        return {}

    def to_dense(self) -> Float:
        """Return W as an array."""
        total = self.parts[0].to_dense()
        for part in self.parts[1:]:
            total += part.to_dense()
        return total

    @property
    def n_stored(self) -> int:
        """Stored weights of all parts."""
        return sum(part.n_stored for part in self.parts)

    @property
    def n_params(self) -> int:
        """Number of parameters of all parts."""
        return sum(part.n_params for part in self.parts)

    @property
    def flops(self) -> int:
        """Floating-point operations of all parts for one row."""
        return sum(part.flops for part in self.parts)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of all parts, named ``"<number>.<kind>.<name>"``."""
        return {
            f"{number}.{part.kind}.{name}": array
            for number, part in enumerate(self.parts)
            for name, array in part.state_dict().items()
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Rebuild from :meth:`state_dict`.

        Raises
        ------
        ValueError
            If the arrays contradict each other.
        """
        states: dict[tuple[int, str], dict[str, NDArray[Any]]] = {}
        for key, array in state.items():
            number, _, rest = key.partition(".")
            kind, _, name = rest.partition(".")
            expect(
                number.isdecimal() and kind in FORMATS, f"{key!r} must name a part and its format"
            )
            states.setdefault((int(number), kind), {})[name] = array
        expect(
            [number for number, _ in sorted(states)] == list(range(len(states))),
            "parts must be numbered from 0 without gaps",
        )
        expect(len(states) > 0, "a sum must have at least one part")
        parts = [FORMATS[kind].from_state(states[number, kind]) for number, kind in sorted(states)]
        expect(
            len({(part.shape, part.dtype) for part in parts}) == 1,
            "all parts must have the same shape and dtype",
        )
        return cls(parts)

    def scaled(self, factor: float) -> Self:
        """Return ``factor * W`` in the same format."""
        return type(self)([part.scaled(factor) for part in self.parts])


@take_inputs.register
def _take_inputs(matrix: SumMatrix, index: Index) -> SumMatrix:
    return SumMatrix([take_inputs(part, index) for part in matrix.parts])


@take_outputs.register
def _take_outputs(matrix: SumMatrix, index: Index) -> SumMatrix:
    return SumMatrix([take_outputs(part, index) for part in matrix.parts])


@scale_inputs.register
def _scale_inputs(matrix: SumMatrix, factor: Float) -> SumMatrix:
    return SumMatrix([scale_inputs(part, factor) for part in matrix.parts])


@scale_outputs.register
def _scale_outputs(matrix: SumMatrix, factor: Float) -> SumMatrix:
    return SumMatrix([scale_outputs(part, factor) for part in matrix.parts])


@summands.register
def _summands(matrix: SumMatrix) -> list[Format]:
    return [each for part in matrix.parts for each in summands(part)]
