"""A matrix as products one after another, each of which acts on a batch of short vectors."""

from __future__ import annotations

from dataclasses import dataclass

from fastbcd.utils.types import Float


@dataclass(frozen=True)
class Step:
    """One matrix, by which a batch of vectors is multiplied.

    The numbers of a row are cut into ``batch`` vectors of length k, and each of them is multiplied
    by ``weight`` (k, m). Writers of C take a format by its steps.

    Parameters
    ----------
    weight : (k, m) array
        The matrix.
    batch : int
        Number of vectors in a row.
    interleaved : bool
        Whether the entries of one vector lie ``batch`` apart, in the input and in the output,
        rather than next to each other.
    """

    weight: Float
    batch: int = 1
    interleaved: bool = False

    @property
    def n_in(self) -> int:
        """Numbers that are read, over the whole batch."""
        return self.batch * int(self.weight.shape[0])

    @property
    def n_out(self) -> int:
        """Numbers that are written, over the whole batch."""
        return self.batch * int(self.weight.shape[1])

    def apply(self, v: Float) -> Float:
        """Return the products with rows ``v`` (n, n_in), as (n, n_out)."""
        rows, _ = self.weight.shape
        if self.interleaved:
            product = self.weight.T @ v.reshape(-1, rows, self.batch)
        else:
            product = v.reshape(-1, self.batch, rows) @ self.weight
        return product.reshape(len(v), self.n_out)
