"""Learning from streams: dense networks as the batch solver does, others by mini-batches."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastbcd.network.layers.specs import LayerSize
from fastbcd.network.network import Network
from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.solvers import minibatch
from fastbcd.solvers.minibatch import Stream
from fastbcd.solvers.stream.dense import DenseStream
from fastbcd.utils.types import Float

AnyStream: TypeAlias = DenseStream | Stream

WIDEST = 2048
"""Units of a hidden layer up to which its covariance is inverted. Its cost sets this number."""


def start_stream(
    x: Float,
    y: NDArray[Any],
    *,
    n_out: int,
    hidden_layer_sizes: tuple[LayerSize, ...],
    random_state: np.random.RandomState,
    activation: str = "relu",
    loss: str = "cross_entropy",
    scale_targets: bool = False,
    scheme: SchemeChoice = None,
    start: Network | None = None,
    input_shape: tuple[int, int, int] | None = None,
    alpha: float = 0.0,
    batch_size: int | None = None,
) -> AnyStream:
    """Return a stream that has not learnt anything yet.

    Parameters
    ----------
    x, y : arrays
        Rows; they only determine the type.
    n_out, hidden_layer_sizes, random_state, activation, loss, scale_targets, scheme, start,
    input_shape, alpha, batch_size
        As for :func:`fastbcd.solvers.minibatch.start_stream`, which learns the networks with a
        scheme, with images, or with very wide layers.
    """
    plain = scheme is None and input_shape is None
    widths = tuple(size for size in hidden_layer_sizes if isinstance(size, int))
    if plain and len(widths) == len(hidden_layer_sizes) and max(widths, default=0) <= WIDEST:
        kind = x.dtype if x.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        return DenseStream(
            (int(x.shape[1]), *widths, n_out),
            kind,
            activation=activation,
            loss=loss,
            scale_targets=scale_targets,
            seed=int(random_state.randint(2**31 - 1)),
            start=start,
            alpha=alpha,
            batch_size=batch_size,
        )
    return minibatch.start_stream(
        x,
        y,
        n_out=n_out,
        hidden_layer_sizes=hidden_layer_sizes,
        random_state=random_state,
        activation=activation,
        loss=loss,
        scale_targets=scale_targets,
        scheme=scheme,
        start=start,
        input_shape=input_shape,
        alpha=alpha,
        batch_size=batch_size,
    )
