"""The main job on built-in data: ``fastbcd demo``."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from fastbcd.estimators import BCDClassifier
from fastbcd.estimators.compress import compress
from fastbcd.schemes import Prune, Quantize, TensorTrain
from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.utils.types import Float

HIDDEN = (256, 64)
MLP_ITERATIONS = 400
RATIO = 20

COLUMNS = (
    ("network", "<28"),
    ("test accuracy", ">13"),
    ("weights left", ">12"),
    ("distinct values", ">15"),
    ("file bytes", ">10"),
    ("smaller", ">7"),
    ("fit s", ">5"),
    ("predict ms", ">10"),
)


def run_demo(seed: int = 0, quiet: bool = False) -> str:
    """Train and compress networks on scikit-learn's digits; return the table that compares them.

    Parameters
    ----------
    seed : int, default=0
        Seed of the split and of all weights.
    quiet : bool, default=False
        Do not print progress to stderr.

    Returns
    -------
    str
        One line per network. Bytes are those of the saved file, for scikit-learn's network those
        of its float32 arrays; seconds include no compilation; milliseconds are for the whole test
        set, the median of 21 calls.
    """
    features, labels = load_digits(return_X_y=True)
    split = train_test_split(
        features.astype(np.float32) / 16, labels, test_size=0.3, random_state=seed, stratify=labels
    )
    x_train, x_test, y_train, y_test = split

    def say(text: str) -> None:
        if not quiet:
            sys.stderr.write(f"{text}\n")

    say(f"digits: {len(x_train)} training and {len(x_test)} test images of 8 x 8 pixels")
    say(f"network: 64-{'-'.join(map(str, HIDDEN))}-10, float32\n")
    mlp = MLPClassifier(HIDDEN, max_iter=MLP_ITERATIONS, random_state=seed)
    small = Prune(sparsity=0.95) + Quantize(bits=4)
    trained: dict[str, SchemeChoice] = {
        "fastbcd, dense": None,
        "fastbcd, Prune(sparsity=0.95)": Prune(sparsity=0.95),
        "fastbcd, TensorTrain(rank=8)": TensorTrain(rank=8),
        "fastbcd, pruned, 4-bit codes": {"output": Quantize(bits=8), 0: small, 1: small},
    }
    contestants: dict[str, Callable[[], Any]] = {
        "scikit-learn MLPClassifier": lambda: mlp.fit(x_train, y_train)
    }
    say("compiling the kernels (once; they are cached) ...")
    for name, scheme in trained.items():
        model = BCDClassifier(HIDDEN, scheme=scheme, random_state=seed, verbose=int(not quiet))
        _compile(model, x_train, y_train)
        contestants[name] = partial(model.fit, x_train, y_train)
    imitate = partial(
        compress, mlp, x_train, y_train, ratio=RATIO, random_state=seed, verbose=int(not quiet)
    )
    contestants[f"compress(that MLP, ratio={RATIO})"] = imitate
    dense_bytes = None
    rows: list[tuple[str, ...]] = []
    for name, make in contestants.items():
        say(f"\n{name}")
        start = time.perf_counter()
        model = make()
        seconds = time.perf_counter() - start
        n_weights, n_values, n_bytes = _size(model)
        dense_bytes = dense_bytes or n_bytes
        rows.append(
            (
                name,
                f"{model.score(x_test, y_test):.4f}",
                f"{n_weights:,}",
                f"{n_values:,}",
                str(n_bytes),
                f"{dense_bytes / n_bytes:.1f}x",
                f"{seconds:.1f}",
                f"{1000 * _predict_seconds(model, x_test):.1f}",
            )
        )
    say("")
    return _table(rows)


def _compile(model: BCDClassifier, x: Float, y: Any) -> None:
    """Fit for two sweeps, so that the times that follow contain no compilation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clone(model).set_params(max_iter=2).fit(x, y)


def _size(model: Any) -> tuple[int, int, int]:
    """Return the weights and intercepts of a network, their distinct values, and bytes of a file.

    Where weights are quantised, the values are those of the codebooks.
    """
    if not isinstance(model, BCDClassifier):
        arrays = [*model.coefs_, *model.intercepts_]
        count = sum(a.size for a in arrays)
        return count, count, sum(a.nbytes for a in arrays)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.safetensors")
        model.save(path)
        network = model.network_
        stored = sum(layer.weight.n_stored + layer.intercept.size for layer in network.layers)
        return stored, network.n_params, os.path.getsize(path)


def _predict_seconds(model: Any, x: Float, repeats: int = 21) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.predict(x)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    widths = [max(w, len(name)) for w, (name, _) in zip(widths, COLUMNS, strict=True)]
    lines = [[name for name, _ in COLUMNS], ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if spec.startswith("<") else cell.rjust(width)
            for cell, width, (_, spec) in zip(line, widths, COLUMNS, strict=True)
        )
        for line in lines
    )
