"""The data of the experiments, or what stands for them where they cannot be had.

The archives are looked for by :mod:`fastbcd.datasets` in the folder that FASTBCD_DATA names, and
fetched only with ``--download``. Rows are float32 and standardised by the training rows, except
for images, which stay between 0 and 1.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from fastbcd.datasets import fetch_mnist, fetch_solar_flares, fetch_uci_har, fetch_watch_har

Array = NDArray[Any]

N_SMALL = (6000, 999)
"""Training and test rows of the published MNIST experiment."""

TEST_PEOPLE = (8, 9, 10)
"""Subjects of watch_har that are kept for the test."""

LETTER = "H"
"""The letter that stands for a flare: 1 row in 27, and easily taken for others."""


class Split(NamedTuple):
    """Training and test rows; labels count from 0."""

    name: str
    x: Array
    y: Array
    x_test: Array
    y_test: Array

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.y.max()) + 1


def add_arguments(parser: ArgumentParser, choices: tuple[str, ...]) -> None:
    """Add ``--data``, whose default is the original where it can be had, and ``--download``."""
    parser.add_argument("--data", choices=("auto", *choices), default="auto")
    parser.add_argument("--download", action="store_true", help="fetch archives that are missing")


def human_activity(options: Namespace) -> Split:
    """UCI-HAR in its published split; else the watch's exercises, split by people."""
    if options.quick:
        return digits()
    if options.data != "watch_har":
        try:
            har = fetch_uci_har(download_if_missing=options.download, verbose=1)
            return _scaled("UCI-HAR", har.X_train, har.y_train, har.X_test, har.y_test)
        except OSError as error:
            if options.data == "uci_har":
                raise SystemExit(str(error)) from None
            print("UCI-HAR is not here; watch_har, another data set, stands for it.", flush=True)
    watch = fetch_watch_har()
    test = np.isin(watch.subject, TEST_PEOPLE)
    x, y = watch.data, np.unique(watch.target, return_inverse=True)[1]
    return _scaled("watch_har (not UCI-HAR)", x[~test], y[~test], x[test], y[test])


def flares(options: Namespace, seed: int) -> Split:
    """Balanced by undersampling for training, as they come for the test: flares of class M.

    Where the tables cannot be had, one letter against the rest: the first 16,000 rows of UCI
    letter for training, the rest for the test.
    """
    rng = np.random.default_rng(seed)
    if options.quick:
        x, y, x_test, y_test = digits()[1:]
        return _balanced("digits, 8 or not", x, y == 8, x_test, y_test == 8, rng)
    if options.data != "letter":
        try:
            sun = fetch_solar_flares("M", download_if_missing=options.download, verbose=1)
            x, y, x_test, y_test = sun.X_train, sun.y_train, sun.X_test, sun.y_test
            return _balanced("solar flares, M", x, y == 1, x_test, y_test == 1, rng)
        except OSError as error:
            if options.data == "flares":
                raise SystemExit(str(error)) from None
            print("The flares are not here; one letter against the rest stands for them.")
    path = Path(os.environ.get("FASTBCD_DATA", "data")) / "letter.npz"
    if not path.exists():
        raise SystemExit(f"{path} is missing. Set FASTBCD_DATA to the folder that holds it.")
    with np.load(path, allow_pickle=False) as file:
        x, is_letter = file["X"].astype(float), file["y"] == LETTER
    return _balanced(
        f"letter {LETTER} or not (no flares)",
        x[:16_000], is_letter[:16_000], x[16_000:], is_letter[16_000:], rng,
    )  # fmt: skip


def images(options: Namespace, seed: int, full: bool = False) -> Split:
    """MNIST: all of it, or a random tenth of each part, as large as the published ones."""
    if options.quick:
        return digits(scale=False)
    mnist = fetch_mnist(download_if_missing=options.download, verbose=1)
    if full:
        return Split("MNIST", mnist.X_train, mnist.y_train, mnist.X_test, mnist.y_test)
    rng = np.random.RandomState(10 + seed)  # 10 is the seed of the released code
    train, test = (
        rng.choice(len(y), size, replace=False)
        for y, size in zip((mnist.y_train, mnist.y_test), N_SMALL, strict=True)
    )
    return Split(
        "MNIST 6000/999",
        mnist.X_train[train], mnist.y_train[train], mnist.X_test[test], mnist.y_test[test],
    )  # fmt: skip


def digits(scale: bool = True) -> Split:
    """Scikit-learn's digits, 200 rows for training and 100 for the test: for trial runs."""
    x, y = load_digits(return_X_y=True)
    if scale:
        return _scaled("digits", x[:200], y[:200], x[200:300], y[200:300])
    x = (x / 16).astype(np.float32)
    return Split("digits", x[:200], y[:200], x[200:300], y[200:300])


def held_out(split: Split, share: float = 0.2, seed: int = 0) -> Split:
    """Split the training rows again: for choices that may not look at the test rows."""
    order = np.random.default_rng(seed).permutation(len(split.y))
    n_kept = round((1 - share) * len(order))
    kept, left = order[:n_kept], order[n_kept:]
    return Split(f"{split.name}, held out", split.x[kept], split.y[kept], split.x[left],
                 split.y[left])  # fmt: skip


def _balanced(
    name: str, x: Array, positive: Array, x_test: Array, y_test: Array, rng: np.random.Generator
) -> Split:
    """Keep all positive training rows and as many of the others."""
    yes, no = np.flatnonzero(positive), np.flatnonzero(~positive)
    rows = rng.permutation(np.concatenate([yes, rng.choice(no, len(yes), replace=False)]))
    return _scaled(name, x[rows], positive[rows].astype(int), x_test, y_test.astype(int))


def _scaled(name: str, x: Array, y: Array, x_test: Array, y_test: Array) -> Split:
    scaler = StandardScaler().fit(x)
    return Split(
        name,
        scaler.transform(x).astype(np.float32), y, scaler.transform(x_test).astype(np.float32),
        y_test,
    )  # fmt: skip
