"""The features of an encoding that a network uses.

A refinement moves weights. It shall not bring features back that have none: each costs the bytes of
its ramp, which a bound does not allow for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats.operations import spread_inputs, take_inputs
from fastbcd.network.network import Network


@dataclass(frozen=True)
class Used:
    """A network without the features that have no weights.

    Parameters
    ----------
    network : Network
        A function of the features that are used.
    index : (k,) array
        Which of all features they are, ascending.
    n_features : int
        Number of all features.
    """

    network: Network
    index: NDArray[np.intp]
    n_features: int

    @classmethod
    def of(cls, network: Network) -> Self | None:
        """Return ``network`` without unused features; None if there are none, or they must stay."""
        first = network.layers[0]
        index = np.flatnonzero(first.weight.to_dense().any(axis=1))
        n_features = first.weight.shape[0]
        if not 0 < index.size < n_features:
            return None
        weight = take_inputs(first.weight, index)
        again = spread_inputs(weight, index, n_features)
        if not type(first.weight) is type(weight) is type(again):
            return None
        layers = [replace(first, weight=weight), *network.layers[1:]]
        return cls(Network(layers), index, n_features)

    def among_all(self, network: Network) -> Network:
        """Return ``network``, like :attr:`network`, as a function of all features."""
        first = network.layers[0]
        weight = spread_inputs(first.weight, self.index, self.n_features)
        return Network([replace(first, weight=weight), *network.layers[1:]])
