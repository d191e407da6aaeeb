"""Tensor trains: small cores whose product, reshaped, is the matrix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.checks import check_float, expect
from fastbcd.formats.operations import cores_of, factors
from fastbcd.formats.products.product import FACTORS, FactorProduct, Product
from fastbcd.formats.protocol import Format, State
from fastbcd.formats.steps import Step
from fastbcd.utils.types import Float


def chain(cores: Sequence[Float]) -> Float:
    """Return the product of consecutive cores, with shape (r_0 m_1 .. m_k, r_k)."""
    product = cores[0].reshape(-1, cores[0].shape[2])
    for core in cores[1:]:
        product = (product @ core.reshape(core.shape[0], -1)).reshape(-1, core.shape[2])
    return product


def check_train(state: State) -> tuple[list[int], list[int], tuple[int, int], int]:
    """Return the modes, ranks and shape of a stored tensor train, and its number of core entries.

    Raises
    ------
    ValueError
        If the modes, ranks and shape contradict each other.
    """
    modes, ranks = ([int(size) for size in state[name].ravel()] for name in ("modes", "ranks"))
    expect(state["shape"].shape == (2,), "shape must hold two numbers")
    shape = (int(state["shape"][0]), int(state["shape"][1]))
    expect(
        len(modes) > 0 and len(ranks) == len(modes) + 1, "there must be one more rank than modes"
    )
    expect(ranks[0] == ranks[-1] == 1, "the first and last rank must be 1")
    expect(prod(modes) == shape[0] * shape[1], "the product of the modes must be n_in * n_out")
    return modes, ranks, shape, sum(ranks[k] * m * ranks[k + 1] for k, m in enumerate(modes))


class TensorTrainMatrix(Format):
    """A matrix whose row-major entries, reshaped to a tensor, form a tensor train.

    Parameters
    ----------
    cores : sequence of (r_{k-1}, m_k, r_k) arrays
        The cores; r_0 = r_d = 1.
    shape : (n_in, n_out)
        ``prod(m_k) == n_in * n_out``.

    Notes
    -----
    If the product of some leading modes is ``n_in``, the tensor train is a product of two
    matrices. :meth:`matmul` multiplies by these two if they have fewer entries than W.
    Otherwise it forms W.
    """

    kind: ClassVar[str] = "tensor_train"
    is_factored = True

    def __init__(self, cores: Sequence[Float], shape: tuple[int, int]) -> None:
        self.cores: tuple[Float, ...] = tuple(cores)
        self.shape: tuple[int, int] = (int(shape[0]), int(shape[1]))
        self.modes: tuple[int, ...] = tuple(core.shape[1] for core in self.cores)
        self.ranks: tuple[int, ...] = (1, *(core.shape[2] for core in self.cores))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the cores."""
        return self.cores[0].dtype

    @cached_property
    def _cut(self) -> int | None:
        """Number of leading modes whose product is n_in; None if there is no such number."""
        sizes = np.cumprod(self.modes)
        hits = np.flatnonzero(sizes == self.shape[0])
        return None if hits.size == 0 else int(hits[0]) + 1

    @property
    def thin(self) -> tuple[Float, Float] | None:
        """The matrices on either side of the cut; None unless they have fewer entries than W."""
        return self._factors

    @cached_property
    def _factors(self) -> tuple[Float, Float] | None:
        cut = self._cut
        if cut is None or cut == len(self.cores):
            return None
        rank = self.ranks[cut]
        if rank * sum(self.shape) >= self.shape[0] * self.shape[1]:
            return None
        return chain(self.cores[:cut]), chain(self.cores[cut:]).reshape(rank, self.shape[1])

    @cached_property
    def _dense(self) -> Float:
        return chain(self.cores).reshape(self.shape)

    def matmul(self, v: Float) -> Float:
        """Return ``v @ W`` by two thin products if they save work, otherwise by a dense product."""
        if self._factors is None:
            return v @ self._dense
        left, right = self._factors
        return (v @ left) @ right

    def product(self, batch: bool) -> Product:
        """Return the product with two thin matrices if it is faster, otherwise with W."""
        return self._factor_product if self.cost(batch) < 1 else self._dense_product

    def cost(self, batch: bool) -> float:
        """Return the estimated time of two thin products relative to the dense product."""
        if self._factors is None:
            return 1.0
        return sum(f.size for f in self._factors) / (self.shape[0] * self.shape[1]) / FACTORS[batch]

    @cached_property
    def _factor_product(self) -> Product:
        return FactorProduct(self._factors or [self._dense])

    def to_dense(self) -> Float:
        """Return W as an array."""
        factors = self._factors
        return chain(self.cores).reshape(self.shape) if factors is None else factors[0] @ factors[1]

    @property
    def cut(self) -> int | None:
        """Number of leading modes of the inputs; None if one mode mixes inputs and outputs."""
        sizes = [1, *np.cumprod(self.modes).tolist()]
        return sizes.index(self.shape[0]) if self.shape[0] in sizes else None

    def steps(self) -> list[Step] | None:
        """Return one product for each core; None if a mode mixes inputs and outputs.

        An input core acts on a row reshaped to a tensor: it maps (r, m, rest) to (r', rest), a
        batch of ``rest`` interleaved vectors of length r m. An output core maps (done, r) to
        (done, m, r'), a batch of ``done`` vectors of length r.
        """
        cut = self.cut
        if cut is None:
            return None
        steps = []
        for k, core in enumerate(self.cores):
            before, mode, after = core.shape
            if k < cut:
                rest = prod(self.modes[k + 1 : cut])
                steps.append(Step(core.reshape(before * mode, after), rest, interleaved=True))
            else:
                done = prod(self.modes[cut:k])
                steps.append(Step(core.reshape(before, mode * after), done))
        return steps

    def parameters(self) -> list[Float]:
        """Return the cores."""
        return list(self.cores)

    def with_parameters(self, parameters: Sequence[Float]) -> Self:
        """Return the tensor train with the given cores."""
        return type(self)(parameters, self.shape)

    def pull_back(self, gradient: Float) -> list[Float]:
        """Return the gradient with respect to each core."""
        return [self._core_gradient(k, gradient) for k in range(len(self.cores))]

    def _core_gradient(self, k: int, gradient: Float) -> Float:
        cores = self.cores
        a, n, b = cores[k].shape
        one = np.ones((1, 1), self.dtype)
        before = chain(cores[:k]) if k else one
        after = chain(cores[k + 1 :]).reshape(b, -1) if k + 1 < len(cores) else one
        part = np.tensordot(
            gradient.reshape(before.shape[0], n, after.shape[1]), after, axes=(2, 1)
        )
        found: Float = np.tensordot(before, part, axes=(0, 0)).reshape(a, n, b)
        return found

    @property
    def n_params(self) -> int:
        """Number of entries in all cores."""
        return sum(core.size for core in self.cores)

    @property
    def flops(self) -> int:
        """Two operations per entry of the matrices that :meth:`matmul` multiplies by."""
        if self._factors is None:
            return 2 * self.shape[0] * self.shape[1]
        return 2 * sum(factor.size for factor in self._factors)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return the concatenated ``cores``, the ``modes``, the ``ranks`` and the ``shape``."""
        return {
            "cores": np.concatenate([core.ravel() for core in self.cores]),
            "modes": np.asarray(self.modes, np.uint32),
            "ranks": np.asarray(self.ranks, np.uint32),
            "shape": np.asarray(self.shape, np.uint32),
        }

    @classmethod
    def from_buffer(
        cls, buffer: Float, modes: Sequence[int], ranks: Sequence[int], shape: tuple[int, int]
    ) -> Self:
        """Return the tensor train whose concatenated cores are ``buffer``.

        Parameters
        ----------
        buffer : array
            Entries of all cores, core after core.
        modes, ranks : sequences of int
            Sizes of the cores: core k has shape (ranks[k], modes[k], ranks[k + 1]).
        shape : (n_in, n_out)
            Shape of the matrix.
        """
        cores = []
        offset = 0
        for k, mode in enumerate(modes):
            core_shape = (int(ranks[k]), int(mode), int(ranks[k + 1]))
            size = int(np.prod(core_shape))
            cores.append(buffer[offset : offset + size].reshape(core_shape))
            offset += size
        return cls(cores, shape)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """Rebuild from :meth:`state_dict`.

        Raises
        ------
        ValueError
            If the arrays contradict each other.
        """
        modes, ranks, shape, size = check_train(state)
        check_float(state["cores"], "cores")
        expect(state["cores"].size == size, f"the cores must have {size} entries")
        return cls.from_buffer(state["cores"], modes, ranks, shape)

    def scaled(self, factor: float) -> Self:
        """Return ``factor * W`` in the same format."""
        last = self.cores[-1] * self.dtype.type(factor)
        return type(self)((*self.cores[:-1], last), self.shape)


@cores_of.register
def _cores_of(matrix: TensorTrainMatrix) -> tuple[Float, ...]:
    return matrix.cores


@factors.register
def _factors(matrix: TensorTrainMatrix) -> list[Float]:
    return [matrix.to_dense()] if matrix.thin is None else list(matrix.thin)
