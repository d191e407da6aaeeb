"""For developers: what the numbers of the batch solver matter: ``python -m bench.choose_batch``.

Of each table of ``tables.npz`` the training rows of the first split of :mod:`bench.tables` are
split again, 75/25, once for each seed: no row that a benchmark judges by has a part in the choice.
Each variant changes some fields of :class:`fastbcd.solvers.batch.settings.BatchSettings`; the first
is what fits use. Printed are the mean accuracy, the geometric mean over the tables of the log loss
over that of scikit-learn's ``MLPClassifier`` (lower is better), the same over that of the first
variant with the standard error of its logarithm, on how many tables the loss is lower than
MLPClassifier's, and the median of the processor time over MLPClassifier's.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bench.tables import QUICK_ROWS, WIDTHS, load, splits
from fastbcd import BCDClassifier
from fastbcd.solvers.batch import settings
from fastbcd.solvers.batch.settings import DEFAULTS

VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "one block": {"n_blocks": 1},
    "two blocks": {"n_blocks": 2},
    "no encoding": {"most_features": 0},
    "4 bins": {"many_bins": 4},
    "16 bins": {"many_bins": 16},
    "damping 0.1": {"damping": 0.1},
    "damping 1.5": {"damping": 1.5},
    "smoothing 0": {"smoothing": 0.0},
    "smoothing 0.1": {"smoothing": 0.1},
    "length 0.054": {"length": 0.054},
    "length 0.08": {"length": 0.08},
    "weight_decay 0": {"weight_decay": 0.0},
    "weight_decay 0.001": {"weight_decay": 0.001},
    "patience 1": {"patience": 1},
    "patience 4": {"patience": 4},
    "ahead 0": {"leave_ahead": 0.0},
    "ahead 4": {"leave_ahead": 4.0},
    "leave after 8": {"leave_after": 8, "leave_ahead": 0.0},
    "all folds": {"halve_folds_at": ()},
    "halved at 11": {"halve_folds_at": (11,)},
    "2 folds": {"n_folds": 2},
    "4 folds": {"n_folds": 4},
    "starts of full size": {"small_scale": 1.0},
}
"""What is changed, by name."""


def judged(model: Any, parts: Sequence[np.ndarray]) -> list[float]:
    """Fit; return accuracy, and the logarithms of the log loss and of the processor time."""
    a, b, ya, yb = parts
    start = time.process_time()
    model.fit(a, ya)
    seconds = time.process_time() - start
    p = np.clip(model.predict_proba(b).astype(np.float64), 1e-7, None)
    p /= p.sum(axis=1, keepdims=True)
    loss = log_loss(yb, p, labels=model.classes_)
    return [model.score(b, yb), np.log(loss), np.log(seconds)]


def inner(x: np.ndarray, y: np.ndarray, n_seeds: int) -> list[list[np.ndarray]]:
    """Return the training rows of the first split, split and standardised again for each seed."""
    _, (a, _, ya, _) = next(splits(x, y, 1, by_class=True))
    found = []
    for seed in range(n_seeds):
        train, test, y_train, y_test = train_test_split(
            a, ya, test_size=0.25, random_state=seed, stratify=ya
        )
        scaler = StandardScaler().fit(train)
        found.append([scaler.transform(train), scaler.transform(test), y_train, y_test])
    return found


def run(args: argparse.Namespace) -> None:
    """Print the table."""
    tables = load("tables.npz")
    if args.quick:
        tables = {"heart": tuple(part[:QUICK_ROWS] for part in tables["heart"])}
    data = {name: inner(x, y, 1 if args.quick else args.seeds) for name, (x, y) in tables.items()}

    def means(make: Any) -> np.ndarray:
        return np.array(
            [
                np.mean([judged(make(seed), parts) for seed, parts in enumerate(each)], axis=0)
                for each in data.values()
            ]
        )

    theirs = means(lambda seed: MLPClassifier(WIDTHS, random_state=seed))
    print("| variant | accuracy | log loss | over the first | lower on | s |")
    print("|---|---|---|---|---|---|")
    print(f"| MLPClassifier | {theirs[:, 0].mean():.4f} | 1 | | | 1 |", flush=True)
    first = None
    names = args.variants.split(",") if args.variants else list(VARIANTS)
    for name in names[:2] if args.quick else names:
        with patch.object(settings, "DEFAULTS", replace(DEFAULTS, **VARIANTS[name])):
            ours = means(lambda seed: BCDClassifier(WIDTHS, solver="batch", random_state=seed))
        gain = ours - theirs
        first = gain if first is None else first
        change = (gain - first)[:, 1]
        error = change.std() / np.sqrt(len(gain))
        print(
            f"| {name} | {ours[:, 0].mean():.4f} | {np.exp(gain[:, 1].mean()):.3f} "
            f"| {np.exp(change.mean()):.3f} ± {error:.3f} "
            f"| {int((gain[:, 1] < 0).sum())} | {np.exp(np.median(gain[:, 2])):.2f} |",
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.choose_batch", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="random splits of each table")
    parser.add_argument("--variants", default="", help="names, separated by commas; all by default")
    parser.add_argument("--quick", action="store_true", help="a trial run on a few rows")
    args = parser.parse_args(argv)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        run(args)


if __name__ == "__main__":
    main()
