r"""The linear system of the V-step of a dense layer.

The step minimises :math:`\frac{\gamma}{2} \|V - s\|^2 + \frac{\rho}{2} \|U - b - V W\|^2` over V,
with s = sigma(U) of the layer before. With r = gamma / rho and the residual at s, D = U - b - s W,

.. math:: V = s + D K, \qquad K = (W^T W + r I)^{-1} W^T = W^T (W W^T + r I)^{-1} .

Both forms of K are equal (Woodbury identity); the smaller system is solved. If that is the first,
its inverse also gives the new residual E without another product with V:

.. math:: E = U - b - V W = D - D (W^T W + r I)^{-1} W^T W = D P, \qquad P = r (W^T W + r I)^{-1},

and V = s + E W' / r. For a layer d -> m with n samples this needs 4 n d m + 2 n m^2 flops. Two
products for V and one for E need 6 n d m flops.
"""

from __future__ import annotations

import numpy as np

from fastbcd.linalg import products as la
from fastbcd.linalg.spd import SPDSystem, solving_type
from fastbcd.utils.types import Float

INVERSE_BELOW = 1e3
"""Maximum estimated condition number for which P is used, since rounding errors grow with it."""


class ActivationSystem:
    """The factored matrix W'W + ratio I, or W W' + ratio I if that is smaller.

    Parameters
    ----------
    weight : (d, m) array
        W of the next layer.
    ratio : float
        gamma / rho.
    """

    def __init__(self, weight: Float, ratio: float) -> None:
        d, m = weight.shape
        ridge = np.full(min(d, m), ratio)
        trace = float(np.einsum("ij,ij->", weight, weight))
        dtype = solving_type(trace, ridge, weight.dtype)
        self._weight, self._ratio = weight, ratio
        self._w = np.ascontiguousarray(weight, dtype=dtype)
        square = la.square(self._w)
        # The Frobenius norm bounds the largest eigenvalue; only the lower triangle is stored.
        self._condition = 1 + np.sqrt(2) * float(np.linalg.norm(square)) / ratio
        self._system = SPDSystem(square, ridge)

    def gain(self) -> Float:
        """Return K, (m, d), with the dtype of the weights."""
        d, m = self._w.shape
        if m <= d:
            gain = self._system.solve(np.ascontiguousarray(self._w.T))
        else:
            gain = self._system.solve(self._w).T
        return np.ascontiguousarray(gain, dtype=self._weight.dtype)

    def shrinkage(self) -> Float | None:
        """Return the lower triangle of P, (m, m), with the dtype of the weights, or None.

        None is returned if d < m, because P then does not follow from the smaller system. It is
        also returned if the condition number may exceed ``INVERSE_BELOW``.
        """
        d, m = self._w.shape
        if m > d or self._condition > INVERSE_BELOW:
            return None
        inverse = self._system.inverse()
        inverse *= self._ratio
        return inverse.astype(self._weight.dtype, copy=False)


def activation_gain(weight: Float, ratio: float) -> Float:
    """Return the matrix K of a V-step; see :class:`ActivationSystem`."""
    return ActivationSystem(weight, ratio).gain()
