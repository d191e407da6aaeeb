"""A matrix as successive products, each applied to a batch of short vectors."""

from __future__ import annotations

from dataclasses import dataclass

from fastbcd.utils.types import Float


@dataclass(frozen=True)
class Step:
    """A product of one matrix with a batch of vectors.

    A row is cut into ``batch`` vectors of length k, and each vector is multiplied by ``weight``
    (k, m). The C exporter writes factored formats step by step.

    Parameters
    ----------
    weight : (k, m) array
        The matrix.
    batch : int
        Number of vectors in a row.
    interleaved : bool
        Whether consecutive entries of one vector are ``batch`` positions apart, in the input and in
        the output. By default they are adjacent.
    """

    weight: Float
    batch: int = 1
    interleaved: bool = False

    @property
    def n_in(self) -> int:
        """Length of an input row, all ``batch`` vectors together."""
        return self.batch * int(self.weight.shape[0])

    @property
    def n_out(self) -> int:
        """Length of an output row, all ``batch`` vectors together."""
        return self.batch * int(self.weight.shape[1])

    def apply(self, v: Float) -> Float:
        """Return the products (n, n_out) for rows ``v`` (n, n_in)."""
        rows, _ = self.weight.shape
        if self.interleaved:
            product = self.weight.T @ v.reshape(-1, rows, self.batch)
        else:
            product = v.reshape(-1, self.batch, rows) @ self.weight
        return product.reshape(len(v), self.n_out)
