"""MNIST, 300-100: test accuracy over seconds, for the mini-batch solver and its peers.

    python -m bench.minibatch.accuracy_over_time [--seeds 5] [--figure curves.png]

Prints a table: seconds to 97.5 % (medians), best accuracy and when, accuracy of a fit that runs to
its own stop. Evaluations are not timed. The networks of all methods are evaluated after each
epoch; the default schedule of the mini-batch solver and a short one of three epochs are shown.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from bench.minibatch.problems import HIDDEN, Split, fit_fastbcd, load, score
from bench.peers.adam import fit_adam

Curve = list[tuple[float, float]]
"""(seconds, test accuracy) after each epoch."""


def fastbcd_curve(split: Split, seed: int, epochs: int = 1000) -> Curve:
    curve: Curve = []
    start, evaluating = perf_counter(), 0.0

    def after_epoch(network: Any) -> None:
        nonlocal evaluating
        now = perf_counter()
        accuracy = score(network.forward(split.x_test), split.y_test)
        curve.append((now - start - evaluating, accuracy))
        evaluating += perf_counter() - now

    fit_fastbcd(split, HIDDEN["mnist"], seed, epochs, after_epoch)
    return curve


def sklearn_curve(split: Split, seed: int, epochs: int = 25) -> Curve:
    curve: Curve = []
    model = MLPClassifier(HIDDEN["mnist"], random_state=seed)
    spent = 0.0
    for _ in range(epochs):
        start = perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            # One more epoch of the same fit: partial_fit keeps the moments of Adam.
            model.partial_fit(split.x, split.y, classes=np.unique(split.y))
        spent += perf_counter() - start
        curve.append((spent, model.score(split.x_test, split.y_test)))
    return curve


def torch_curve(split: Split, seed: int, epochs: int = 25) -> Curve:
    net = fit_adam(
        split.x, split.y, HIDDEN["mnist"], epochs, seed,
        callback=lambda net: net.score(split.x_test, split.y_test),
    )  # fmt: skip
    return list(zip(np.cumsum(net.epoch_seconds), net.scores, strict=True))


METHODS: dict[str, Callable[[Split, int], Curve]] = {
    "fastbcd mini-batch": fastbcd_curve,
    "fastbcd, 3 epochs": lambda split, seed: fastbcd_curve(split, seed, 3),
    "MLPClassifier": sklearn_curve,
    "PyTorch Adam": torch_curve,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--goal", type=float, default=0.975)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    options = parser.parse_args()
    split = load("mnist")
    fit_fastbcd(split, HIDDEN["mnist"], 0, 1)  # compiles the kernels
    curves: dict[str, list[Curve]] = {}
    print(f"{'method':20s} s to {options.goal:.1%}   best (at s)        last (at s)")
    for name in options.methods:
        curves[name] = [METHODS[name](split, seed) for seed in range(options.seeds)]
        reached = [
            next((t for t, a in curve if a >= options.goal), np.inf) for curve in curves[name]
        ]
        tops = [max(curve, key=lambda point: point[1]) for curve in curves[name]]
        ends = [curve[-1] for curve in curves[name]]
        (top_t, top), (end_t, end) = (np.median(points, axis=0) for points in (tops, ends))
        row = f"{np.median(reached):10.2f}   {top:.4f} ({top_t:5.1f})   {end:.4f} ({end_t:5.1f})"
        print(f"{name:20s} {row}", flush=True)
    if options.figure:
        draw(curves, options.figure)


def draw(curves: dict[str, list[Curve]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    for index, (name, runs) in enumerate(curves.items()):
        for run in runs:
            label = name if run is runs[0] else None
            axes.plot(*zip(*run, strict=True), color=f"C{index}", label=label, lw=1)
    axes.set(xlabel="seconds", ylabel="test accuracy", xscale="log", ylim=(0.94, 0.99))
    axes.legend()
    figure.savefig(path, dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    main()
