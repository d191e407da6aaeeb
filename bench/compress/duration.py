"""How long ``compress`` takes: the formula of the guide beside measured times.

    python -m bench.compress.duration [--quick]

Networks are pruned to a given sparsity and refined with all other settings at their defaults. The
seconds are those of the processor, so that other work on the machine changes them little; with
``OMP_NUM_THREADS=1`` on an idle machine they are those of the clock. The last column is the
measured time over the formula, divided by the geometric mean of this ratio: machines differ in
speed, which the formula does not know.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from math import ceil, exp, log
from time import process_time

import numpy as np
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from fastbcd import compress
from fastbcd.schemes import Prune

PER_STEP = 0.5e-3
PER_UNIT = 20e-9
PER_WEIGHT = 0.75e-9
"""Seconds of a step, of a row and a unit in it, and of a row and a weight that is left."""

Size = tuple[int, int, tuple[int, ...], float]

SIZES: tuple[Size, ...] = (
    (1500, 30, (100, 50), 0.8),
    (2000, 64, (64, 32), 0.9),
    (10_000, 64, (128, 64), 0.9),
    (10_000, 64, (128, 64), 0.5),
    (10_000, 200, (300, 100), 0.95),
    (10_000, 200, (300, 100), 0.8),
    (5000, 400, (400, 200), 0.9),
)
QUICK = (SIZES[0], SIZES[2], SIZES[3])


def formula(n_rows: int, n_units: int, n_weights: int) -> float:
    """Return the seconds of the guide's formula.

    Parameters
    ----------
    n_rows : int
        Number of rows that are given to ``compress``.
    n_units : int
        Number of inputs and of units of all hidden layers together.
    n_weights : int
        Number of weights that are left.
    """
    batch = min(200, max(50, n_rows // 30))
    steps = min(3000 * 200 / n_rows, 80) * ceil(n_rows / batch)
    return steps * (PER_STEP + batch * (PER_UNIT * n_units + PER_WEIGHT * n_weights))


def measure(size: Size) -> tuple[float, float]:
    """Return the seconds of the formula and those of ``compress``."""
    n_rows, n_inputs, widths, sparsity = size
    x, y = make_classification(n_rows, n_inputs, n_informative=20, n_classes=5, random_state=0)
    x = x.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # three epochs are enough here
        mlp = MLPClassifier(widths, max_iter=3, random_state=0).fit(x, y)
    scheme = Prune(sparsity=sparsity)
    compress(mlp, x, y, scheme=scheme, epochs=1, random_state=0)  # compiles what is missing
    start = process_time()
    small = compress(mlp, x, y, scheme=scheme, random_state=0)
    seconds = process_time() - start
    left = sum(int(np.count_nonzero(weight)) for weight in small.coefs_)
    return formula(n_rows, n_inputs + sum(widths), left), seconds


def main(arguments: Sequence[str] | None = None) -> list[float]:
    """Print the table; return the last column."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three small sizes")
    sizes = QUICK if parser.parse_args(arguments).quick else SIZES
    found = [measure(size) for size in sizes]
    machine = exp(float(np.mean([log(seconds / expected) for expected, seconds in found])))
    ratios = [seconds / expected / machine for expected, seconds in found]
    print("| rows | network | pruned | formula, s | measured, s | measured over formula |")
    print("|---|---|---|---|---|---|")
    for size, (expected, seconds), ratio in zip(sizes, found, ratios, strict=True):
        n_rows, n_inputs, widths, sparsity = size
        network = "-".join(map(str, (n_inputs, *widths, 5)))
        amounts = f"{expected:.1f} | {seconds:.1f} | {ratio:.2f}"
        print(f"| {n_rows:,} | {network} | {100 * sparsity:g} % | {amounts} |")
    print(f"\nThis machine takes {machine:.2f} times as long as the formula.")
    return ratios


if __name__ == "__main__":
    main()
