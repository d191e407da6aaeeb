"""What a fresh process pays: the import, the first fit, and the compilation of every kernel.

``python -m bench.startup`` prints the three. Each is measured in processes of its own that share
nothing with this one but the machine; compiled code goes to a temporary ``NUMBA_CACHE_DIR``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
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


def run_python(arguments: list[str], cache: Path) -> str:
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
    return done.stdout


def fresh_process(arguments: list[str], cache: Path) -> dict[str, Any]:
    """Run Python in a new process and return the JSON of its last line."""
    result: dict[str, Any] = json.loads(run_python(arguments, cache).splitlines()[-1])
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


def all_kernels_cold(dtype: str) -> dict[str, Any]:
    """Run ``fastbcd warmup`` with an empty cache, as a user does: seconds by number of processes.

    The wall time of the whole command, the start of the interpreter and imports included, with one
    process and with one per core.

    Raises
    ------
    RuntimeError
        If a kernel was not reached.
    """
    found: dict[str, Any] = {}
    for name, jobs in (("one", "1"), ("all", "-1")):
        options = ["--dtype", dtype, "--jobs", jobs, "--quiet"]
        with tempfile.TemporaryDirectory() as cache:
            start = perf_counter()
            said = run_python(["-m", "fastbcd", "warmup", *options], Path(cache))
            found[name] = perf_counter() - start
        if "Not reached" in said:
            raise RuntimeError(said)
        numbers = re.findall(r"(\d+) (kernels|functions|processes)", said)
        found |= {what: int(number) for number, what in numbers}
    return found


def main() -> None:
    """Print the measurements."""
    fit = first_fit(3)
    print(f"import fastbcd: {import_time(7):.3f} s")
    print(f"import of the estimators: {fit['import']:.2f} s")
    print(f"first fit with a warm cache: {fit['first']:.2f} s, later fits {fit['steady']:.2f} s")
    for dtype in ("float32", "float64"):
        cold = all_kernels_cold(dtype)
        print(
            f"all {cold['kernels']} kernels compiled, {dtype}: {cold['one']:.1f} s in one process, "
            f"{cold['all']:.1f} s in {cold.get('processes', 1)}"
        )


if __name__ == "__main__":
    main()
