"""Starting points: random weights of the scale that block coordinate descent likes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fastbcd._types import Float

GAIN = 0.2
"""Scale of the starting weights. Small weights make small first residuals; larger ones, the
usual choice for gradient methods, start slower here (published study of initialisations)."""


def orthogonal(
    widths: list[int], random_state: np.random.RandomState, gain: float = GAIN
) -> list[Float]:
    """Return one ``gain`` times (semi-)orthogonal matrix per layer.

    Parameters
    ----------
    widths : list of int
        Width of the input and of each layer.
    random_state : RandomState
        Source of randomness.
    gain : float, default=0.2
        All singular values.

    Returns
    -------
    list of (widths[l], widths[l + 1]) float64 arrays
    """
    weights: list[Float] = []
    for n_in, n_out in pairwise(widths):
        tall = random_state.standard_normal((max(n_in, n_out), min(n_in, n_out)))
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the distribution uniform
        weights.append(np.ascontiguousarray(gain * (q if n_in >= n_out else q.T)))
    return weights
