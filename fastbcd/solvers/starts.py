"""Starting points: random weights of the scale that block coordinate descent likes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np

from fastbcd.linalg.factorisations import reduced_qr
from fastbcd.utils.types import Float

GAIN = 0.2
"""Scale of the starting weights. Small weights make small first residuals; larger ones, the
usual choice for gradient methods, start slower here (published study of initialisations)."""

UNIFORM_BOUND = 0.05
"""Bound of ``"uniform"`` before the gain: the published study draws from [-0.01, 0.01]."""

Draw = Callable[[int, int, np.random.RandomState], Float]


def _orthogonal(n_in: int, n_out: int, random_state: np.random.RandomState) -> Float:
    tall = random_state.standard_normal((max(n_in, n_out), min(n_in, n_out)))
    q, r = reduced_qr(tall)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the distribution uniform
    return np.ascontiguousarray(q if n_in >= n_out else q.T)


def _normal(variance: Callable[[int, int], float]) -> Draw:
    return lambda n_in, n_out, random_state: random_state.normal(
        0.0, np.sqrt(variance(n_in, n_out)), (n_in, n_out)
    )


def _uniform(variance: Callable[[int, int], float]) -> Draw:
    def draw(n_in: int, n_out: int, random_state: np.random.RandomState) -> Float:
        bound = np.sqrt(3 * variance(n_in, n_out))
        return random_state.uniform(-bound, bound, (n_in, n_out))

    return draw


def _xavier(n_in: int, n_out: int) -> float:
    return 2 / (n_in + n_out)


def _lecun(n_in: int, _: int) -> float:
    return 1 / n_in


def _kaiming(n_in: int, _: int) -> float:
    return 2 / n_in


INITS: dict[str, Draw] = {
    "orthogonal": _orthogonal,
    "xavier_normal": _normal(_xavier),
    "xavier_uniform": _uniform(_xavier),
    "lecun_normal": _normal(_lecun),
    "lecun_uniform": _uniform(_lecun),
    "kaiming_normal": _normal(_kaiming),
    "kaiming_uniform": _uniform(_kaiming),
    "uniform": _uniform(lambda _, __: UNIFORM_BOUND**2 / 3),
}
"""Distributions by name; each draws an (n_in, n_out) float64 array.

``orthogonal`` has singular values 1 (Saxe et al., arXiv 1312.6120). The variance of an entry is
2/(n_in + n_out) for ``xavier`` (Glorot, Bengio, 2010), 1/n_in for ``lecun`` (1998) and 2/n_in for
``kaiming`` (He et al., arXiv 1502.01852). ``uniform`` knows no widths."""


def initial_weights(
    init: str,
    shapes: Iterable[tuple[int, int]],
    random_state: np.random.RandomState,
    gain: float = GAIN,
) -> list[Float]:
    """Return one matrix per layer, ``gain`` times a draw from ``INITS[init]``.

    Parameters
    ----------
    init : str
        Name of the distribution.
    shapes : iterable of (n_in, n_out)
        Shapes of the matrices.
    random_state : RandomState
        Source of randomness.
    gain : float, default=0.2
        Factor of all weights.

    Returns
    -------
    list of (n_in, n_out) float64 arrays
    """
    draw = INITS[init]
    return [gain * draw(n_in, n_out, random_state) for n_in, n_out in shapes]


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
    return initial_weights("orthogonal", pairwise(widths), random_state, gain)
