"""The step of a dense layer's weights during refinement: velocity, weights and outputs' means."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

FASTMATH = {"reassoc", "contract"}


@njit(cache=True, nogil=True, fastmath=FASTMATH)
def step(
    solved: NDArray[np.float32],
    mean: NDArray[np.float32],
    momentum: float,
    rate: float,
    decay: float,
    velocity: NDArray[np.float32],
    weight: NDArray[np.float32],
    shift: NDArray[np.float32],
) -> None:
    """Take a step with momentum, and say by how much the mean outputs moved.

    Parameters
    ----------
    solved : (d, m) float32 array
        The newest direction.
    mean : (d,) float32 array
        Means of the inputs.
    momentum, rate, decay : float
        mu, eta and the pull towards zero.
    velocity, weight : (d, m) float32 arrays
        Updated in place.
    shift : (m,) float32 array
        Overwritten with mean' change.
    """
    d, m = weight.shape
    mu, eta, fall = np.float32(momentum), np.float32(rate), np.float32(decay)
    for i in range(m):
        shift[i] = 0.0
    for j in range(d):
        centre = mean[j]
        for i in range(m):
            speed = mu * velocity[j, i] + solved[j, i]
            velocity[j, i] = speed
            change = eta * (speed - fall * weight[j, i])
            weight[j, i] += change
            shift[i] += centre * change
