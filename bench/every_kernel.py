"""Call every kernel the way users do, on tiny data of one type: ``python every_kernel.py float32``.

Prints, as JSON, the seconds that this took, how many compiled functions there are and which of
them nothing here reached. :mod:`bench.startup` runs it with an empty cache and with a full one.
"""

import importlib
import json
import pkgutil
import sys
import time
import warnings

import numpy as np
from numba.core.registry import CPUDispatcher

import fastbcd_kernels
from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.activations import ACTIVATIONS
from fastbcd.schemes import LowRank, Prune, TensorTrain


def use_everything(dtype: str) -> None:
    """Train by both solvers with every activation, loss and scheme; compress; learn in parts."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 6)).astype(dtype)
    y = (x[:, 0] > 0).astype(int)
    short = {"max_iter": 2, "random_state": 0}
    for solver in ("full", "minibatch"):
        for activation in ACTIVATIONS:
            BCDRegressor((8, 8), activation=activation, solver=solver, **short).fit(x, x[:, 0])
        for loss in ("squared", "cross_entropy", "hinge", "logistic"):
            BCDClassifier((8,), loss=loss, solver=solver, **short).fit(x, y).predict(x)
        for scheme in (Prune(sparsity=0.5), LowRank(rank=2), TensorTrain(rank=2)):
            BCDClassifier((8, 8), scheme=scheme, solver=solver, max_iter=10).fit(x, y)
    dense = BCDClassifier((8, 8), **short).fit(x, y)
    dense.compress(x, y, scheme=Prune(sparsity=0.5))
    in_parts = BCDClassifier((8,), random_state=0)
    for _ in range(3):
        in_parts.partial_fit(x, y, classes=[0, 1])
    in_parts.predict(x)


def unreached() -> tuple[int, list[str]]:
    """Return the number of compiled functions, found by looking, and those never compiled."""
    found, missed = 0, []
    for module in pkgutil.iter_modules(fastbcd_kernels.__path__):
        members = vars(importlib.import_module(f"fastbcd_kernels.{module.name}"))
        for name, member in members.items():
            if isinstance(member, CPUDispatcher):
                found += 1
                if not member.signatures:
                    missed.append(f"{module.name}.{name}")
    return found, missed


def main() -> None:
    """Print what was found."""
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    use_everything(sys.argv[1])
    seconds = time.perf_counter() - start
    kernels, missed = unreached()
    print(json.dumps({"seconds": seconds, "kernels": kernels, "missed": missed}))


if __name__ == "__main__":
    main()
