"""The arrays of several networks of one shape: one row per network, and each layer as a view."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from fastbcd.utils.types import Float, Float64


def _begins(start: int, sizes: Sequence[int]) -> list[int]:
    return list(accumulate(sizes, initial=start))


class Networks:
    """Weights, their averages, statistics of the hidden layers and what steps are multiplied by.

    Parameters
    ----------
    sizes : sequence of int
        Widths of the inputs, the L hidden layers and the outputs.
    n_networks : int
        g.

    Attributes
    ----------
    weights, biases : lists of (g, p, q) and (g, q) arrays
        Of each layer.
    averaged_weights, averaged_biases : lists of arrays
        Their averages.
    grams, means : lists of (g, h, h) and (g, h) arrays
        Running second moments and means of each hidden layer.
    inverses, gains : lists of (g, h, h) and (g, q, h) arrays
        Inverse damped covariance of each hidden layer, and the gain that brings directions down
        to it from the layer above.
    lengths : (g, L + 1, 2) float64 array
        Smoothed relative length of each layer's direction, and what the step divides by.
    clock : (3,) float64 array
        Steps taken, updates of the averages, and the share of the statistics that has been seen.
    """

    def __init__(self, sizes: Sequence[int], n_networks: int) -> None:
        self.sizes = list(sizes)
        hidden = self.sizes[1:-1]
        squares = [h * h for h in hidden]
        self.at_weight = _begins(0, [p * q for p, q in pairwise(self.sizes)])
        self.at_bias = _begins(self.at_weight[-1], self.sizes[1:])
        self.at_gram = _begins(0, squares)
        self.at_mean = _begins(self.at_gram[-1], hidden)
        self.at_inverse = _begins(0, squares)
        self.at_gain = _begins(self.at_inverse[-1], [p * q for p, q in pairwise(self.sizes[1:])])
        self.parameters = np.zeros((n_networks, self.at_bias[-1]), np.float32)
        self.averages = np.zeros_like(self.parameters)
        self.moments = np.zeros((n_networks, self.at_mean[-1]), np.float32)
        self.solvers = np.zeros((n_networks, self.at_gain[-1]), np.float32)
        self.lengths = np.zeros((n_networks, len(self.sizes) - 1, 2))
        self.clock = np.zeros(3)
        self._see()

    def _see(self) -> None:
        """Renew the views."""
        pairs, hidden = list(pairwise(self.sizes)), self.sizes[1:-1]
        self.weights = _views(self.parameters, self.at_weight, pairs)
        self.biases = _views(self.parameters, self.at_bias, [(q,) for _, q in pairs])
        self.averaged_weights = _views(self.averages, self.at_weight, pairs)
        self.averaged_biases = _views(self.averages, self.at_bias, [(q,) for _, q in pairs])
        self.grams = _views(self.moments, self.at_gram, [(h, h) for h in hidden])
        self.means = _views(self.moments, self.at_mean, [(h,) for h in hidden])
        self.inverses = _views(self.solvers, self.at_inverse, [(h, h) for h in hidden])
        self.gains = _views(self.solvers, self.at_gain, [(q, h) for h, q in pairs[1:]])

    def keep(self, index: slice | list[int]) -> None:
        """Go on with some of the networks."""
        for name in ("parameters", "averages", "moments", "solvers", "lengths"):
            setattr(self, name, getattr(self, name)[index])
        self._see()

    def average(self, power: float) -> None:
        """Move the averages towards the weights: old ones are forgotten polynomially.

        References
        ----------
        O. Shamir, T. Zhang, "Stochastic gradient descent for non-smooth optimization: convergence
        results and optimal averaging schemes", ICML 2013.
        """
        self.clock[1] += 1
        share = np.float32((power + 1) / (self.clock[1] + power))
        self.averages += share * (self.parameters - self.averages)

    def averaged(self, network: int) -> tuple[list[Float], list[Float]]:
        """Return the averaged weights and biases of a network."""
        if self.clock[1]:
            own = self.averaged_weights, self.averaged_biases
        else:
            own = self.weights, self.biases
        return [a[network] for a in own[0]], [a[network] for a in own[1]]

    def start(self, seed: int, starts: Sequence[int], scales: Sequence[float]) -> None:
        """Draw the weights of each network: those of equal ``starts`` are equal.

        Parameters
        ----------
        seed : int
            Source of all randomness.
        starts : sequence of g int
            Number of the random start of each network.
        scales : sequence of float
            Standard deviation of the weights of each layer.
        """
        for layer, (view, scale) in enumerate(zip(self.weights, scales, strict=True)):
            drawn: dict[int, Float64] = {
                start: np.random.default_rng([seed, start, layer]).standard_normal(view.shape[1:])
                for start in set(starts)
            }
            view[:] = scale * np.stack([drawn[start] for start in starts])


def _views(
    rows: NDArray[np.float32], begins: list[int], shapes: Sequence[tuple[int, ...]]
) -> list[Float]:
    """Return the parts of all rows as arrays of the shapes, without a copy."""
    return [
        rows[:, begin:end].reshape(len(rows), *shape)
        for (begin, end), shape in zip(pairwise(begins), shapes, strict=True)
    ]
