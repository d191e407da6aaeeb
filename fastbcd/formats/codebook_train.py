"""Tensor trains and low-rank matrices with quantised factors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.checks import check_codes, check_float
from fastbcd.formats.operations import factors
from fastbcd.formats.products.product import Product
from fastbcd.formats.protocol import Format, State
from fastbcd.formats.steps import Step
from fastbcd.formats.tensor_train import TensorTrainMatrix, check_train
from fastbcd.utils.bits import bits_for, code_type, pack_bits, unpack_bits
from fastbcd.utils.types import Float


class CodebookTrainMatrix(Format):
    """``scale`` times a :class:`TensorTrainMatrix` with concatenated cores ``codebook[codes]``.

    A low-rank matrix is stored as a tensor train with modes ``(n_in, n_out)`` and ranks
    ``(1, rank, 1)``: the left factor, then the right factor, both in row-major order.

    Parameters
    ----------
    codes : (n,) integer array
        Index into ``codebook`` for each entry of the cores.
    codebook : (levels,) float array
        The distinct values; at most 65536.
    modes, ranks : sequences of int
        Sizes of the cores: core k has shape (ranks[k], modes[k], ranks[k + 1]).
    shape : (n_in, n_out)
        ``prod(modes) == n_in * n_out``.
    scale : float, default=1.0
        Factor of the whole matrix.
    """

    kind: ClassVar[str] = "codebook_train"
    is_factored = True

    def __init__(
        self,
        codes: NDArray[Any],
        codebook: Float,
        modes: Sequence[int],
        ranks: Sequence[int],
        shape: tuple[int, int],
        scale: float = 1.0,
    ) -> None:
        self.codes: NDArray[Any] = np.ascontiguousarray(codes, code_type(codebook.size))
        self.codebook = codebook
        self.modes: tuple[int, ...] = tuple(int(mode) for mode in modes)
        self.ranks: tuple[int, ...] = tuple(int(rank) for rank in ranks)
        self.shape: tuple[int, int] = (int(shape[0]), int(shape[1]))
        self.scale: float = float(scale)

    @property
    def bits(self) -> int:
        """Bits per stored code."""
        return bits_for(self.codebook.size)

    @property
    def n_stored(self) -> int:
        """Number of codes."""
        return self.codes.size

    @property
    def n_levels(self) -> int:
        """Number of values in the codebook."""
        return self.codebook.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the codebook."""
        return self.codebook.dtype

    @cached_property
    def _train(self) -> TensorTrainMatrix:
        return self.to_train()

    def to_train(self) -> TensorTrainMatrix:
        """Return the same matrix as a tensor train with explicit core entries."""
        cores = self.codebook[self.codes]
        train = TensorTrainMatrix.from_buffer(cores, self.modes, self.ranks, self.shape)
        return train.scaled(self.scale)

    def steps(self) -> list[Step] | None:
        """Return the steps of the tensor train."""
        return self._train.steps()

    def matmul(self, v: Float) -> Float:
        """Return ``v @ W``, computed from the tensor train."""
        return self._train.matmul(v)

    def product(self, batch: bool) -> Product:
        """Return the product with the tensor train."""
        return self._train.product(batch)

    def cost(self, batch: bool) -> float:
        """Return the relative cost of the tensor train."""
        return self._train.cost(batch)

    def to_dense(self) -> Float:
        """Return W as an array."""
        return self._train.to_dense()

    @property
    def n_params(self) -> int:
        """Number of codebook values, plus one for the scale. Codes are not counted."""
        return self.codebook.size + 1

    @property
    def flops(self) -> int:
        """Floating-point operations of the tensor train for one row."""
        return self._train.flops

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return packed ``codes``, ``codebook``, ``scale``, ``modes``, ``ranks``, ``shape``."""
        return {
            "codes": pack_bits(self.codes, self.bits),
            "codebook": self.codebook,
            "scale": np.asarray(self.scale, self.dtype),
            "modes": np.asarray(self.modes, np.uint32),
            "ranks": np.asarray(self.ranks, np.uint32),
            "shape": np.asarray(self.shape, np.uint32),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Rebuild from :meth:`state_dict`.

        Raises
        ------
        ValueError
            If the arrays contradict each other.
        """
        codebook = state["codebook"]
        modes, ranks, shape, size = check_train(state)
        codes = unpack_bits(state["codes"], bits_for(codebook.size), size)
        check_codes(codes, codebook)
        check_float(state["scale"], "scale", 0)
        return cls(codes, codebook, modes, ranks, shape, float(state["scale"]))

    def scaled(self, factor: float) -> Self:
        """Return ``factor * W`` in the same format."""
        return type(self)(
            self.codes, self.codebook, self.modes, self.ranks, self.shape, self.scale * factor
        )


@factors.register
def _factors(matrix: CodebookTrainMatrix) -> list[Float]:
    return factors(matrix.to_train())
