"""The first weights of a mini-batch fit: random, or taken from a network."""

from __future__ import annotations

import numpy as np

from fastbcd.network.network import Network
from fastbcd.network.scaling import Scaling, release
from fastbcd.solvers.minibatch.problem import MiniBatchProblem
from fastbcd.statistics.inputs import InputMap
from fastbcd.utils.types import Float


def first_weights(
    problem: MiniBatchProblem,
    inputs: InputMap,
    rng: np.random.Generator,
    start: Network | None = None,
) -> tuple[list[Float], list[Float]]:
    """Return the first weights and biases: those of ``start``, or random ones.

    The variance of random weights is He's 2 / n_in, in the first layer 2 / (total variance of its
    inputs), and half of that in layers without an activation.

    Parameters
    ----------
    problem : MiniBatchProblem
        Widths, types and schemes. Without a scheme the first layer's weights are returned in
        whitened coordinates.
    inputs : InputMap
        Coordinates of the inputs.
    rng : Generator
        Source of random weights.
    start : Network, optional
        Network on raw data.
    """
    dtype = problem.rows.dtype
    if start is not None:
        shift = Scaling(inputs.center.astype(np.float64), 1.0)
        weights, biases = release(start, shift, problem.rows.scaling)
    else:
        weights = []
        shapes = problem.layout.shapes
        biases = [np.zeros(m, dtype) for _, m in shapes]
        for index, (n, m) in enumerate(shapes):
            variance = n if index or inputs.spread <= 0 else inputs.spread
            factor = 1 if index in problem.linear else 2
            w = rng.standard_normal((n, m)) * np.sqrt(factor / variance)
            if index == 0:
                w = w / inputs.unit[:, None]
            if index == len(shapes) - 1:
                w *= problem.settings.small_output
            scheme = problem.schemes[index]
            if scheme is not None and problem.is_thin(index):  # keeps the norm
                train = scheme.project(w).to_dense()
                w = train * (np.linalg.norm(w) / np.linalg.norm(train))
            weights.append(np.ascontiguousarray(w, dtype))
    if problem.schemes[0] is None:
        weights[0] = inputs.from_inputs(weights[0])
    return weights, biases
