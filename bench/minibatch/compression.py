"""MNIST, 300-100, compressed while training; the output layer stays dense.

    python -m bench.minibatch.compression [--seeds 5] [--only prune]

Test accuracy of the exactly compressed network, the share of the hidden weights' numbers that
are left, and seconds. Medians over seeds.
"""

from __future__ import annotations

import argparse
from time import perf_counter
from typing import Any

import numpy as np

from bench.minibatch.problems import HIDDEN, fit_fastbcd, load, score
from fastbcd.schemes import LowRank, Prune, TensorTrain

SCHEMES: dict[str, Any] = {
    "prune 0.95": Prune(sparsity=0.95),
    "prune 0.98": Prune(sparsity=0.98),
    "prune 0.99": Prune(sparsity=0.99),
    "low rank 10x": {0: LowRank(rank=20), 1: LowRank(rank=12)},
    "tensor train 10x": {
        0: TensorTrain(rank=21, modes=(28, 28, 15, 20)),
        1: TensorTrain(rank=10, modes=(15, 20, 10, 10)),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    split = load("mnist")
    print(f"{'scheme':18s} accuracy   numbers left   seconds")
    for name, scheme in SCHEMES.items():
        if options.only not in name:
            continue
        found = []
        for seed in range(options.seeds):
            start = perf_counter()
            network = fit_fastbcd(split, HIDDEN["mnist"], seed, scheme=scheme).network
            seconds = perf_counter() - start
            hidden = network.layers[:-1]
            left = sum(layer.weight.n_params for layer in hidden)
            total = sum(np.prod(layer.weight.shape) for layer in hidden)
            found.append(
                (score(network.forward(split.x_test), split.y_test), left / total, seconds)
            )
        accuracy, left, seconds = np.median(found, axis=0)
        print(f"{name:18s} {accuracy:8.4f}   {left:12.4f}   {seconds:7.1f}", flush=True)


if __name__ == "__main__":
    main()
