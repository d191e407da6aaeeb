"""A pruned layer during refinement: the entries on a support are free, and the support may move."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import Format, SparseMatrix
from fastbcd.linalg import products as la
from fastbcd.linalg.factorisations import general_inverse
from fastbcd.parallel.ranges import in_threads
from fastbcd.schemes.nearest.support import supports
from fastbcd.solvers.refine.blocks import Block, block_of, centred_gradient, inverse
from fastbcd.statistics.moments import Moments
from fastbcd.utils.small import is_small
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import masked_refit, sparse_batch

DENSE_FROM = 0.25
"""Density above which dense products are faster than products of the non-zeros. A number of the
machine."""

BATCH = 200
"""Number of rows of a usual batch, from which the division of the outputs among threads follows. A
number of the machine: it does not change the result."""

PADDED = 1 << 18
"""Maximum number of entries in the inverses of a small layer, each padded to the largest. A number
of the machine."""

MAX_INVERSES = 15_000_000
"""Maximum number of entries in the inverses of one layer; in larger layers the supports share one
inverse. A number of the machine: it bounds memory and time."""


class SparseBlock(Block):
    """A layer whose entries on a support are free; every output has its own inverse."""

    def _begin(self) -> list[Float]:
        weight = self.start.weight.to_dense().astype(np.float32)
        self._use(weight != 0)
        self._values = weight[self._index, self._outputs]
        self._velocity = np.zeros_like(self._values)
        self._effective = self._values
        return [self._values]

    def _use(self, mask: NDArray[np.bool_]) -> None:
        self._start, self._index = supports(mask)
        self._prepared = False
        counts = np.diff(self._start)
        self._outputs = np.repeat(np.arange(counts.size), counts)
        triangles = counts * (counts + 1) // 2
        self._offset = np.concatenate([[0], np.cumsum(triangles)]).astype(np.int64)
        self._shared = bool(self._offset[-1] > MAX_INVERSES)
        self._inputs = np.unique(self._index)
        small = is_small(mask.size)
        self._dense_products = small or self._index.size > DENSE_FROM * mask.size
        # The inverses of a small layer are padded to one size, for NumPy.
        widest = int(counts.max())
        self._padded = small and counts.size * widest**2 <= PADDED
        if self._padded:
            self._places = np.arange(self._index.size) - self._start[self._outputs]
            self._own = np.full((counts.size, widest), -1)
            self._own[self._outputs, self._places] = self._index
        # Outputs divided among threads: for the products with a batch, and for the steps.
        self._parts = self.crew.parts(BATCH * counts)
        self._step_parts = self.crew.parts(triangles)

    def _parameters(self) -> list[Float]:
        return [self._values]

    def weight(self) -> Float:
        """Return the weights (d, m) of the forward pass."""
        return self._spread(self._effective)

    def used_inputs(self) -> NDArray[np.int64] | None:
        """Return the indices of the used inputs, ascending; None for all."""
        return None if self._dense_products else self._inputs

    def _spread(self, values: Float) -> Float:
        dense = np.zeros(self.shape, values.dtype)
        dense[self._index, self._outputs] = values
        return dense

    def forward(self, v: Float) -> Float:
        """Return the pre-activations (m, b) for inputs (d, b)."""
        if self._dense_products:
            self._dense = self.weight()
            u = la.inner_product(self._dense, v)
            u += self.intercept[:, None]
            return u
        out = np.empty((self.shape[1], v.shape[1]), np.float32)
        start, index, values, intercept = self._start, self._index, self._effective, self.intercept
        self.crew.share(
            lambda lo, hi: sparse_batch.forward(
                start[lo : hi + 1], index, values, intercept[lo:hi], v, out[lo:hi]
            ),
            self._parts,
        )
        return out

    def backward(self, pull: Float) -> Float:
        """Return the pull on the inputs, (d, b), for the ``pull`` on the outputs (m, b)."""
        if self._dense_products:
            return la.product(self._dense, pull)
        back = np.empty((self.shape[0], pull.shape[1]), np.float32)
        sparse_batch.backward(self._start, self._index, self._effective, pull, back)
        return back

    def costs(self, pull: Float, moments: Moments) -> Float64 | None:
        """Return the cost of the removal of each weight; see :meth:`move_support`."""
        curvature = self._curvature(pull, moments)[self._index, self._outputs]
        return np.square(self._values) * curvature

    def shrink(self, stays: NDArray[np.bool_]) -> None:
        """Remove weights, before any average is taken."""
        mask = np.zeros(self.shape, bool)
        mask[self._index[stays], self._outputs[stays]] = True
        self._rearrange(mask, self._spread(self._values))
        self._averages[1] = self._values.copy()

    @staticmethod
    def _curvature(pull: Float, moments: Moments) -> Float64:
        variance = np.diag(moments.covariance)
        curvature = np.outer(variance, np.square(pull, dtype=np.float64).mean(axis=0))
        bounded: Float64 = np.maximum(curvature, 1e-6 * curvature.mean() + 1e-30)
        return bounded

    def _rearrange(self, mask: NDArray[np.bool_], weight: Float) -> None:
        """Use a new support and the weights on it; entries that stay keep their velocity."""
        velocity = self._spread(self._velocity)
        self._use(mask)
        self._values = weight[self._index, self._outputs]
        self._velocity = velocity[self._index, self._outputs]
        self._effective = self._values

    def move_support(self, v: Float, pull: Float, moments: Moments, share: float) -> None:
        r"""Exchange the least important weights for absent weights with the largest gain.

        With h_i the mean square of the pull of output i, which estimates the curvature of the
        loss there, the removal of a weight costs :math:`h_i G_{jj} w_{ji}^2`. The gain of an absent
        weight is :math:`g_{ji}^2 / (h_i G_{jj})`, that of its own Newton step. The largest of p
        gains of pure noise is about 2 log(p) / n for n rows; twice this bound is subtracted.
        """
        gradient = la.inner_product(v, pull) / np.float32(len(v))
        gradient = gradient - np.outer(moments.mean_in, pull.mean(axis=0))
        curvature = self._curvature(pull, moments)
        gain = np.square(gradient) / curvature - 4 * np.log(gradient.size) / len(v)
        gain[self._index, self._outputs] = 0.0
        cost = np.square(self._values) * curvature[self._index, self._outputs]
        n_moved = min(round(share * cost.size), int(np.count_nonzero(gain > 0)))
        leaving = np.argsort(cost, kind="stable")[:n_moved]
        entering = np.argpartition(-gain, max(n_moved - 1, 0), axis=None)[:n_moved]
        entering = entering[np.argsort(-gain.ravel()[entering], kind="stable")]
        # The cheapest is exchanged for the best, while the gain exceeds the cost.
        pays = gain.ravel()[entering] > cost[leaving]
        leaving, entering = leaving[pays], entering[pays]
        mask = np.zeros(self.shape, bool)
        mask[self._index, self._outputs] = True
        mask[self._index[leaving], self._outputs[leaving]] = False
        mask.ravel()[entering] = True
        self._rearrange(mask, self._spread(self._values))

    def _prepare(self, gram: Float64) -> None:
        # The inputs of the first layer do not change, so its inverses change with the support.
        if self.is_input and self._prepared:
            return
        self._prepared = True
        if self._shared:
            self._inverse = inverse(gram)
            return
        if self._padded:
            own = self._own
            grams = gram[own[:, :, None], own[:, None, :]]
            grams[(own < 0)[:, :, None] | (own < 0)[:, None, :]] = 0.0
            outputs, places = np.nonzero(own < 0)
            grams[outputs, places, places] = 1.0
            self._inverses = general_inverse(grams).astype(np.float32)
            return
        self._inverses = np.empty(self._offset[-1], np.float32)
        # With its ridge, the matrix is far from singular.
        single = gram.astype(np.float32)
        in_threads(
            lambda lo, hi: masked_refit.masked_inverses(
                single, self._start, self._index, self._offset, lo, hi, self._inverses
            ),
            self._start,
        )

    def move(self, v: Float, pull: Float, rate: float, momentum: float, decay: float) -> None:
        """Take the step of the weights, and correct the intercept."""
        if self._dense_products:
            gradient = centred_gradient(v, pull, self.mean)[self._index, self._outputs]
        else:
            gradient = np.empty_like(self._values)
            self.crew.share(
                lambda lo, hi: sparse_batch.gradient(
                    self._start[lo : hi + 1], self._index, v, pull[lo:hi], self.mean, gradient
                ),
                self._parts,
            )
        if self._shared or self._padded:
            self._velocity *= np.float32(momentum)
            self._velocity += self._solved(gradient)
            change = np.float32(rate) * (self._velocity - np.float32(decay) * self._values)
            self._values += change
            shift = np.bincount(self._outputs, self.mean[self._index] * change, self.shape[1])
            self._lower_intercept(shift.astype(np.float32))
        else:
            self._own_steps(gradient, rate, momentum, decay)
        self._moved()

    def _solved(self, gradient: Float) -> Float:
        """Return the direction (nnz,) of the step."""
        if self._shared:
            solved = la.product(self._inverse, self._spread(gradient))
            return solved[self._index, self._outputs]
        padded = np.zeros((*self._own.shape, 1), np.float32)
        padded[self._outputs, self._places, 0] = gradient
        directions: Float = np.matmul(self._inverses, padded)[self._outputs, self._places, 0]
        return directions

    def _own_steps(self, gradient: Float, rate: float, momentum: float, decay: float) -> None:
        self.crew.share(
            lambda lo, hi: sparse_batch.step(
                gradient,
                self._start[lo : hi + 1],
                self._index,
                self._offset[lo : hi + 1],
                self._inverses,
                self.mean,
                momentum,
                rate,
                decay,
                self._velocity,
                self._values,
                self.intercept[lo:hi],
            ),
            self._step_parts,
        )

    def _moved(self) -> None:
        """Update the weights of the forward pass after the free ones have moved."""

    def _format(self, parameters: list[Float]) -> Format:
        return SparseMatrix.from_dense(self._spread(parameters[0]))


@block_of.register
def _sparse_block(weight: SparseMatrix) -> type[Block]:
    return SparseBlock
