r"""The linear system of the V-step of a dense layer.

The step minimises :math:`\frac{\gamma}{2} \|V - s\|^2 + \frac{\rho}{2} \|U - b - V W\|^2` over V,
with s = sigma(U) of the layer before. With r = gamma / rho and the miss D = U - b - s W before the
step,

.. math:: V = s + D K, \qquad K = (W^T W + r I)^{-1} W^T = W^T (W W^T + r I)^{-1} .

Both forms of K are equal (Woodbury); the smaller system is solved. Where that is the first, the
same inverse also gives what is left of the miss, without another product with V:

.. math:: E = U - b - V W = D - D (W^T W + r I)^{-1} W^T W = D P, \qquad P = r (W^T W + r I)^{-1},

and V = s + E W' / r. For a layer d -> m with n samples this takes 4 n d m + 2 n m^2 flops instead
of the 6 n d m of two products for V and one for E.
"""

from __future__ import annotations

import numpy as np

from fastbcd.linalg import products as la
from fastbcd.linalg.spd import SPDSystem, solving_type
from fastbcd.utils.types import Float

INVERSE_BELOW = 1e3
"""Bound of the condition up to which P is used; E then keeps all but its last digits."""


class ActivationSystem:
    """W'W + ratio I, or W W' + ratio I where that is smaller; factored.

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
        # The largest eigenvalue is at most the norm of all entries; half of them are there.
        self._condition = 1 + np.sqrt(2) * float(np.linalg.norm(square)) / ratio
        self._system = SPDSystem(square, ridge)

    def gain(self) -> Float:
        """Return K, (m, d), in the type of the weights."""
        d, m = self._w.shape
        if m <= d:
            gain = self._system.solve(np.ascontiguousarray(self._w.T))
        else:
            gain = self._system.solve(self._w).T
        return np.ascontiguousarray(gain, dtype=self._weight.dtype)

    def shrinkage(self) -> Float | None:
        """Return P, (m, m), in the type of the weights; only its lower half is meaningful.

        None where d < m, since P is not that of the smaller system, and where the condition
        may exceed ``INVERSE_BELOW``: the rounding of E grows with it.
        """
        d, m = self._w.shape
        if m > d or self._condition > INVERSE_BELOW:
            return None
        inverse = self._system.inverse()
        inverse *= self._ratio
        return inverse.astype(self._weight.dtype, copy=False)


def activation_gain(weight: Float, ratio: float) -> Float:
    """Return K of a V-step; see :class:`ActivationSystem`."""
    return ActivationSystem(weight, ratio).gain()
