"""Whether certificates hold: random networks, all methods, and slopes that are really there.

``python -m bench.soundness`` makes random networks with every activation, bounds their Lipschitz
constants by all methods, everywhere and in a box, and the difference from a network nearby. It
counts bounds that are not ordered, and sampled slopes and differences above their bounds. There
must be none: then the command ends with status 0.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from fastbcd import certify, certify_difference

METHODS = ("product", "eclipse-fast", "layer", "neuron")

ACTIVATIONS = ("relu", "tanh", "logistic")

TOLERANCE = 1e-7
"""Relative difference up to which two bounds count as equal: a search ends at a change of it."""


def regressor(weights: Sequence[np.ndarray], biases: Sequence[np.ndarray], activation: str) -> Any:
    """Return a network of scikit-learn with weights (n_out, n_in)."""
    sizes = [len(w) for w in weights]
    model = MLPRegressor(hidden_layer_sizes=sizes[:-1], activation=activation, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(np.zeros((2, weights[0].shape[1])), np.zeros((2, sizes[-1])))
    model.coefs_ = [w.T for w in weights]
    model.intercepts_ = list(biases)
    return model


def slopes(model: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the change of the outputs over the change of the inputs, for pairs of rows."""
    outputs = [model.predict(each).reshape(len(x), -1) for each in (x, y)]
    change = np.linalg.norm(outputs[0] - outputs[1], axis=1)
    found: np.ndarray = change / np.linalg.norm(x - y, axis=1)
    return found


def wrong(rng: np.random.Generator, n_samples: int) -> list[str]:
    """Return what was wrong with the certificates of one random network."""
    depth, activation = int(rng.integers(1, 4)), str(rng.choice(ACTIVATIONS))
    sizes = [int(rng.integers(2, 13)) for _ in range(depth + 2)]
    scale = rng.uniform(0.5, 3)
    weights = [scale * rng.standard_normal((q, p)) / np.sqrt(p) for p, q in pairwise(sizes)]
    biases = [0.5 * rng.standard_normal(len(w)) for w in weights]
    model = regressor(weights, biases, activation)
    near = regressor([w + 0.01 * rng.standard_normal(w.shape) for w in weights], biases, activation)
    low = rng.standard_normal(sizes[0])
    box = low, low + rng.uniform(0.01, 2, sizes[0])
    found = []
    for region in (None, box):
        each = [certify(model, region, method=method, max_seconds=2) for method in METHODS]
        bounds = [certificate.bound for certificate in each] + [each[-1].pattern, each[-1].reached]
        if np.any(np.diff(bounds) > TOLERANCE * bounds[0]):
            found.append(f"{sizes} {activation}: the bounds are {bounds}")
        if region is None:
            x, y = rng.standard_normal((2, n_samples, sizes[0]))
        else:
            x, y = (rng.uniform(*box, (n_samples, sizes[0])) for _ in range(2))
        y[::2] = x[::2] + 1e-3 * (y[::2] - x[::2])
        steepest = slopes(model, x, y).max()
        if steepest > bounds[3] * (1 + 1e-9):
            found.append(f"{sizes} {activation}: slope {steepest} above {bounds[3]}")
    apart = certify_difference(model, near, box, max_seconds=2)
    outputs = [each.predict(x).reshape(n_samples, -1) for each in (model, near)]
    largest = np.abs(outputs[0] - outputs[1]).max(axis=0)
    if np.any(largest > apart.bound * (1 + 1e-9)):
        found.append(f"{sizes} {activation}: difference {largest} above {apart.bound}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.soundness", description=__doc__)
    parser.add_argument("--networks", type=int, default=1000, help="number of random networks")
    parser.add_argument("--samples", type=int, default=1000, help="pairs of inputs of each")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    rng = np.random.default_rng(args.seed)
    violations = []
    for _ in range(args.networks):
        violations += wrong(rng, args.samples)
    print(f"{args.networks} networks, {args.networks * args.samples:,} pairs of inputs everywhere,")
    print(f"as many in boxes: {len(violations)} violations")
    print("\n".join(violations))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
