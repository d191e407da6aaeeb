"""Tensor trains, and products of two thin matrices, with entries from a codebook.

The cores are first brought to one size, which a train is free to have, so that one codebook suits
all of them, and a single number carries the norm. Then either all cores are encoded as they are,
or one after the other, the rest being solved for again after each, so that it makes up for what
encoding has done so far. Whatever comes nearer is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import CodebookTrainMatrix
from fastbcd.formats.tensor_train import chain
from fastbcd.schemes.nearest.kmeans import nearest_codes
from fastbcd.schemes.nearest.trains import decompose
from fastbcd.utils.types import Float, Float64

Codebook = Callable[[Float64], Float]
"""Returns the codebook for numbers, an array (n, 1)."""


def quantize_train(
    weight: Float, cores: Sequence[Float], codebook_of: Codebook
) -> CodebookTrainMatrix:
    """Return a train near ``weight`` whose entries are from one codebook.

    Parameters
    ----------
    weight : (n_in, n_out) array
        What to compress.
    cores : sequence of (r_{k-1}, m_k, r_k) arrays
        A train near it.
    codebook_of : callable
        Chooses the codebook.
    """
    flat = weight.astype(np.float64).ravel()
    start = [_unit(core) for core in cores]
    codebook = codebook_of(np.concatenate([core.ravel() for core in start])[:, None])
    plain = [_encode(core, codebook) for core in start]
    fed_back = _with_feedback(flat, start, codebook)
    modes = tuple(core.shape[1] for core in cores)
    ranks = (1, *(core.shape[2] for core in cores))
    best = min((_judged(flat, codes, codebook) for codes in (plain, fed_back)), key=_error)
    _, scale, codes = best
    shape = (weight.shape[0], weight.shape[1])
    buffer = np.concatenate([core.ravel() for core in codes])
    return CodebookTrainMatrix(buffer, codebook, modes, ranks, shape, scale)


def _unit(core: Float) -> Float64:
    """Return the core with a mean square of one; zeros stay."""
    wide = core.astype(np.float64)
    size = float(np.sqrt(np.mean(np.square(wide))))
    return wide / size if size > 0 else wide


def _encode(core: Float64, codebook: Float) -> NDArray[Any]:
    return nearest_codes(core.reshape(-1, 1), codebook).reshape(core.shape)


def _with_feedback(flat: Float64, start: Sequence[Float64], codebook: Float) -> list[NDArray[Any]]:
    """Encode one core after the other, and solve for the rest after each."""
    wide = codebook.astype(np.float64)
    core: Float = start[0]
    codes: list[NDArray[Any]] = []
    left: Float = np.ones((1, 1))
    for k in range(len(start)):
        codes.append(_encode(_unit(core), codebook))
        if k == len(start) - 1:
            break
        left = chain([left[None], wide[codes[-1]]])
        rest = np.linalg.lstsq(left, flat.reshape(len(left), -1), rcond=None)[0]
        core = _first_core(rest, start[k + 1 :])
    return codes


def _first_core(rest: Float, like: Sequence[Float64]) -> Float:
    """Return the first core of the train of ``rest`` (r, ..), of the sizes of ``like``."""
    if len(like) == 1:
        return rest.reshape(like[0].shape)
    rank = like[0].shape[0]
    modes = [rank * like[0].shape[1], *(core.shape[1] for core in like[1:])]
    ranks = [1, *(core.shape[2] for core in like)]
    cores = decompose(rest, modes, ranks)
    return cores[0].reshape(like[0].shape)


def _judged(
    flat: Float64, codes: Sequence[NDArray[Any]], codebook: Float
) -> tuple[float, float, Sequence[NDArray[Any]]]:
    """Return what is missed with the best scale (without the norm of the target), and the scale."""
    entries = chain([codebook.astype(np.float64)[core] for core in codes]).ravel()
    product, square = float(entries @ flat), float(entries @ entries)
    scale = product / square if square > 0 else 0.0
    return -scale * product, scale, codes


def _error(judged: tuple[float, float, Any]) -> float:
    return judged[0]
