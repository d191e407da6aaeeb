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

EVERY_KERNEL = """
import json, sys
import fastbcd
done = fastbcd.warmup(sys.argv[1])
print(json.dumps({"seconds": done.seconds, "kernels": done.n_kernels, "missed": done.missed,
                  "compiled": done.n_compiled}))
"""


def fresh_process(arguments: list[str], cache: Path) -> dict[str, Any]:
    """Run Python in a new process, away from the checkout, and return what it printed."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    for name in ("NUMBA_DISABLE_JIT", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, *arguments],
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
        runs = [fresh_process(["-c", IMPORT], Path(cache)) for _ in range(rounds + 1)][1:]
    heavy = runs[0]["heavy"]
    if heavy:
        raise RuntimeError(f"import fastbcd loads {', '.join(heavy)}.")
    return float(median(run["seconds"] for run in runs))


def first_fit(rounds: int) -> dict[str, float]:
    """Return medians over fresh processes: import of the estimators, first fit, later fits.

    The cache is warm: one process fills it beforehand.
    """
    with tempfile.TemporaryDirectory() as cache:
        runs = [fresh_process(["-c", FIRST_FIT], Path(cache)) for _ in range(rounds + 1)][1:]
    return {name: float(median(run[name] for run in runs)) for name in runs[0]}


def all_kernels_cold(rounds: int, dtype: str) -> dict[str, Any]:
    """Compile all kernels into an empty cache: median seconds, number of kernels.

    A fresh process fits tiny networks in every way that has kernels of its own, as
    :func:`fastbcd.warmup` does, to data of one type. A second process, which finds the cache
    full, is subtracted: what is left is the compilation, as a user waits for it.

    Raises
    ------
    RuntimeError
        If a kernel was not reached: the warm-up has to be extended to it.
    """
    taken = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = (
                fresh_process(["-c", EVERY_KERNEL, dtype], Path(cache)) for _ in ("cold", "warm")
            )
        if cold["missed"]:
            raise RuntimeError(f"The warm-up does not reach {', '.join(cold['missed'])}.")
        taken.append(cold["seconds"] - warm["seconds"])
    return {
        "seconds": float(median(taken)),
        "kernels": cold["kernels"],
        "compiled": cold["compiled"],
    }


def main() -> None:
    """Print the measurements."""
    fit = first_fit(3)
    print(f"import fastbcd: {import_time(7):.3f} s")
    print(f"import of the estimators: {fit['import']:.2f} s")
    print(f"first fit with a warm cache: {fit['first']:.2f} s, later fits {fit['steady']:.2f} s")
    for dtype in ("float32", "float64"):
        cold = all_kernels_cold(1, dtype)
        print(f"all {cold['kernels']} kernels compiled, {dtype}: {cold['seconds']:.1f} s")


if __name__ == "__main__":
    main()
