"""Inputs and neurons removed: ``python -m bench.slim``.

MNIST: a network of 784-300-100-10 from MLPClassifier (12 epochs) and from BCDClassifier, made
smaller by ``compress(scheme=Prune(structure="unit", n_nonzero=...))``: test accuracy, widths, and
seconds after the dense network; means over ``--seeds``.

Tables: a network of (100, 50) with fewer inputs, ``Prune(structure="input", n_inputs=k)``, beside
L1 logistic regression that selects as many and a fresh network on these. The smallest k whose mean
accuracy is at most .003 below the dense network's counts as no loss.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from bench.data import file_of, load
from fastbcd import BCDClassifier, compress
from fastbcd.schemes import Prune

WEIGHTS = (14_000, 10_000, 5_000)
"""Weights that stay of the network on MNIST."""

TABLES = ("movement_libras", "chess", "dna", "optdigits", "spambase")
SHARES = (0.8, 0.6, 0.45, 0.33, 0.24, 0.17)
"""Shares of the inputs that stay."""


def dense(kind: str, hidden: tuple[int, ...], x: Any, y: Any, seed: int, epochs: int) -> Any:
    """Return a trained network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if kind == "MLPClassifier":
            return MLPClassifier(hidden, max_iter=epochs, random_state=seed).fit(x, y)
        return BCDClassifier(hidden, encoding=None, random_state=seed).fit(x, y)


def network_rows(data: Any, hidden: Any, sizes: Sequence[int], seeds: int, epochs: int) -> None:
    """Print the accuracy of networks of at most ``sizes`` weights."""
    print("| from | weights at most | accuracy | dense | inputs-h1-h2 | weights | s |")
    print("|---|---|---|---|---|---|---|")
    for kind in ("MLPClassifier", "BCDClassifier"):
        found: dict[int, list[Any]] = {size: [] for size in sizes}
        for seed in range(seeds):
            model = dense(kind, hidden, data.x, data.y, seed, epochs)
            before = model.score(data.x_test, data.y_test)
            for size in sizes:
                start = perf_counter()
                scheme = Prune(structure="unit", n_nonzero=size)
                small = compress(model, data.x, data.y, scheme=scheme, random_state=seed)
                seconds = perf_counter() - start
                widths = [w.shape[0] for w in small.coefs_]
                weights = sum(w.size for w in small.coefs_)
                score = small.score(data.x_test, data.y_test)
                found[size].append((score, before, *widths, weights, seconds))
        for size, rows in found.items():
            score, before, *widths, weights, seconds = np.mean(rows, axis=0)
            shape = "-".join(f"{width:.0f}" for width in widths)
            print(
                f"| {kind} | {size:,} | {score:.4f} | {before:.4f} | {shape} | {weights:,.0f} | "
                f"{seconds:.1f} |",
                flush=True,
            )


def table(name: str, seed: int) -> tuple[Any, Any, Any, Any]:
    """Return a split of a table, standardised."""
    if name == "digits":
        x, y = load_digits(return_X_y=True)
    elif name == "dna":
        file = file_of("dna")
        x, y = file["X"], file["y"].astype(str)
    else:
        file = file_of("tables")
        x, y = file[f"{name}/X"], file[f"{name}/y"]
    parts = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(parts[0])
    return scaler.transform(parts[0]), parts[2], scaler.transform(parts[1]), parts[3]


def input_rows(names: Sequence[str], shares: Sequence[float], seeds: int, epochs: int) -> None:
    """Print, for each table, the fewest inputs without a loss and both accuracies there."""
    print("| table | inputs | kept at no loss | accuracy | dense | L1 and a fresh network |")
    print("|---|---|---|---|---|---|")
    for name in names:
        results: dict[int, list[Any]] = {}
        full = []
        for seed in range(seeds):
            x, y, x_test, y_test = table(name, seed)
            model = dense("MLPClassifier", (100, 50), x, y, seed, epochs)
            full.append(model.score(x_test, y_test))
            linear = LogisticRegression(
                l1_ratio=1.0, C=0.1, solver="saga", max_iter=100, random_state=seed
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                linear.fit(x[:6000], y[:6000])
            for share in shares:
                k = max(2, round(share * x.shape[1]))
                scheme = Prune(structure="input", n_inputs=k)
                small = compress(model, x, y, scheme=scheme, random_state=seed)
                select = SelectFromModel(linear, prefit=True, max_features=k, threshold=-np.inf)
                chosen = select.get_support()
                fresh = dense("MLPClassifier", (100, 50), x[:, chosen], y, seed, epochs)
                scores = small.score(x_test, y_test), fresh.score(x_test[:, chosen], y_test)
                results.setdefault(k, []).append(scores)
        before = float(np.mean(full))
        means = {k: np.mean(scores, axis=0) for k, scores in results.items()}
        enough = [k for k, (own, _) in means.items() if own >= before - 0.003]
        k = min(enough, default=max(means))
        note = "" if enough else " (a loss)"
        print(
            f"| {name} | {x.shape[1]} | {k}{note} | {means[k][0]:.3f} | {before:.3f} | "
            f"{means[k][1]:.3f} |",
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="networks, or splits of a table")
    parser.add_argument("--parts", default="network,tables", help="which of the two")
    parser.add_argument("--quick", action="store_true", help="scikit-learn's digits alone")
    args = parser.parse_args(argv)
    if args.quick:
        network_rows(load("digits"), (32, 16), (800,), 1, 20)
        input_rows(["digits"], (0.5,), 1, 20)
        return
    if "network" in args.parts:
        network_rows(load("mnist"), (300, 100), WEIGHTS, args.seeds, 12)
    if "tables" in args.parts:
        input_rows(TABLES, SHARES, args.seeds, 100)


if __name__ == "__main__":
    main()
