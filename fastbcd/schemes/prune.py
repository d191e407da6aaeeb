"""Weight pruning: keep the entries of largest magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from fastbcd._types import Float
from fastbcd.formats import Format, SparseMatrix
from fastbcd.schemes._base import Scheme, exactly_one
from fastbcd_kernels import top_k


def hard_threshold(weight: Float, n_nonzero: int) -> Float:
    """Return ``weight`` with all but the ``n_nonzero`` entries of largest magnitude set to zero.

    Ties are decided by position in row-major order: the first ones stay. Cost: O(size).
    """
    flat = np.ascontiguousarray(weight).ravel()
    word, n_bits = (np.uint32, 31) if flat.dtype == np.float32 else (np.uint64, 63)
    out = np.empty_like(flat)
    top_k.hard_threshold(flat, flat.view(word), n_bits, n_nonzero, out)
    return out.reshape(weight.shape)


@dataclass
class Prune(Scheme):
    """Keep the weights of largest magnitude of each layer, exactly that many.

    Give one of the three parameters. The projection is the exact minimiser of
    ``||W - T||`` over all T with that many non-zeros.

    Parameters
    ----------
    sparsity : float in [0, 1), optional
        Share of the weights that become zero.
    density : float in (0, 1], optional
        Share of the weights that stay: ``1 - sparsity``.
    n_nonzero : int, optional
        Number of weights that stay.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbcd.schemes import Prune
    >>> Prune(n_nonzero=2).project(np.array([[3.0, -1.0], [0.5, -4.0]])).to_dense()
    array([[ 3.,  0.],
           [ 0., -4.]])
    """

    sparsity: float | None = None
    density: float | None = None
    n_nonzero: int | None = None

    def check(self, shape: tuple[int, int]) -> None:
        """Raise ValueError if the parameters do not describe a pruned matrix of ``shape``."""
        name = exactly_one(self, "sparsity", "density", "n_nonzero")
        value = getattr(self, name)
        size = shape[0] * shape[1]
        if name == "n_nonzero":
            if not isinstance(value, Integral) or not 1 <= value <= size:
                raise ValueError(
                    f"n_nonzero={value!r} must be an integer between 1 and the {size} weights."
                )
        elif name == "sparsity" and not 0 <= value < 1:
            raise ValueError(f"sparsity={value!r} must be in [0, 1), for example 0.9.")
        elif name == "density" and not 0 < value <= 1:
            raise ValueError(f"density={value!r} must be in (0, 1], for example 0.1.")

    def _kept(self, size: int) -> int:
        """Return the number of non-zeros, never fewer than one."""
        if self.n_nonzero is not None:
            return int(self.n_nonzero)
        density = 1 - self.sparsity if self.sparsity is not None else self.density
        assert density is not None
        return max(1, round(density * size))

    def project(self, weight: Float, warm: Format | None = None) -> SparseMatrix:
        """Return the nearest matrix with the given number of non-zeros."""
        self.check((weight.shape[0], weight.shape[1]))
        return SparseMatrix.from_dense(hard_threshold(weight, self._kept(weight.size)))
