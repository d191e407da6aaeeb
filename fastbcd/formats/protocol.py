"""The protocol that every format follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.products.product import FactorProduct, Product
from fastbcd.formats.steps import Step
from fastbcd.utils.types import Float

State: TypeAlias = Mapping[str, NDArray[Any]]


FORMATS: dict[str, type[Format]] = {}
"""Every format by the name that a file gives it. Subclasses add themselves."""


class Format(ABC):
    """A matrix of shape (n_in, n_out) in some stored form.

    Instances are immutable: whoever changes a network makes new ones. What can be formed again is
    kept in attributes that start with an underscore, which are neither copied nor pickled.
    """

    kind: ClassVar[str]
    """Name of the format, unique."""

    shape: tuple[int, int]
    """(n_in, n_out)."""

    on_support: ClassVar[bool] = False
    """Whether only the entries on a support are stored."""

    is_factored: bool = False
    """Whether W is a product of smaller arrays."""

    @property
    def n_levels(self) -> int | None:
        """How many different values the stored entries take; None if each has its own."""
        return None

    @property
    def n_stored(self) -> int:
        """How many weights are stored, each as a number or as a code."""
        return self.n_params

    @property
    def is_pruned(self) -> bool:
        """Whether the entries on a support are stored, each with a value of its own."""
        return self.on_support and self.n_levels is None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in vars(cls):
            FORMATS[cls.kind] = cls

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers it multiplies with."""

    @abstractmethod
    def matmul(self, v: Float) -> Float:
        """Return ``v @ W`` for ``v`` of shape (n, n_in), without forming W where that pays."""

    @abstractmethod
    def to_dense(self) -> Float:
        """Return W as an array of shape (n_in, n_out)."""

    def steps(self) -> list[Step] | None:
        """Return the products that ``matmul`` consists of; None if W is multiplied as one matrix.

        What has steps is written in C by them, in its stored size.
        """
        return None

    def parameters(self) -> list[Float]:
        """Return the arrays that a refinement may change; none if W is to stay as it is.

        W must be linear in each of them with the others fixed.
        """
        return []

    def with_parameters(self, parameters: Sequence[Float]) -> Format:
        """Return the matrix made of other ``parameters``, arrays of the same shapes."""
        raise TypeError(f"{type(self).__name__} has no parameters to change.")

    def pull_back(self, gradient: Float) -> list[Float]:
        """Return the gradient in each parameter, given that in W (n_in, n_out)."""
        raise TypeError(f"{type(self).__name__} has no parameters to change.")

    @property
    @abstractmethod
    def n_params(self) -> int:
        """How many numbers are free: stored weights, without indices."""

    @property
    @abstractmethod
    def flops(self) -> int:
        """Floating-point operations of one product with one row."""

    @abstractmethod
    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that define the matrix, each in the smallest type that holds it."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: State) -> Self:
        """Rebuild the matrix from the ``state`` that :meth:`state_dict` returned."""

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """Return the format of ``factor * W``."""

    @property
    def n_bits(self) -> int:
        """Bits of the arrays of :meth:`state_dict`: numbers, indices and shape."""
        return 8 * sum(array.nbytes for array in self.state_dict().values())

    def product(self, batch: bool) -> Product:
        """Return the fastest way to multiply one row, or a batch of rows, by W.

        What it needs besides the stored numbers is formed on the first call and kept.
        """
        return self._dense_product

    def cost(self, batch: bool) -> float:
        """Return the time of the product in the stored form relative to that of a dense matrix.

        A rule of thumb from sizes; :meth:`product` multiplies by the stored form below 1. ``batch``
        asks for many rows at once rather than for one.
        """
        return 1.0

    @cached_property
    def _dense_product(self) -> FactorProduct:
        return FactorProduct([self.to_dense()])

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"<{type(self).__name__} {rows}x{columns}, {self.n_params} parameters>"
