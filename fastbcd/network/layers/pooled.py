"""An activation followed by max pooling, as one block step of the full solver."""

from __future__ import annotations

from fastbcd.network.layers.activations import Activation
from fastbcd.network.layers.pooling import MaxPool
from fastbcd.utils.types import Float, Float64
from fastbcd_kernels import pooling as kernel


class MaxPooled:
    """An activation followed by max pooling, as one block step of the full solver.

    Parameters
    ----------
    activation : Activation
        A piecewise linear, non-decreasing activation.
    pool : MaxPool
        The pooling.
    """

    def __init__(self, activation: Activation, pool: MaxPool) -> None:
        self.name = activation.name
        self.pool: MaxPool | None = pool
        self._activation = activation
        self._windows = pool

    def value(self, u: Float, out: Float | None = None) -> Float:
        """Return the pooled maxima (n, n_out) of sigma(u), written into ``out`` if given."""
        pooled = self._windows.forward(u, out)
        return self._activation.value(pooled, out=pooled)

    def step(
        self,
        u: Float,
        miss: Float,
        v: Float,
        penalties: tuple[float, float, float],
        sample_weight: Float64,
    ) -> tuple[float, float]:
        """Perform the U-step in place; see :mod:`fastbcd_kernels.pooling`."""
        pool = self._windows
        rho, gamma, alpha = penalties
        return kernel.max_pool_step(
            u, miss, v, pool.shape, pool.window, *self._activation.pieces, rho, gamma, alpha,
            sample_weight,
        )  # fmt: skip

    def pull_back(self, gap: Float, u: Float) -> tuple[Float, Float]:
        """Return ``gap`` (n, n_out) times the left and right derivatives at ``u`` (n, n_in)."""
        return self._activation.pull_back(self._windows.back(gap, u), u)
