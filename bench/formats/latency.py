"""Latency of compressed networks beside the dense one and scikit-learn's MLPClassifier.

    python -m bench.formats.latency --data FOLDER [--dtype float64] [--rounds 9]

FOLDER holds mnist.npz (X_train, y_train, X_test, y_test). All networks are 784-300-100-10; the
rows are MNIST's test rows. One BLAS thread. Medians in microseconds, the contestants taking turns.
"""

from __future__ import annotations

import argparse
import os
import warnings
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from sklearn.neural_network import MLPClassifier

from bench.timing import race
from fastbcd import BCDClassifier
from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain

BATCHES = (1, 64, 1024)
SCHEMES = [
    Prune(sparsity=0.95),
    Prune(sparsity=0.95) + Quantize(bits=4),
    Prune(sparsity=0.9),
    Prune(sparsity=0.8),
    # A tenth of the numbers of the two hidden layers.
    {0: LowRank(rank=21), 1: LowRank(rank=7)},
    LowRank(rank=10) + Prune(sparsity=0.97),
    TensorTrain(rank=8),
    TensorTrain(rank=8) + Quantize(bits=4),
    Quantize(bits=4),
]


def load(folder: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(Path(folder) / "mnist.npz", allow_pickle=True) as data:
        x, test = (data[key].reshape(-1, 784) / np.float32(255) for key in ("X_train", "X_test"))
        return x[:5000], data["y_train"][:5000], test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    x, y, test = load(args.data)
    x, test = x.astype(args.dtype), test.astype(args.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = MLPClassifier((300, 100), max_iter=2, random_state=0).fit(x, y)
        dense = BCDClassifier((300, 100), solver="minibatch", max_iter=2, random_state=0).fit(x, y)
    models = {"dense": dense}
    models |= {_name(scheme): dense.compress(scheme=scheme) for scheme in SCHEMES}
    width = max(map(len, models)) + 2
    print(f"{args.dtype}, medians in microseconds".ljust(width), end="")
    print("".join(f"{f'forward {n}':>14}{f'predict {n}':>14}{'MLP / ours':>12}" for n in BATCHES))
    table: dict[str, list[str]] = {name: [] for name in ("MLPClassifier", *models)}
    for n in BATCHES:
        rows = np.ascontiguousarray(test[100 : 100 + n])
        contestants = [partial(peer.predict, rows)]
        for model in models.values():
            contestants += [
                partial(model.network_.forward, rows, np.empty((n, 10), args.dtype)),
                partial(model.predict, rows),
            ]
        own, *times = (1e6 * seconds for seconds in race(contestants, args.rounds))
        table["MLPClassifier"].append(f"{'':>14}{own:14.1f}{'':>12}")
        for k, name in enumerate(models):
            forward, predict = times[2 * k : 2 * k + 2]
            table[name].append(f"{forward:14.1f}{predict:14.1f}{own / predict:12.1f}")
    for name, cells in table.items():
        print(name.ljust(width) + "".join(cells))


def _name(scheme: object) -> str:
    if isinstance(scheme, dict):
        return "LowRank, a tenth of the numbers"
    return str(scheme).replace(", method='kmeans', per='layer'", "")


if __name__ == "__main__":
    main()
