"""Run the benchmarks and print one Markdown table: ``python -m bench.report``.

Options are handed to pytest: ``--quick`` for a trial run, ``-k sweep`` for some. The table and
pytest-benchmark's JSON are kept in ``bench/results/``.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_info

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def machine() -> str:
    """Describe what the figures were taken on."""
    import numpy as np
    import scipy.linalg.blas  # noqa: F401  # loads the BLAS that is described
    from cpuinfo import get_cpu_info

    blas = {
        f"{pool['internal_api']} {pool.get('version') or ''} with {pool['num_threads']} threads"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    }
    return (
        f"{get_cpu_info().get('brand_raw', platform.machine())}, {os.cpu_count()} logical cores; "
        f"Python {platform.python_version()}, NumPy {np.__version__}, {', '.join(sorted(blas))}"
    )


def rows(benchmarks: list[dict[str, Any]], judge: bool) -> list[str]:
    """Turn the recorded lines into rows of the table, and say where a target was missed."""
    found = []
    for entry in benchmarks:
        for line in entry["extra_info"].get("lines", []):
            verdict = " (**missed**)" if line["met"] is False and judge else ""
            found.append(f"| {line['what']} | {line['target']} | {line['measured']}{verdict} |")
    return found


def main(options: list[str]) -> int:
    """Run the suites, print and store the table; return pytest's exit status."""
    RESULTS.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S")
    measured = RESULTS / f"{stamp}.json"
    status = int(
        pytest.main([str(HERE), "--benchmark-enable", f"--benchmark-json={measured}", *options])
    )
    if not measured.exists() or not measured.stat().st_size:
        return status or 1
    benchmarks = json.loads(measured.read_text())["benchmarks"]
    quick = "--quick" in options
    head = ["| what | target | measured |", "|---|---|---|"]
    if quick:
        head.insert(0, "**A trial run on tiny shapes: these figures mean nothing.**\n")
    table = "\n".join([f"{machine()}\n", *head, *rows(benchmarks, judge=not quick)])
    (RESULTS / f"{stamp}.md").write_text(f"{table}\n")
    print(f"\n{table}\n\nKept in {RESULTS.name}/{stamp}.md")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
