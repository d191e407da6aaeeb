"""Accuracy (R2 for regressions) and seconds on small data, beside the peers.

    python -m bench.minibatch.peers_table [--seeds 5] [--data letter dna ...] [--quick]

Medians over seeds with the range; each seed is also another split where none is customary. All
defaults; PyTorch's Adam has none for the length of a fit and takes 100 epochs, on the 100,000 rows
of Friedman #1 twenty.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from time import perf_counter

import numpy as np

from bench.data import (
    HIDDEN,
    Split,
    fit_fastbcd,
    fit_sklearn,
    fit_torch,
    load,
    score,
)
from bench.kept import Kept, Row, arguments
from bench.minibatch.accuracy_over_time import spread

REGRESSIONS = ("diabetes", "friedman")
EPOCHS = {"friedman": 20}
"""Epochs of PyTorch's Adam, where not 100."""


def ours(split: Split, name: str, seed: int) -> Row:
    start = perf_counter()
    network = fit_fastbcd(split, HIDDEN[name], seed).network_
    seconds = perf_counter() - start
    return score(network.forward(split.x_test), split.y_test), seconds


PEERS: dict[str, Callable[[Split, str, int], Row]] = {
    "fastbcd": ours,
    "scikit-learn": lambda split, name, seed: fit_sklearn(split, HIDDEN[name], seed)[:2],
    "PyTorch Adam": lambda split, name, seed: fit_torch(
        split, HIDDEN[name], seed, EPOCHS.get(name, 100)
    ),
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", nargs="*", default=[name for name in HIDDEN if name != "mnist"])
    options = parser.parse_args()
    peers = {n: run for n, run in PEERS.items() if "PyTorch" not in n or find_spec("torch")}
    if len(peers) < len(PEERS):
        print("PyTorch Adam is left out: torch is not installed.")
    names = ["digits", "diabetes"] if options.quick else options.data
    kept = Kept("peers_table", ("data", "method", "seed"), ("score", "seconds"), options)
    head = " | ".join(f"{peer} | s" for peer in peers)
    lines = [f"| data | {head} |", "|---" * (1 + 2 * len(peers)) + "|"]
    medians = []
    for name in names:
        fit_fastbcd(load(name, 0), (8,), 0, 1)  # compiles the kernels
        found: dict[str, list[Row]] = {peer: [] for peer in peers}
        for seed in range(1 if options.quick else options.seeds):
            split = load(name, seed)
            for peer, run in peers.items():
                key = (name, peer, seed)
                found[peer] += kept.rows(key, lambda: [run(split, name, seed)])  # noqa: B023  # called at once
        cells = []
        for rows in found.values():
            scores, seconds = zip(*rows, strict=True)
            cells += [spread(scores, 4), f"{np.median(seconds):.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        medians.append([np.median(rows, axis=0) for rows in found.values()])
    chosen = [m for name, m in zip(names, medians, strict=True) if name not in REGRESSIONS]
    if chosen:
        means = " | ".join(f"{a:.4f} | {s:.2f}" for a, s in np.mean(chosen, axis=0))
        lines.append(f"| mean of the classifications | {means} |")
    kept.table("\n".join(lines))


if __name__ == "__main__":
    main()
