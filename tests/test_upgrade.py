"""An upgrade never runs the machine code of the version before it.

Numba stamps cached code with the hash of the file of the function that was called, and installers
leave the cache behind. Rule 1 of the architecture, a kernel calls none of another file, makes that
sufficient. ``nox -s upgrade`` proves the same with two wheels and pip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fastbcd_kernels

CALL = """
import numpy as np
import fastbcd_kernels
from fastbcd_kernels.residual import weighted_squared_distance as distance
print(fastbcd_kernels.__file__, distance(np.ones((2, 3)), np.zeros((2, 3)), np.ones(2)))
print(sum(distance.stats.cache_hits.values()))
"""


def call(site: Path) -> tuple[float, int]:
    """Return the kernel's answer in a new process, and how often the cache had it."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for name in ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    first, hits = done.stdout.split("\n")[:2]
    home, answer = first.rsplit(" ", 1)
    assert Path(home).is_relative_to(site)
    return float(answer), int(hits)


def test_new_source_is_not_run_by_old_machine_code(tmp_path):
    home = Path(fastbcd_kernels.__file__).parent
    installed = tmp_path / "fastbcd_kernels"
    shutil.copytree(home, installed, ignore=shutil.ignore_patterns("__pycache__"))
    assert call(tmp_path) == (6.0, 0)
    assert call(tmp_path) == (6.0, 1), "the second process must find the code in the cache"
    source = installed / "residual.py"
    text = source.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.strip().startswith("return "))
    changed = text.replace(line, f"{line.replace('return ', 'return 2 * (')})", 1)
    assert changed != text
    source.write_text(changed, encoding="utf-8")
    assert call(tmp_path) == (12.0, 0)
