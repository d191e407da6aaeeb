"""One-shot methods on a whole ReLU network: which inputs each layer's Gram matrix is taken of.

Weights are (n_in, n_out), one array per layer. The output layer and the intercepts stay as they
are, as the methods leave them. Two treatments are published:

"dense"
    Every layer by itself, on the activations of the dense network (ExactOBS, SVD-LLM's and
    ASVD's whitening).
"compressed"
    Layer after layer, on the activations that the layers compressed before it produce
    (SparseGPT, Wanda, ADMM-Grad, ALPS, GPTQ). The goal stays the dense layer's weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")


def through_layers(
    method: Callable[[Array, Array, int], T],
    weights: Sequence[Array],
    intercepts: Sequence[Array],
    x: Array,
    inputs: str,
    dense: Callable[[T], Array] = np.asarray,
) -> list[T]:
    """Compress the hidden layers.

    Parameters
    ----------
    method : callable
        ``method(weight, gram, index)`` returns the compressed layer.
    weights, intercepts : sequences of arrays
        Of all layers.
    x : (n, d) array
        Calibration rows.
    inputs : {"dense", "compressed"}
        See above.
    dense : callable
        Turns a compressed layer into its matrix.

    Returns
    -------
    list
        The compressed hidden layers.
    """
    found, v = [], x
    for index, (weight, intercept) in enumerate(zip(weights[:-1], intercepts[:-1], strict=True)):
        gram = (v.T @ v).astype(np.float64) / len(v)
        found.append(method(weight.astype(np.float64), gram, index))
        following = weight if inputs == "dense" else dense(found[-1]).astype(weight.dtype)
        v = np.maximum(v @ following + intercept, 0)
    return found
