"""What a fresh process pays: the import, the first fit, and the compilation of every kernel.

``python -m bench.startup`` prints the three. Each is measured in processes of its own that share
nothing with this one but the machine; compiled code goes to a temporary ``NUMBA_CACHE_DIR``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

IMPORT = """
import json, sys, time
start = time.perf_counter()
import fastbcd
seconds = time.perf_counter() - start
heavy = [name for name in ("sklearn", "scipy", "numba") if name in sys.modules]
print(json.dumps({"seconds": seconds, "heavy": heavy}))
"""

FIRST_FIT = """
import json, time, warnings
start = time.perf_counter()
from fastbcd import BCDClassifier
from fastbcd.schemes import Prune
imported = time.perf_counter() - start
from sklearn.datasets import load_digits
X, y = load_digits(return_X_y=True)
warnings.simplefilter("ignore")
taken = []
for _ in range(4):
    start = time.perf_counter()
    clf = BCDClassifier((64,), scheme=Prune(sparsity=0.8), max_iter=5, random_state=0)
    clf.fit(X, y).predict(X)
    taken.append(time.perf_counter() - start)
steady = sorted(taken[1:])[1]
print(json.dumps({"import": imported, "first": taken[0], "steady": steady}))
"""

ALL_KERNELS = """
import importlib, json, pkgutil, time, warnings
from itertools import product
import numpy as np
from numba.core.registry import CPUDispatcher
import fastbcd_kernels
from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.activations import ACTIVATIONS
from fastbcd.losses import LOSSES
from fastbcd.schemes import LowRank, Prune, TensorTrain
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
PLAIN = {"scheme": None, "activation": "relu", "solver": "full", "loss": "auto"}
OTHERS = [("activation", name) for name in ACTIVATIONS]
OTHERS += [("scheme", one) for one in (Prune(sparsity=0.5), LowRank(rank=2), TensorTrain(rank=2))]
OTHERS += [("solver", name) for name in ("full", "minibatch")]
OTHERS += [("loss", name) for name in LOSSES]

def fit_everything():
    for dtype, (name, value) in product((np.float32, np.float64), OTHERS):
        X = rng.standard_normal((30, 6)).astype(dtype)
        options = {**PLAIN, name: value}
        for kind, y in ((BCDClassifier, (X[:, 0] > 0).astype(int)), (BCDRegressor, X[:, 0])):
            estimator = kind((8, 8), max_iter=3, **options)
            try:
                estimator.fit(X, y).predict(X)
            except ValueError:
                continue  # a choice that this estimator does not have

taken = []
for _ in range(2):
    start = time.perf_counter()
    fit_everything()
    taken.append(time.perf_counter() - start)
kernels, missed = 0, []
for module in pkgutil.iter_modules(fastbcd_kernels.__path__):
    members = vars(importlib.import_module(f"fastbcd_kernels.{module.name}"))
    for name, member in members.items():
        if isinstance(member, CPUDispatcher):
            kernels += 1
            if not member.signatures:
                missed.append(f"{module.name}.{name}")
print(json.dumps({"seconds": taken[0] - taken[1], "kernels": kernels, "missed": missed}))
"""


def fresh_process(code: str, cache: Path) -> dict[str, Any]:
    """Run ``code`` in a new process, away from the checkout, and return what it printed."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    for name in ("NUMBA_DISABLE_JIT", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cache,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The measured process failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def import_time(rounds: int) -> float:
    """Return the median seconds of ``import fastbcd``, but for the first, from a cold disk."""
    with tempfile.TemporaryDirectory() as cache:
        runs = [fresh_process(IMPORT, Path(cache)) for _ in range(rounds + 1)][1:]
    heavy = runs[0]["heavy"]
    if heavy:
        raise RuntimeError(f"import fastbcd loads {', '.join(heavy)}.")
    return float(median(run["seconds"] for run in runs))


def first_fit(rounds: int) -> dict[str, float]:
    """Return medians over fresh processes: import of the estimators, first fit, later fits.

    The cache is warm: one process fills it beforehand.
    """
    with tempfile.TemporaryDirectory() as cache:
        runs = [fresh_process(FIRST_FIT, Path(cache)) for _ in range(rounds + 1)][1:]
    return {name: float(median(run[name] for run in runs)) for name in runs[0]}


def all_kernels_cold(rounds: int) -> dict[str, Any]:
    """Compile all kernels into an empty cache: median seconds, number of kernels, kernels missed.

    The estimators are fitted to tiny data with every activation, scheme, solver, loss and type,
    twice; the second time, in which nothing is compiled, is subtracted.
    """
    runs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            runs.append(fresh_process(ALL_KERNELS, Path(cache)))
    return {**runs[0], "seconds": float(median(run["seconds"] for run in runs))}


def main() -> None:
    """Print the measurements."""
    fit = first_fit(3)
    cold = all_kernels_cold(1)
    print(f"import fastbcd: {import_time(7):.3f} s")
    print(f"import of the estimators: {fit['import']:.2f} s")
    print(f"first fit with a warm cache: {fit['first']:.2f} s, later fits {fit['steady']:.2f} s")
    print(f"all {cold['kernels']} kernels compiled: {cold['seconds']:.1f} s")
    if cold["missed"]:
        print(f"  but for those that no estimator reached: {', '.join(cold['missed'])}")


if __name__ == "__main__":
    main()
