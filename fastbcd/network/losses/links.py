"""Link functions: the map from the outputs of a network to probabilities.

A link is plain data, so that NumPy, C, ONNX and scikit-learn can all implement the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, softmax

from fastbcd.utils.types import Float


@dataclass(frozen=True)
class Link:
    """A map from outputs v (n, k) to probabilities, by way of z = scale * (v - shift).

    Every form preserves the order of the outputs in a row: the class with the largest output has
    the largest probability.

    Parameters
    ----------
    form : {"softmax", "simplex", "sigmoid"}
        "softmax" is exp(z_j) / sum_i exp(z_i). "simplex" is the probability vector nearest to z
        (Michelot 1986), which is z itself if z is one. "sigmoid" is 1 / (1 + exp(-z_j)) for each
        output separately, for labels that are not mutually exclusive.
    scale, shift : float
        Scale and shift in z.
    """

    form: Literal["softmax", "simplex", "sigmoid"]
    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, v: Float) -> Float:
        """Return the probabilities (n, k) of outputs (n, k), with their dtype."""
        z: Float = v.dtype.type(self.scale) * (v - v.dtype.type(self.shift))
        found: Float
        if self.form == "softmax":
            found = softmax(z, axis=1)
        elif self.form == "sigmoid":
            found = expit(z)
        else:
            found = nearest_on_simplex(z)
        return found


def nearest_on_simplex(z: Float) -> Float:
    """Return the projection of each row of z (n, k) onto the probability simplex.

    The projection is max(z - t, 0). The threshold t is the maximum over m of
    (sum of the m largest entries - 1) / m. Cost: one sort per row.
    """
    ranked = -np.sort(-z.astype(np.float64), axis=1)
    thresholds = (np.cumsum(ranked, axis=1) - 1) / np.arange(1, z.shape[1] + 1)
    nearest: Float = np.maximum(z - thresholds.max(axis=1, keepdims=True), 0).astype(z.dtype)
    return nearest


BY_CLASS: dict[str, Link] = {
    "cross_entropy": Link("softmax"),
    "squared": Link("simplex"),
    "hinge": Link("simplex", scale=0.5, shift=-1.0),
}
"""The link of each loss for one class per row. Hinge outputs are mapped from [-1, 1] to [0, 1]."""

BY_LABEL: dict[str, Link] = {
    "logistic": Link("sigmoid"),
    "squared": Link("sigmoid", scale=4.0, shift=0.5),
    "hinge": Link("sigmoid", scale=4.0),
}
"""The link of each loss for several labels per row; the probability at the threshold is 0.5."""
