"""The main job on built-in data: ``fastbcd demo``."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from fastbcd.estimators import BCDClassifier
from fastbcd.estimators.compress import compress
from fastbcd.parallel.blas_threads import one_blas_thread
from fastbcd.schemes import Prune, Quantize, TensorTrain
from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.utils.types import Float
from fastbcd.utils.warmup import compiling_meanwhile

HIDDEN = (256, 64)
MLP_ITERATIONS = 400
RATIO = 20

KERNELS = (
    "minibatch_step",
    "residual",
    "loss_descent",
    "spd_solve",
    "minibatch_weights",
    "sparse_product",
    "codebook_fit",
    "masked_refit",
    "codebook_metric",
    "sparse_batch",
)
"""Modules of kernels that the networks need, in this order, after the first two rows."""

COLUMNS = (
    ("network", "<28"),
    ("test accuracy", ">21"),
    ("weights left", ">12"),
    ("distinct values", ">15"),
    ("file bytes", ">10"),
    ("smaller", ">7"),
    ("fit s", ">5"),
    ("predict ms", ">10"),
)


class Measured(NamedTuple):
    """What is measured of one network.

    Parameters
    ----------
    accuracy : float
        On the test rows.
    n_weights, n_values : int
        Weights and intercepts that are left, and their distinct values.
    n_bytes : int
        Of the saved file; for scikit-learn, of the arrays as float32.
    seconds : float
        Of the fit.
    milliseconds : float
        To predict all test rows.
    """

    accuracy: float
    n_weights: int
    n_values: int
    n_bytes: int
    seconds: float
    milliseconds: float


def run_demo(seed: int = 0, quiet: bool = False, n_seeds: int = 3) -> str:
    """Train and compress networks on scikit-learn's digits; return the table that compares them.

    Everything runs on one BLAS thread: the matrices are too small for more, and the times of all
    networks are then comparable.

    Parameters
    ----------
    seed : int, default=0
        The first seed. A seed decides the split into training and test rows and all weights.
    quiet : bool, default=False
        Do not print progress to stderr.
    n_seeds : int, default=3
        Number of seeds: ``seed``, ``seed + 1``, ...

    Returns
    -------
    str
        One line per network: the mean accuracy with its range over the seeds, mean sizes, and
        median times. Bytes are those of the saved file; for scikit-learn's network, of its arrays
        as float32. The median over three seeds excludes the compilation, which only the first fit
        waits for. Milliseconds are for the whole test set.
    """
    # The networks use one core; another one compiles the kernels that the later rows need.
    with one_blas_thread(), compiling_meanwhile(KERNELS, ("float32",)):
        return _run_demo(range(seed, seed + n_seeds), quiet)


def _run_demo(seeds: Sequence[int], quiet: bool) -> str:
    def say(text: str, end: str = "\n") -> None:
        if not quiet:
            sys.stderr.write(text + end)
            sys.stderr.flush()

    features, labels = load_digits(return_X_y=True)
    features = features.astype(np.float32) / 16
    splits = {
        seed: train_test_split(features, labels, test_size=0.3, random_state=seed, stratify=labels)
        for seed in seeds
    }
    n_train, n_test = (len(part) for part in splits[seeds[0]][:2])
    say(f"digits: {n_train} training and {n_test} test images of 8 x 8 pixels")
    say(f"network: 64-{'-'.join(map(str, HIDDEN))}-10, float32, one thread; {len(seeds)} seeds")
    small = Prune(sparsity=0.95) + Quantize(bits=4)
    schemes: dict[str, SchemeChoice] = {
        "fastbcd, dense": None,
        "fastbcd, Prune(sparsity=0.95)": Prune(sparsity=0.95),
        "fastbcd, TensorTrain(rank=8)": TensorTrain(rank=8),
        "fastbcd, pruned, 4-bit": {"output": Quantize(bits=8), 0: small, 1: small},
    }
    networks: dict[int, MLPClassifier] = {
        seed: MLPClassifier(HIDDEN, max_iter=MLP_ITERATIONS, random_state=seed) for seed in seeds
    }

    def fit(scheme: SchemeChoice, seed: int) -> BCDClassifier:
        x, _, y, _ = splits[seed]
        return BCDClassifier(HIDDEN, scheme=scheme, random_state=seed).fit(x, y)

    def imitate(seed: int) -> Any:
        x, _, y, _ = splits[seed]
        return compress(networks[seed], x, y, ratio=RATIO, random_state=seed)

    contestants: dict[str, Callable[[int], Any]] = {
        "scikit-learn MLPClassifier": lambda seed: networks[seed].fit(*splits[seed][::2]),
        **{name: partial(fit, scheme) for name, scheme in schemes.items()},
        f"compress(that MLP, ratio={RATIO})": imitate,
    }
    rows: list[tuple[str, ...]] = []
    dense_bytes = None
    for name, make in contestants.items():
        say(f"\n{name}:", end="")
        found = []
        for seed in seeds:
            start = time.perf_counter()
            model = make(seed)
            seconds = time.perf_counter() - start
            _, x_test, _, y_test = splits[seed]
            milliseconds = 1000 * _predict_seconds(model, x_test)
            accuracy = model.score(x_test, y_test)
            found.append(Measured(accuracy, *_size(model), seconds, milliseconds))
            say(f"  {accuracy:.4f} ({seconds:.1f} s)", end="")
        dense_bytes = dense_bytes or found[0].n_bytes
        rows.append(_row(name, found, dense_bytes))
    say("\n")
    return _table(rows)


def _row(name: str, found: list[Measured], dense_bytes: int) -> tuple[str, ...]:
    """Return the cells of one network, over the seeds."""
    accuracy = [one.accuracy for one in found]
    n_bytes = np.mean([one.n_bytes for one in found])
    return (
        name,
        f"{np.mean(accuracy):.3f} ({min(accuracy):.3f} - {max(accuracy):.3f})",
        f"{np.mean([one.n_weights for one in found]):,.0f}",
        f"{np.mean([one.n_values for one in found]):,.0f}",
        f"{n_bytes:,.0f}",
        f"{dense_bytes / n_bytes:.1f}x",
        f"{np.median([one.seconds for one in found]):.1f}",
        f"{np.median([one.milliseconds for one in found]):.1f}",
    )


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
