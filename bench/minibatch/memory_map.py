"""A memory map of 5,000,000 x 100 float32: resident memory beyond the map, rows per second.

    python -m bench.minibatch.memory_map [--rows 5000000] [--folder /tmp]

Each fit runs in a process of its own and takes one epoch. The same rows in memory are the
comparison. Resident memory is read from /proc (Linux): anonymous pages, which leaves the pages
of the map itself out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from bench.minibatch.problems import Split, fit_fastbcd

FEATURES = 100


def write(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    out = np.memmap(path, np.float32, "w+", shape=(rows, FEATURES))
    for lo in range(0, rows, 50_000):
        out[lo : lo + 50_000] = rng.standard_normal(out[lo : lo + 50_000].shape, dtype=np.float32)
    out.flush()


def resident() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def work(path: Path, rows: int, in_memory: bool) -> None:
    x = np.memmap(path, np.float32, "r", shape=(rows, FEATURES))
    y = np.empty(rows, np.int8)
    for lo in range(0, rows, 50_000):
        y[lo : lo + 50_000] = x[lo : lo + 50_000, :2].sum(axis=1) > 0
    source = np.array(x) if in_memory else x
    fit_fastbcd(Split(source[:2000], y[:2000], None, None), (100,), 0, 1)  # compiles
    before, most, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.05):
            most = max(most, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    fitted = fit_fastbcd(Split(source, y, None, None), (100,), 0, 1)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    error = np.mean(fitted.network.forward(np.array(x[:10_000])).argmax(axis=1) != y[:10_000])
    name = "in memory" if in_memory else "memory map"
    print(
        f"{name:12s} {rows / seconds / 1000:8.0f} thousand rows/s  "
        f"peak {most / 1e6:6.0f} MB, of which the fit {(most - before) / 1e6:6.0f} MB  "
        f"error {error:.4f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--work", choices=["memory", "map"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    path = Path(options.folder) / "fastbcd-memory-map.f4"
    if options.work:
        work(path, options.rows, options.work == "memory")
        return
    write(path, options.rows)
    try:
        for kind in ("memory", "map"):
            command = [sys.executable, "-m", "bench.minibatch.memory_map", "--work", kind]
            subprocess.run(
                [*command, "--rows", str(options.rows), "--folder", options.folder], check=True
            )
    finally:
        path.unlink()


if __name__ == "__main__":
    main()
