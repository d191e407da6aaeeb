"""Data sets and fits that the benchmarks of the mini-batch solver share.

The files mnist.npz, letter.npz, dna.npz and watch_har.npz are looked for in the folder that the
environment variable FASTBCD_DATA names. MNIST: arrays X_train, y_train, X_test, y_test as they
were published. letter and dna: X, y (UCI; also in the R package mlbench). watch_har: the
recordings of the Python package seglearn (signals, lengths, y, subject).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_diabetes, load_digits, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from fastbcd import BCDClassifier, BCDRegressor

HIDDEN = {
    "mnist": (300, 100), "letter": (100, 100), "dna": (100,), "watch_har": (200, 100),
    "digits": (64,), "diabetes": (100,), "friedman": (100,),
}  # fmt: skip


class Split(NamedTuple):
    """Training and test data, float32; labels are numbers from 0, targets floats."""

    x: Any
    y: Any
    x_test: Any
    y_test: Any


def load(name: str, seed: int = 0) -> Split:
    """Return a data set; ``seed`` picks the split where none is customary."""
    if name == "mnist":
        file = file_of(name)
        x, x_test = (file[k].reshape(len(file[k]), -1) / np.float32(255) for k in _X)
        return Split(x, file["y_train"].astype(int), x_test, file["y_test"].astype(int))
    if name == "friedman":
        x, y = make_friedman1(120_000, noise=1.0, random_state=0)
        return _scaled(x[:100_000], y[:100_000], x[100_000:], y[100_000:])
    if name == "digits":
        x, y = load_digits(return_X_y=True)
        parts = train_test_split(x / 16, y, test_size=0.3, random_state=seed, stratify=y)
        return Split(parts[0].astype("f4"), parts[2], parts[1].astype("f4"), parts[3])
    if name == "diabetes":
        parts = train_test_split(*load_diabetes(return_X_y=True), test_size=0.3, random_state=seed)
        return _scaled(parts[0], parts[2], parts[1], parts[3])
    if name == "watch_har":
        x, y, subject = _windows(file_of(name))
        test = _tested(subject, seed)
        return _scaled(x[~test], y[~test], x[test], y[test])
    file = file_of(name)
    x, y = file["X"].astype(float), np.unique(file["y"], return_inverse=True)[1]
    if name == "letter":
        return _scaled(x[:16_000], y[:16_000], x[16_000:], y[16_000:])
    parts = train_test_split(x, y, test_size=1186, random_state=seed, stratify=y)
    return _scaled(parts[0], parts[2], parts[1], parts[3])


def sources(name: str, seed: int = 0) -> Any:
    """Return where each training row comes from: rows of one number have to be held out together.

    The people of watch_har; elsewhere the place of the row, which does for MNIST as well if whole
    stretches are held out: its writers follow each other.
    """
    if name == "watch_har":
        subject = _windows(file_of(name))[2]
        return subject[~_tested(subject, seed)]
    return np.arange(len(load(name, seed).y))


def _tested(subject: Any, seed: int) -> Any:
    """Tell which windows are of the three people of the test."""
    return np.isin(subject, np.random.default_rng(seed).permutation(np.unique(subject))[:3])


_X = ("X_train", "X_test")


def file_of(name: str) -> Any:
    """Return the arrays of ``name``.npz in the folder that FASTBCD_DATA names."""
    path = Path(os.environ.get("FASTBCD_DATA", "data")) / f"{name}.npz"
    if not path.exists():
        raise SystemExit(f"{path} is missing. Set FASTBCD_DATA to the folder that holds it.")
    return np.load(path, allow_pickle=False)


def _scaled(x: Any, y: Any, x_test: Any, y_test: Any) -> Split:
    scaler = StandardScaler().fit(x)
    return Split(scaler.transform(x).astype("f4"), y, scaler.transform(x_test).astype("f4"), y_test)


def _windows(file: Any, length: int = 128, hop: int = 64) -> tuple[Any, Any, Any]:
    """Return features of each window of 2.56 s: moments, quantiles, correlations, spectrum."""
    features, labels, subjects = [], [], []
    first = 0
    for size, label, subject in zip(file["lengths"], file["y"], file["subject"], strict=True):
        signal = file["signals"][first : first + size]
        first += size
        for lo in range(0, size - length + 1, hop):
            w = signal[lo : lo + length]
            c = w - w.mean(axis=0)
            deviation = c.std(axis=0) + 1e-9
            correlation = np.nan_to_num(np.corrcoef(c.T)[np.triu_indices(6, 1)])
            spectrum = np.abs(np.fft.rfft(c, axis=0))[1:17]
            features.append(np.concatenate([
                w.mean(axis=0), deviation, w.min(axis=0), w.max(axis=0),
                np.percentile(w, [25, 75], axis=0).ravel(),
                np.abs(np.diff(w, axis=0)).mean(axis=0),
                (c**3).mean(axis=0) / deviation**3, correlation, np.log1p(spectrum).ravel(),
            ]))  # fmt: skip
            labels.append(label)
            subjects.append(subject)
    return np.array(features), np.unique(labels, return_inverse=True)[1], np.array(subjects)


def score(outputs: Any, y: Any) -> float:
    """Return the accuracy of class scores, or R2 of predictions."""
    if np.issubdtype(y.dtype, np.integer):
        return float(np.mean(outputs.argmax(axis=1) == y))
    return float(1 - np.mean((outputs[:, 0] - y) ** 2) / y.var())


class AfterEpoch:
    """A callback of scikit-learn that is handed ``network_`` after every epoch of a fit."""

    def __init__(self, call: Callable[[Any], None]) -> None:
        self._call = call

    def setup(self, estimator: Any, context: Any) -> None:
        """Do nothing before the fit."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing after it."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing before an epoch."""

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any = None, fitted_estimator: Any = None
    ) -> bool:
        """Hand over the network; never stop the fit."""
        if context.parent is not None:  # an epoch, not the whole fit
            self._call(fitted_estimator.network_)
        return False


def fit_fastbcd(
    split: Split,
    hidden: tuple[int, ...],
    seed: int = 0,
    max_iter: int = 1000,
    after_epoch: Callable[[Any], None] | None = None,
    **params: Any,
) -> BCDClassifier | BCDRegressor:
    """Fit the estimator with its defaults, as a user does.

    ``after_epoch`` is handed the network after every epoch; that needs scikit-learn 1.9.
    """
    classes = np.issubdtype(split.y.dtype, np.integer)
    kind = BCDClassifier if classes else BCDRegressor
    model = kind(hidden, max_iter=max_iter, random_state=seed, **params)
    if after_epoch is not None:
        model.set_callbacks(AfterEpoch(after_epoch))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(split.x, split.y)


def fit_sklearn(split: Split, hidden: tuple[int, ...], seed: int = 0) -> tuple[float, float, int]:
    """Train scikit-learn's network with its defaults; return score, seconds and epochs."""
    classes = np.issubdtype(split.y.dtype, np.integer)
    kind = MLPClassifier if classes else MLPRegressor
    model = kind(hidden_layer_sizes=hidden, random_state=seed)
    start = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(split.x, split.y)
    return model.score(split.x_test, split.y_test), perf_counter() - start, model.n_iter_


def fit_torch(split: Split, hidden: tuple[int, ...], seed: int, epochs: int) -> tuple[float, float]:
    """Train by PyTorch's Adam (rate 1e-3, batches of 256); return score and seconds."""
    from bench.peers.adam import fit_adam

    classes = np.issubdtype(split.y.dtype, np.integer)
    center, unit = (0.0, 1.0) if classes else (split.y.mean(), split.y.std())
    y = split.y if classes else (split.y - center) / unit
    task = "classification" if classes else "regression"
    net = fit_adam(split.x, y, hidden, epochs, seed, task=task)
    if classes:
        return net.score(split.x_test, split.y_test), sum(net.epoch_seconds)
    return net.score(split.x_test, (split.y_test - center) / unit), sum(net.epoch_seconds)
