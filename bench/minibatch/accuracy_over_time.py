"""MNIST, 300-100: test accuracy over seconds, for the mini-batch solver and its peers.

    python -m bench.minibatch.accuracy_over_time [--seeds 5] [--methods NAME ...] [--quick]

Seconds to 97.5 %, the best accuracy and when, the accuracy at the method's own stop: medians over
seeds, with the range. The network of every epoch is evaluated, which is not timed. The default
course of the mini-batch solver and a short one, ``max_iter=3``, are two methods. Curves and tables
are kept in ``bench/results/minibatch/``, and drawn there if matplotlib is installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from bench.data import HIDDEN, Split, fit_fastbcd, load, score
from bench.kept import Kept, Row, arguments

Curve = list[Row]
"""(seconds, test accuracy) after each epoch."""

TIMES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)


def fastbcd_curve(split: Split, hidden: tuple[int, ...], seed: int, epochs: int = 1000) -> Curve:
    curve: Curve = []
    start, evaluating = perf_counter(), 0.0

    def after_epoch(network: Any) -> None:
        nonlocal evaluating
        now = perf_counter()
        accuracy = score(network.forward(split.x_test), split.y_test)
        curve.append((now - start - evaluating, accuracy))
        evaluating += perf_counter() - now

    fit_fastbcd(split, hidden, seed, epochs, after_epoch)
    return curve


def sklearn_curve(split: Split, hidden: tuple[int, ...], seed: int, epochs: int = 25) -> Curve:
    curve: Curve = []
    model = MLPClassifier(hidden, random_state=seed)
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


def torch_curve(split: Split, hidden: tuple[int, ...], seed: int, epochs: int = 25) -> Curve:
    from bench.peers.adam import fit_adam

    net = fit_adam(
        split.x, split.y, hidden, epochs, seed,
        callback=lambda net: net.score(split.x_test, split.y_test),
    )  # fmt: skip
    return list(zip(np.cumsum(net.epoch_seconds), net.scores, strict=True))


METHODS: dict[str, Callable[[Split, tuple[int, ...], int], Curve]] = {
    "fastbcd mini-batch": fastbcd_curve,
    "fastbcd, 3 epochs": lambda split, hidden, seed: fastbcd_curve(split, hidden, seed, 3),
    "MLPClassifier": sklearn_curve,
    "PyTorch Adam": torch_curve,
}


def accuracy_at(curve: Curve, seconds: float) -> float:
    """Return the accuracy of the last network that was there after so many seconds."""
    reached = [accuracy for when, accuracy in curve if when <= seconds]
    return reached[-1] if reached else np.nan


def spread(values: list[float], digits: int) -> str:
    """Return the median and the range of some numbers."""
    low, middle, high = np.min(values), np.median(values), np.max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def summary(curves: dict[str, list[Curve]], goal: float) -> str:
    """Return the two tables."""
    lines = [
        f"| method | seconds to {goal:.1%} | best accuracy | after s | accuracy at its stop | s |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in curves.items():
        reached = [next((t for t, a in run if a >= goal), np.inf) for run in runs]
        tops = [max(run, key=lambda point: point[1]) for run in runs]
        (top_s, top), (end_s, end) = (
            zip(*points, strict=True) for points in (tops, [run[-1] for run in runs])
        )
        cells = [spread(reached, 2), spread(top, 4), spread(top_s, 1), spread(end, 4)]
        lines.append(f"| {name} | {' | '.join(cells)} | {np.median(end_s):.1f} |")
    lines += ["", f"| seconds | {' | '.join(curves)} |", "|---" * (len(curves) + 1) + "|"]
    for seconds in TIMES:
        found = [np.median([accuracy_at(run, seconds) for run in runs]) for runs in curves.values()]
        cells = ["" if np.isnan(a) else f"{a:.4f}" for a in found]
        lines.append(f"| {seconds:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


STYLES = {
    "fastbcd mini-batch": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "fastbcd, 3 epochs": {"color": "#56B4E9", "marker": "P", "linestyle": "--"},
    "MLPClassifier": {"color": "#D55E00", "marker": "s", "linestyle": "-"},
    "PyTorch Adam": {"color": "#666666", "marker": "v", "linestyle": ":"},
}
"""Colours of Okabe and Ito; markers and dashes tell the lines apart without them."""

TICKS = (1, 2, 5, 10, 20, 50, 100)


def draw(curves: dict[str, list[Curve]], goal: float, path: Path) -> None:
    """Draw all curves, a line for each seed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, runs in curves.items():
        for run in runs:
            seconds, accuracy = zip(*run, strict=True)
            label = name if run is runs[0] else None
            axes.plot(seconds, accuracy, **STYLES[name], label=label, linewidth=1, markersize=3.5)
    axes.axhline(goal, color="0.6", linewidth=0.8, zorder=0)
    axes.set(xlabel="seconds of training", ylabel="test accuracy", xscale="log", ylim=(0.95, 0.99))
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="0.9")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)
    print(f"Drawn in {path.parent.name}/{path.name}")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--goal", type=float, default=0.975)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    options = parser.parse_args()
    data = "digits" if options.quick else "mnist"
    split, hidden = load(data), HIDDEN[data]
    kept = Kept("accuracy_over_time", ("method", "seed"), ("seconds", "accuracy"), options)
    fit_fastbcd(split, hidden, 0, 1)  # compiles the kernels
    curves: dict[str, list[Curve]] = {name: [] for name in options.methods}
    for seed in range(1 if options.quick else options.seeds):
        for name in options.methods:
            if "PyTorch" in name and find_spec("torch") is None:
                print(f"{name} is left out: torch is not installed.")
                curves.pop(name, None)
                continue
            run = METHODS[name]
            curves[name].append(kept.rows((name, seed), lambda: run(split, hidden, seed)))  # noqa: B023  # called at once
    kept.table(summary(curves, options.goal))
    if kept.path is None:
        return
    if find_spec("matplotlib") is None:
        print("No figure: matplotlib is not installed.")
        return
    draw(curves, options.goal, kept.path.with_suffix(".png"))


if __name__ == "__main__":
    main()
