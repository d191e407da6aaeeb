"""Certificates: published Lipschitz constants, and how far a pruned network can be off.

``python -m bench.certificates`` prints five tables: all methods on the two networks that LipSDP was
published with, beside a solver of semidefinite programs if the extra ``certify`` is there; all
methods on a network of 784-100-50-50-10, and its local constants at the radius that they certify;
all methods on a dense MNIST network and on the same network with 95 % of its hidden weights pruned;
the difference of these two on boxes around rows of the test set; and the share of rows that each of
them is certified at.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bench.data import load
from bench.lipsdp import lipsdp
from fastbcd import certify, certify_difference, compress, is_robust, robust_radius
from fastbcd.schemes import Prune

METHODS = ("product", "eclipse-fast", "layer", "neuron")

RADII = (0.001, 0.01, 0.05)
"""Half sides of the boxes; pixels lie in [0, 1]."""

BALLS = (0.1, 0.2, 0.4)
"""Radii of the balls."""


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


def reference(models: dict[str, Any]) -> None:
    """Print the Lipschitz constants by a solver of semidefinite programs, if it is there."""
    if find_spec("cvxpy") is None:
        print("cvxpy is not installed: no reference. pip install 'fastbcd[certify]'")
        return
    print("| network | LipSDP | Clarabel | Clarabel, s | here | here, s | here / Clarabel - 1 |")
    print("|---|---|---|---|---|---|---|")
    for name, model in models.items():
        for method in ("layer", "neuron"):
            solved = lipsdp([w.T for w in model.coefs_], method)
            found = certify(model, method=method)
            print(
                f"| {name} | {method} | {solved.constant:.6g} | {solved.seconds:.1f} "
                f"| {found.bound:.6g} | {found.seconds:.2f} "
                f"| {found.bound / solved.constant - 1:.1e} |",
                flush=True,
            )
    print()


def local(model: Any, rows: np.ndarray, seconds: float) -> None:
    """Print the constants and the radii that the global and the local constants certify."""
    constant = certify(model, max_seconds=seconds).bound
    scores = forward_scores(model, rows)
    ordered = np.sort(scores, axis=1)
    margins = ordered[:, -1] - ordered[:, -2]
    plain = margins / (np.sqrt(2) * constant)
    radii = robust_radius(model, rows, max_seconds=0.3)
    each = [
        certify(model, (x.astype(float), r), max_seconds=seconds / 10).bound
        for x, r in zip(rows, radii, strict=True)
        if r > 0
    ]
    print(
        "| global constant | radius it certifies | radius certified | local constant there "
        "| global / local |"
    )
    print("|---|---|---|---|---|")
    print(
        f"| {constant:.4g} | {np.median(plain):.3g} | {np.median(radii):.3g} "
        f"| {np.median(each):.4g} | {constant / np.median(each):.2f} |\n",
        flush=True,
    )


def forward_scores(model: Any, rows: np.ndarray) -> np.ndarray:
    """Return the scores before the softmax of a network of scikit-learn."""
    v = rows.astype(np.float64)
    for weight, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        v = np.maximum(v @ weight + bias, 0)
    found: np.ndarray = v @ model.coefs_[-1] + model.intercepts_[-1]
    return found


def differences(dense: Any, small: Any, rows: np.ndarray, seconds: float) -> None:
    """Print how far two networks can be apart on boxes around some rows.

    What the triangle inequality adds to the difference at the center is the sum of both constants
    times the radius; "excess" is what the bound adds to it, relative to that.
    """
    constant = sum(certify(model, max_seconds=seconds).bound for model in (dense, small))
    print(
        "| half side | at the center | found | bound | triangle inequality | bound / found "
        "| bound / triangle | excess | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for radius in RADII:
        figures = []
        for x in rows.astype(np.float64):
            found = certify_difference(dense, small, (x - radius, x + radius), max_seconds=10)
            center = certify_difference(dense, small, (x, x)).found
            reach = constant * radius * np.sqrt(len(x))
            triangle = center + reach
            each = (
                center, found.found, found.bound, triangle, found.bound / found.found,
                found.bound / triangle, (found.bound - center) / reach,
            )  # fmt: skip
            figures.append([*np.median(each, axis=1), found.seconds])
        middle = np.median(figures, axis=0)
        print(
            f"| {radius:g} | " + " | ".join(f"{value:.3g}" for value in middle) + " |", flush=True
        )
    print()


def shares(models: dict[str, Any], rows: np.ndarray) -> None:
    """Print the share of rows that are certified, in the 2-norm and in the maximum norm."""
    print("| network | " + " | ".join(f"2-norm {r:g}" for r in BALLS), end="")
    print(" | " + " | ".join(f"maximum norm {r:g}" for r in RADII) + " |")
    print("|---" * (1 + len(BALLS) + len(RADII)) + "|")
    for name, model in models.items():
        each = [is_robust(model, rows, r, max_seconds=0.3).mean() for r in BALLS]
        each += [is_robust(model, rows, r, norm="inf").mean() for r in RADII]
        print(f"| {name} | " + " | ".join(f"{share:.2f}" for share in each) + " |", flush=True)


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
        known = dict(published())
        constants(known, seconds)
        if not args.quick:
            reference(known)
        data = load("mnist")
        deep = MLPClassifier(
            hidden_layer_sizes=(10, 10) if args.quick else (100, 50, 50),
            max_iter=10,
            random_state=0,
        ).fit(data.x[:n], data.y[:n])
        constants({f"784-{'-'.join(map(str, deep.hidden_layer_sizes))}-10": deep}, seconds)
        local(deep, data.x_test[:n_rows], seconds)
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
    both = dict(zip(names, (dense, small), strict=True))
    constants(both, seconds)
    differences(dense, small, data.x_test[:n_rows], seconds)
    shares(both, data.x_test[:n_rows])


if __name__ == "__main__":
    main()
