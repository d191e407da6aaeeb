"""Certificates: published Lipschitz constants, and how far a pruned network can be off.

``python -m bench.certificates`` prints three tables: all methods on the two networks that LipSDP
was published with; all methods on a dense MNIST network and on the same network with 95 % of its
hidden weights pruned; and the difference of these two on boxes around rows of the test set.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bench.data import load
from fastbcd import certify, certify_difference, compress
from fastbcd.schemes import Prune

METHODS = ("product", "eclipse-fast", "layer", "neuron")

RADII = (0.001, 0.01, 0.05)
"""Half sides of the boxes; pixels lie in [0, 1]."""


def published() -> Iterator[tuple[str, MLPRegressor]]:
    """Yield the networks of lipsdp.npz, which have no intercepts."""
    path = Path(os.environ.get("FASTBCD_DATA", "data")) / "lipsdp.npz"
    if not path.exists():
        raise SystemExit(
            f"{path} is missing. Set FASTBCD_DATA to the folder that holds it: random/W0 to W3 and "
            "mnist/W0, W1 of github.com/arobey1/LipSDP, of shape (n_out, n_in)."
        )
    with np.load(path) as archive:
        for name in ("random", "mnist"):
            keys = sorted(key for key in archive.files if key.startswith(name))
            weights = [archive[key].T.astype(float) for key in keys]
            sizes = [w.shape[1] for w in weights]
            model = MLPRegressor(hidden_layer_sizes=sizes[:-1], max_iter=1)
            model.fit(np.zeros((2, weights[0].shape[0])), np.zeros((2, sizes[-1])))
            model.coefs_ = weights
            model.intercepts_ = [np.zeros(n) for n in sizes]
            yield name, model


def constants(models: dict[str, Any], seconds: float) -> None:
    """Print the Lipschitz constants of all methods."""
    print("| network | method | bound | proven | no certificate below | s |")
    print("|---|---|---|---|---|---|")
    for name, model in models.items():
        for method in METHODS:
            found = certify(model, method=method, max_seconds=seconds)
            print(
                f"| {name} | {method} | {found.bound:.5g} | {'yes' if found.verified else 'no'} "
                f"| {found.pattern:.5g} | {found.seconds:.2f} |",
                flush=True,
            )
    print()


def differences(dense: Any, small: Any, rows: np.ndarray, seconds: float) -> None:
    """Print how far two networks can be apart on boxes around some rows."""
    constant = sum(certify(model, max_seconds=seconds).bound for model in (dense, small))
    print("| half side | bound | found | bound / found | bound / triangle inequality | s |")
    print("|---|---|---|---|---|---|")
    for radius in RADII:
        figures = []
        for x in rows.astype(np.float64):
            found = certify_difference(dense, small, (x - radius, x + radius))
            center = certify_difference(dense, small, (x, x)).found
            triangle = center + constant * radius * np.sqrt(len(x))
            each = found.bound, found.found, found.bound / found.found, found.bound / triangle
            figures.append([*np.median(each, axis=1), found.seconds])
        bound, truth, ratio, share, took = np.median(figures, axis=0)
        print(
            f"| {radius:g} | {bound:.3g} | {truth:.3g} | {ratio:.2f} | {share:.2f} | {took:.1f} |",
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.certificates", description=__doc__)
    parser.add_argument("--rows", type=int, default=20, help="rows of the test set")
    parser.add_argument("--seconds", type=float, default=60.0, help="bound of each search")
    parser.add_argument("--quick", action="store_true", help="a trial run on small networks")
    args = parser.parse_args(argv)
    widths, n, n_rows, seconds = (300, 100), 60_000, args.rows, args.seconds
    if args.quick:
        widths, n, n_rows, seconds = (10,), 500, 2, 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        constants(dict(published()), seconds)
        data = load("mnist")
        dense = MLPClassifier(hidden_layer_sizes=widths, max_iter=10, random_state=0).fit(
            data.x[:n], data.y[:n]
        )
    scheme = Prune(sparsity=0.95)
    small = compress(dense, data.x[:n], data.y[:n], scheme=scheme, random_state=0)
    accuracy = [model.score(data.x_test, data.y_test) for model in (dense, small)]
    names = [
        f"{name} {'-'.join(map(str, (784, *widths, 10)))}, accuracy {right:.4f}"
        for name, right in zip(("dense", "pruned"), accuracy, strict=True)
    ]
    constants(dict(zip(names, (dense, small), strict=True)), seconds)
    differences(dense, small, data.x_test[:n_rows], seconds)


if __name__ == "__main__":
    main()
