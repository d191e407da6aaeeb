"""Accuracy (R2 for regressions) and seconds on small data, beside the peers.

    python -m bench.minibatch.peers_table [--seeds 5] [--data letter dna ...] [--torch-epochs 100]

Means over seeds; each seed is also another split where none is customary. All defaults.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import numpy as np

from bench.minibatch.problems import HIDDEN, fit_fastbcd, fit_sklearn, fit_torch, load, score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", nargs="*", default=[name for name in HIDDEN if name != "mnist"])
    parser.add_argument("--torch-epochs", type=int, default=100)
    options = parser.parse_args()
    fit_fastbcd(load("digits"), (8,), 0, 1)  # compiles the kernels
    print(f"{'data':10s} {'fastbcd':>20s} {'scikit-learn':>20s} {'PyTorch Adam':>20s}")
    for name in options.data:
        found = []
        for seed in range(options.seeds):
            split, hidden = load(name, seed), HIDDEN[name]
            start = perf_counter()
            network = fit_fastbcd(split, hidden, seed).network
            ours = score(network.forward(split.x_test), split.y_test), perf_counter() - start
            theirs = fit_sklearn(split, hidden, seed)[:2]
            found.append((ours, theirs, fit_torch(split, hidden, seed, options.torch_epochs)))
        means = np.mean(found, axis=0)
        cells = "".join(f"{a:12.4f} {s:6.2f} s" for a, s in means)
        print(f"{name:10s} {cells}", flush=True)


if __name__ == "__main__":
    main()
