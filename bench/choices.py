"""What people choose between: accuracy, bytes and latency: ``python -m bench.choices``.

Eight tables, split 75/25 with seeds 0, 1, .. as in :mod:`bench.tables`, each model with its own
defaults behind a ``StandardScaler``. Bytes are those of a file: ``save`` of fastbcd, and
``joblib.dump(model, path, compress=3)`` of scikit-learn's models. Latency is that of
``predict(row)`` of one row, the median of many calls, in a process of one thread.

The figures are means over the tables and the splits; bytes and latency are geometric means.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from bench.tables import QUICK_ROWS, WIDTHS, load, splits, timed_fit
from bench.timing import seconds_per_call
from fastbcd import BCDClassifier, compress

TABLES = (
    "australian", "german", "mammographic", "movement_libras", "optdigits", "phoneme", "segment",
    "spambase",
)  # fmt: skip
"""Two to fifteen classes, 360 to 5620 rows, 5 to 90 columns, nominal and numeric."""

CALLS = 200
"""Calls that a latency is measured by."""

RATIO = 20
"""How many times smaller the compressed networks are."""

MODELS: dict[str, Callable[[int], Any]] = {
    "LogisticRegression": lambda seed: LogisticRegression(max_iter=1000),
    "RandomForestClassifier": lambda seed: RandomForestClassifier(random_state=seed),
    "HistGradientBoostingClassifier": lambda seed: HistGradientBoostingClassifier(
        random_state=seed
    ),
    "MLPClassifier": lambda seed: MLPClassifier(WIDTHS, random_state=seed),
    "BCDClassifier": lambda seed: BCDClassifier(WIDTHS, random_state=seed),
}


def size_of(model: Any, folder: Path) -> int:
    """Return the bytes of the file of a model."""
    path = folder / "model"
    if hasattr(model, "save"):
        path = path.with_suffix(".fbcd")
        model.save(path)
    else:
        joblib.dump(model, path, compress=3)
    return path.stat().st_size


def figures(model: Any, x: np.ndarray, y: np.ndarray, folder: Path) -> list[float]:
    """Return accuracy, log loss, logarithms of bytes and of seconds a row."""
    row = np.ascontiguousarray(x[:1])
    p = np.clip(model.predict_proba(x).astype(np.float64), 1e-7, None)
    p /= p.sum(axis=1, keepdims=True)
    seconds = seconds_per_call(lambda: model.predict(row), CALLS)
    loss = log_loss(y, p, labels=model.classes_)
    return [model.score(x, y), loss, np.log(size_of(model, folder)), np.log(seconds)]


def run(args: argparse.Namespace) -> None:
    """Print the table."""
    found: dict[str, list[list[float]]] = {}
    tables = load("tables.npz")
    names = TABLES[:2] if args.quick else TABLES
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            x, y = tables[name]
            x, y = (x[:QUICK_ROWS], y[:QUICK_ROWS]) if args.quick else (x, y)
            for seed, (a, b, ya, yb) in splits(x, y, 1 if args.quick else args.splits, True):
                for label, make in MODELS.items():
                    model = make(seed)
                    fit = timed_fit(model, a, ya)
                    found.setdefault(label, []).append(
                        [*figures(model, b, yb, Path(place)), np.log(fit)]
                    )
                    if label in ("MLPClassifier", "BCDClassifier"):
                        small = compress(model, a, ya, ratio=RATIO, random_state=seed)
                        found.setdefault(f"compress({label}, ratio={RATIO})", []).append(
                            [*figures(small, b, yb, Path(place)), np.nan]
                        )
    print("| model | accuracy | log loss | bytes of the file | µs a row | s to fit |")
    print("|---|---|---|---|---|---|")
    for label, rows in found.items():
        accuracy, loss, size, latency, seconds = np.mean(rows, axis=0)
        fit = "" if np.isnan(seconds) else f"{np.exp(seconds):.2f}"
        print(
            f"| `{label}` | {accuracy:.4f} | {loss:.3f} | {np.exp(size):,.0f} "
            f"| {1e6 * np.exp(latency):.0f} | {fit} |"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.choices", description=__doc__)
    parser.add_argument("--splits", type=int, default=3, help="random splits of each table")
    parser.add_argument("--quick", action="store_true", help="a trial run on a few rows")
    args = parser.parse_args(argv)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        run(args)


if __name__ == "__main__":
    main()
