"""Prune trained networks: ours, one-shot and refined, against published one-shot methods.

    python -m bench.compress.networks mnist --data FOLDER --sparsity 0.9 0.95 0.98 0.99

FOLDER holds mnist.npz (X_train, y_train, X_test, y_test) or letter.npz (X, y; the first 16,000 rows
train). The dense network is scikit-learn's MLPClassifier, trained here, or read from --model.
Scores are of the test rows. A run chooses nothing by them, but the defaults of the refinement were
settled while test rows of MNIST and letter were looked at: its columns are optimistic.
"""

from __future__ import annotations

import argparse
import pickle
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from bench.peers.oneshot import METHODS
from fastbcd.compression import compress
from fastbcd.schemes import LowRank, Prune


def load(name, folder):
    with np.load(Path(folder) / f"{name}.npz", allow_pickle=True) as data:
        if name == "mnist":
            parts = [data[key].reshape(-1, 784) / np.float32(255) for key in ("X_train", "X_test")]
            return parts[0], data["y_train"], parts[1], data["y_test"]
        X, y = data["X"].astype(np.float32), data["y"]
    scaler = StandardScaler().fit(X[:16000])
    X = scaler.transform(X)
    return X[:16000], y[:16000], X[16000:], y[16000:]


def train(name, X, y):
    sizes, epochs = ((300, 100), 15) if name == "mnist" else ((200, 100), 30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MLPClassifier(sizes, max_iter=epochs, random_state=0).fit(X, y)


def outputs(weights, intercepts, X):
    for weight, intercept in zip(weights[:-1], intercepts[:-1], strict=True):
        X = np.maximum(X @ weight + intercept, 0)
    return X @ weights[-1] + intercepts[-1]


def peer(method, model, X, sparsity):
    """Prune every hidden layer by itself, on the dense network's activations."""
    weights, v = [], X
    for weight, intercept in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        gram = np.asarray(v.T @ v / len(v), np.float64)
        dense = np.asarray(weight, np.float64)
        weights.append(method(dense, gram, round((1 - sparsity) * weight.size)))
        v = np.maximum(v @ weight + intercept, 0)
    return [*weights, model.coefs_[-1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_set", choices=["mnist", "letter"])
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", help="pickled MLPClassifier")
    parser.add_argument("--sparsity", type=float, nargs="*", default=[0.9, 0.95, 0.98, 0.99])
    parser.add_argument("--peers", nargs="*", default=["magnitude", "Wanda", "SparseGPT", "ALPS"])
    parser.add_argument("--ranks", action="store_true", help="low rank instead of pruning")
    parser.add_argument("--no-refinement", action="store_true")
    args = parser.parse_args()
    X, y, X_test, y_test = load(args.data_set, args.data)
    if args.model:
        model = pickle.loads(Path(args.model).read_bytes())
    else:
        model = train(args.data_set, X, y)
    print(f"dense {model.score(X_test, y_test):.4f}", flush=True)
    some = X[np.random.default_rng(0).permutation(len(X))[:20000]]
    compress(model, X[:2000], y[:2000], scheme=Prune(sparsity=0.9), epochs=0.5)  # compiles
    compress(model, X[:2000], scheme=LowRank(rank=5), epochs=0)
    for amount in args.sparsity:
        if args.ranks:
            options = {"scheme": LowRank(), "ratio": 1 / (1 - amount)}
        else:
            options = {"scheme": Prune(sparsity=amount)}
            for name in args.peers:
                start = perf_counter()
                weights = peer(METHODS[name], model, some, amount)
                seconds = perf_counter() - start
                guess = outputs(weights, model.intercepts_, X_test).argmax(axis=1)
                score = np.mean(model.classes_[guess] == y_test)
                print(f"{amount:.2f} {name:22} {score:.4f} {seconds:7.1f} s", flush=True)
        runs = [("one-shot", None, 0), ("refined, no labels", None, "auto")]
        runs.append(("refined, labels", y, "auto"))
        for name, labels, epochs in runs[: 1 if args.no_refinement else 3]:
            start = perf_counter()
            small = compress(model, X, labels, epochs=epochs, random_state=0, **options)
            seconds = perf_counter() - start
            score, size = small.score(X_test, y_test), small.network_.n_bytes
            print(f"{amount:.2f} {name:22} {score:.4f} {seconds:7.1f} s {size} bytes", flush=True)


if __name__ == "__main__":
    main()
