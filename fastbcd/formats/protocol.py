"""The interface that every format implements."""

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
"""Every format by its name in saved files. Subclasses register themselves."""


class Format(ABC):
    """A matrix W of shape (n_in, n_out) in some stored form.

    Instances are immutable: a changed network gets new instances. Cached values are kept in
    attributes that start with an underscore; these are neither copied nor pickled.
    """

    kind: ClassVar[str]
    """Unique name of the format."""

    shape: tuple[int, int]
    """Shape (n_in, n_out) of W."""

    on_support: ClassVar[bool] = False
    """Whether only the entries in a support are stored."""

    is_factored: bool = False
    """Whether W is stored, fully or in part, as a product of smaller arrays."""

    @property
    def n_levels(self) -> int | None:
        """Number of distinct values of the stored entries; None if the values are not shared."""
        return None

    @property
    def n_stored(self) -> int:
        """How many weights are stored, each as a number or as a code."""
        return self.n_params

    @property
    def is_pruned(self) -> bool:
        """Whether the format is sparse and its values are not quantised."""
        return self.on_support and self.n_levels is None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in vars(cls):
            FORMATS[cls.kind] = cls

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Data type of the weights in products."""

    @abstractmethod
    def matmul(self, v: Float) -> Float:
        """Return ``v @ W`` for ``v`` (n, n_in), without forming W where that is faster."""

    @abstractmethod
    def to_dense(self) -> Float:
        """Return W as an array of shape (n_in, n_out)."""

    def steps(self) -> list[Step] | None:
        """Return the successive products that make up W; None if W is exported as one matrix.

        The C exporter writes a format with steps as these products, at its stored size.
        """
        return None

    def parameters(self) -> list[Float]:
        """Return the arrays that fine-tuning may change; empty if W must not change.

        W must be linear in each array while the others are fixed.
        """
        return []

    def with_parameters(self, parameters: Sequence[Float]) -> Format:
        """Return the matrix with the given ``parameters``, arrays of the same shapes."""
        raise TypeError(f"{type(self).__name__} has no parameters to change.")

    def pull_back(self, gradient: Float) -> list[Float]:
        """Return the gradient in each parameter from the gradient in W, (n_in, n_out)."""
        raise TypeError(f"{type(self).__name__} has no parameters to change.")

    @property
    @abstractmethod
    def n_params(self) -> int:
        """Number of free parameters: stored values without indices or codes."""

    @property
    @abstractmethod
    def flops(self) -> int:
        """Floating-point operations of the product with one row."""

    @abstractmethod
    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that define the matrix, indices and codes in compact types."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: State) -> Self:
        """Rebuild the matrix from the ``state`` that :meth:`state_dict` returned."""

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """Return ``factor * W`` in the same format."""

    @property
    def n_bits(self) -> int:
        """Bits of the arrays in :meth:`state_dict`: values, indices and shape."""
        return 8 * sum(array.nbytes for array in self.state_dict().values())

    def product(self, batch: bool) -> Product:
        """Return the fastest product with W for one row, or for many rows if ``batch``.

        Arrays that it needs besides the stored ones are created on the first call and kept.
        """
        return self._dense_product

    def cost(self, batch: bool) -> float:
        """Return the estimated time of the product in stored form relative to the dense product.

        The estimate is a rule of thumb based on sizes. Below 1, :meth:`product` uses the stored
        form. ``batch`` selects many rows at once rather than one.
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
