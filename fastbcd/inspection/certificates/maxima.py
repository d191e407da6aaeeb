"""Max pooling as stages: a maximum of two is one of them plus the ReLU of their difference.

A window of k values takes ceil(log2(k)) rounds. Windows do not overlap, so that the whole map never
stretches a difference of its inputs in the 2-norm: method "product" uses this instead of the norms
of its stages, which are larger.
"""

from __future__ import annotations

import numpy as np

from fastbcd.inspection.certificates.slopes import LINEAR
from fastbcd.inspection.certificates.stage import Stage
from fastbcd.network.layers.pooling import MaxPool
from fastbcd.utils.types import Float64


def pool_stages(pool: MaxPool) -> list[Stage]:
    """Return the stages of a max pooling; the first knows the Lipschitz constant of all, 1."""
    h, w, c = pool.shape
    rows, columns = pool.window
    n_down, n_right, _ = pool.shape_out
    places = np.arange(h * w * c).reshape(h, w, c)[: n_down * rows, : n_right * columns]
    windows = places.reshape(n_down, rows, n_right, columns, c).transpose(0, 2, 4, 1, 3)
    members = windows.reshape(pool.n_out, rows * columns)
    one_each = np.zeros((members.size, pool.n_in))
    one_each[np.arange(members.size), members.ravel()] = 1
    found: list[Stage] = []
    before, left = one_each, members.shape[1]  # rows of one window are consecutive
    while left > 1:
        stage, before, left = _round(before, pool.n_out, left)
        found.append(stage)
    found.append(Stage(before, np.zeros(len(before)), ((LINEAR, 0, len(before)),)))
    first = found[0]
    found[0] = Stage(first.matrix, first.bias, first.activations, (len(found), 1.0))
    return found


def _round(before: Float64, n: int, k: int) -> tuple[Stage, Float64, int]:
    """Return the stage that compares ``k`` values of each of ``n`` windows in pairs.

    ``before`` makes these values, window after window, of what the stage reads. The matrix that is
    returned makes the larger ones of what the stage gives.
    """
    half, odd = divmod(k, 2)
    each = before.reshape(n, k, -1)
    first, second = each[:, : 2 * half : 2], each[:, 1 : 2 * half : 2]
    stays = np.concatenate([second, each[:, 2 * half :]], axis=1).reshape(n * (half + odd), -1)
    rises = (first - second).reshape(n * half, -1)
    q = len(stays)
    activations = ((LINEAR, 0, q), ("relu", q, q + len(rises)))
    stage = Stage(np.vstack([stays, rises]), np.zeros(q + len(rises)), activations)
    larger = np.zeros((n, half + odd, q + len(rises)))
    larger[:, :, :q] = np.eye(q).reshape(n, half + odd, q)
    window, pair = np.divmod(np.arange(n * half), max(half, 1))
    larger[window, pair, q + np.arange(n * half)] = 1
    return stage, larger.reshape(q, -1), half + odd
