"""Streams, learnt from by ``partial_fit`` with the defaults: ``python -m bench.partial_fit``.

The training rows come in a new random order in each pass, 200 in a call. ``BCDClassifier`` and
``MLPClassifier`` (``BCDRegressor`` and ``MLPRegressor``) learn from the same calls and are judged
on the test rows after 1, 3 and 10 passes. Tables are split 75/25, stratified by class, with seeds
0, 1, .., and standardised by their training rows, as are the targets of the regressions.

A second table follows MNIST in calls of 100, 1000, 10,000 and 60,000 rows: the accuracy after one
pass, and the seconds of learning after which the test accuracy reaches 97.5 %, looked at twenty
times in a pass. Seconds are processor seconds of the calls alone, of one thread.

The data are mnist.npz, letter.npz, watch_har.npz, tables.npz and regressions.npz in the folder
that FASTBCD_DATA names.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from bench import data, tables
from fastbcd import BCDClassifier, BCDRegressor

CALL = 200
"""Rows of a call."""

PASSES = (1, 3, 10)
"""Passes after which the networks are judged."""

NAMES = ("phoneme", "spambase", "optdigits", "ring", "magic", "letter", "watch_har", "mnist")
REGRESSIONS = ("hours", "diamonds")
MANY = 60_000
"""Training rows above which a random part of them is used: ten passes take long."""

MNIST_CALLS = (100, 1000, 10_000, 60_000)
WANTED = 0.975
LOOKS = 20
"""How often in a pass over MNIST the accuracy is looked at."""

MOST_PASSES = 5
"""Passes after which a network that is not there yet is given up."""

QUICK_ROWS = 400

Parts = tuple[Any, Any, Any, Any]


def shown(x: Any, y: Any, size: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """Yield the calls of one pass, in a random order."""
    order = np.random.default_rng(seed).permutation(len(x))
    for lo in range(0, len(x), size):
        rows = order[lo : lo + size]
        yield x[rows], y[rows]


def learn(model: Any, calls: Iterator[tuple[Any, Any]], classes: Any) -> float:
    """Learn from the calls; return the processor seconds."""
    told = {} if classes is None else {"classes": classes}
    seconds = 0.0
    for x, y in calls:
        start = time.process_time()
        model.partial_fit(x, y, **told)
        seconds += time.process_time() - start
    return seconds


def judged(model: Any, x: Any, y: Any) -> list[float]:
    """Return accuracy and log loss, or R2 twice."""
    if not hasattr(model, "predict_proba"):
        return [r2_score(y, model.predict(x))] * 2
    p = np.clip(model.predict_proba(x).astype(np.float64), 1e-7, None)
    p /= p.sum(axis=1, keepdims=True)
    return [accuracy_score(y, model.predict(x)), log_loss(y, p, labels=model.classes_)]


def followed(model: Any, parts: Parts, seed: int, passes: Sequence[int]) -> np.ndarray:
    """Return (n_passes, 3): both figures of :func:`judged`, and the seconds until then."""
    x, x_test, y, y_test = parts
    classes = np.unique(y) if hasattr(model, "predict_proba") else None
    found, seconds = [], 0.0
    for before, after in pairwise((0, *passes)):
        for number in range(before, after):
            seconds += learn(model, shown(x, y, CALL, 1000 * seed + number), classes)
        found.append([*judged(model, x_test, y_test), seconds])
    return np.array(found)


def splits(name: str, n: int, quick: bool) -> Iterator[tuple[int, Parts]]:
    """Yield seeds with x_train, x_test, y_train, y_test."""
    if name in data.HIDDEN:
        for seed in range(n):
            x, y, x_test, y_test = data.load(name, seed)
            most = QUICK_ROWS if quick else len(x)
            yield seed, (x[:most], x_test, y[:most], y_test)
        return
    classes = name not in REGRESSIONS
    x, y = tables.load("tables.npz" if classes else "regressions.npz")[name]
    most = QUICK_ROWS if quick else MANY
    if len(x) > most:
        chosen = np.random.default_rng(0).permutation(len(x))[:most]
        x, y = x[chosen], y[chosen]
    for seed, parts in tables.splits(x, y, n, classes):
        yield seed, (parts[0], parts[1], parts[2], parts[3])


def both(name: str, seed: int) -> list[Any]:
    """Return our model and scikit-learn's, with the defaults of both."""
    hidden = data.HIDDEN.get(name, tables.WIDTHS)
    if name in REGRESSIONS:
        ours = BCDRegressor(hidden, random_state=seed)
        return [ours, MLPRegressor(hidden_layer_sizes=hidden, random_state=seed)]
    return [BCDClassifier(hidden, random_state=seed), MLPClassifier(hidden, random_state=seed)]


def seconds_to(model: Any, parts: Parts, size: int, seed: int) -> list[float]:
    """Return the accuracy after one pass, its seconds, and the seconds to ``WANTED``."""
    x, x_test, y, y_test = parts
    every, seconds, after_one, there = len(x) / LOOKS, 0.0, [0.0, 0.0], np.inf
    for number in range(MOST_PASSES):
        seen = looked = 0.0
        for call in shown(x, y, size, 1000 * seed + number):
            seconds += learn(model, iter([call]), np.unique(y))
            seen += len(call[0])
            if seen - looked >= every or seen == len(x):
                looked = seen
                right = float(np.mean(model.predict(x_test) == y_test))
                there = min(there, seconds if right >= WANTED else np.inf)
        if number == 0:
            after_one = [right, seconds]
        if np.isfinite(there):
            break
    return [*after_one, there]


def run(args: argparse.Namespace) -> None:
    """Print the tables."""
    passes = (1, 2) if args.quick else PASSES
    wanted = args.data.split(",") if args.data else [*NAMES, *REGRESSIONS]
    unknown = set(wanted) - {*NAMES, *REGRESSIONS}
    if unknown:
        raise SystemExit(f"--data: nothing is called {sorted(unknown)}.")
    for group, label in ((NAMES, "accuracy / log loss"), (REGRESSIONS, "R²")):
        names = [name for name in group if name in wanted]
        if not names:
            continue
        print(f"| {label} after passes: | " + " | ".join(_heads(passes)) + " |")
        print("|---" * (1 + 3 * len(passes)) + "|")
        figures = []
        for name in names:
            each = []
            for seed, parts in splits(name, 1 if args.quick else args.splits, args.quick):
                each.append([followed(model, parts, seed, passes) for model in both(name, seed)])
            mean = np.mean(each, axis=0)
            figures.append(mean)
            print(
                f"| {name} | " + " | ".join(_cells(mean, group is REGRESSIONS)) + " |", flush=True
            )
        print(f"\n{summary(names, np.array(figures), passes, group is REGRESSIONS)}\n", flush=True)
    if "mnist" in wanted:
        run_mnist(args)


def run_mnist(args: argparse.Namespace) -> None:
    """Print the table of MNIST."""
    print("| rows of a call | accuracy after a pass | s | s to 97.5 % | MLPClassifier | s | s |")
    print("|---|---|---|---|---|---|---|")
    for size in MNIST_CALLS:
        each = []
        for seed, parts in splits("mnist", 1 if args.quick else args.splits, args.quick):
            each.append([seconds_to(model, parts, size, seed) for model in both("mnist", seed)])
        (right, s, to), (their_right, their_s, their_to) = np.mean(each, axis=0)
        print(
            f"| {size} | {right:.4f} | {s:.1f} | {to:.1f} "
            f"| {their_right:.4f} | {their_s:.1f} | {their_to:.1f} |",
            flush=True,
        )


def _heads(passes: Sequence[int]) -> list[str]:
    return [head for n in passes for head in (f"{n}: fastbcd", "MLP", "s / s of MLP")]


def _cells(mean: np.ndarray, regression: bool) -> list[str]:
    cells = []
    for ours, theirs in zip(mean[0], mean[1], strict=True):
        for figure in (ours, theirs):
            first, second = figure[:2]
            cells.append(f"{first:.4f}" if regression else f"{first:.4f} / {second:.4f}")
        cells.append(f"{ours[2] / theirs[2]:.2f}")
    return cells


def summary(
    names: Sequence[str], figures: np.ndarray, passes: Sequence[int], regression: bool
) -> str:
    """Summarise (n_tables, 2, n_passes, 3): the figures of ours and of scikit-learn's."""
    lines = []
    for place, n in enumerate(passes):
        ours, theirs = figures[:, 0, place], figures[:, 1, place]
        gain = ours[:, 0] - theirs[:, 0]
        least = tables.BEHIND_R2 if regression else tables.BEHIND[0]
        behind = [f"{name} {-g:.4f}" for name, g in zip(names, gain, strict=True) if g < -least]
        text = f"after {n}: mean {ours[:, 0].mean():.4f}, scikit-learn {theirs[:, 0].mean():.4f}"
        if not regression:
            ratio = ours[:, 1] / theirs[:, 1]
            text += f"; log loss {np.exp(np.log(ratio).mean()):.3f} of theirs, "
            text += f"lower on {int((ratio < 1).sum())} of {len(names)}"
        text += f"; seconds {np.median(ours[:, 2] / theirs[:, 2]):.2f} of theirs (median)"
        lines.append(f"{text}; behind by more than {least}: {', '.join(behind) or 'none'}")
    return "\n".join(lines)


def warm_up() -> None:
    """Learn once, so that the first table does not pay for imports and compilation."""
    x = np.random.default_rng(0).standard_normal((2000, 4))
    for dtype in (np.float32, np.float64):
        for kind in (BCDClassifier, MLPClassifier):
            learn(kind((4,)), shown(x.astype(dtype), x[:, 0] > 0, CALL, 0), [False, True])
        learn(BCDRegressor((4,)), shown(x.astype(dtype), x[:, 0], CALL, 0), None)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.partial_fit", description=__doc__)
    parser.add_argument("--splits", type=int, default=3, help="random splits, or seeds, of each")
    parser.add_argument("--data", default="", help="names, separated by commas; all by default")
    parser.add_argument("--quick", action="store_true", help="a trial run on a few rows")
    args = parser.parse_args(argv)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warm_up()
        run(args)


if __name__ == "__main__":
    main()
