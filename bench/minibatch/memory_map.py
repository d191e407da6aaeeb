"""A memory map of 5,000,000 x 100 float32: resident memory beyond the map, rows per second.

    python -m bench.minibatch.memory_map [--rows 5000000] [--folder FOLDER] [--quick]

Each fit runs in a process of its own and takes one epoch; the same rows in memory are the
comparison. Resident memory is read from /proc (Linux): anonymous pages, which leaves the pages
of the map itself out. The file (2 GB) is written in chunks and removed at the end.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from bench.data import Split, fit_fastbcd
from bench.kept import Kept, Row, arguments

FEATURES = 100
CHUNK = 50_000


def write(path: Path, rows: int) -> None:
    """Write standard normal numbers."""
    rng = np.random.default_rng(0)
    out = np.memmap(path, np.float32, "w+", shape=(rows, FEATURES))
    for lo in range(0, rows, CHUNK):
        out[lo : lo + CHUNK] = rng.standard_normal(out[lo : lo + CHUNK].shape, dtype=np.float32)
    out.flush()


def resident() -> int:
    """Return the bytes of this process's anonymous pages."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def work(path: Path, rows: int, in_memory: bool) -> Row:
    """Fit once; return thousands of rows per second, two peaks in MB, and the error."""
    x = np.memmap(path, np.float32, "r", shape=(rows, FEATURES))
    y = np.empty(rows, np.int8)
    for lo in range(0, rows, CHUNK):
        y[lo : lo + CHUNK] = x[lo : lo + CHUNK, :2].sum(axis=1) > 0
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
    error = np.mean(fitted.network_.forward(np.array(x[:10_000])).argmax(axis=1) != y[:10_000])
    return rows / seconds / 1000, most / 1e6, (most - before) / 1e6, float(error)


def in_a_process(kind: str, options: argparse.Namespace) -> list[Row]:
    """Run :func:`work` in a process of its own."""
    command = [sys.executable, "-m", "bench.minibatch.memory_map", "--work", kind]
    command += ["--rows", str(options.rows), "--folder", options.folder]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [tuple(map(float, found.stdout.split()))]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--work", choices=["memory", "map"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rows = 20_000
    path = Path(options.folder) / "fastbcd-memory-map.f4"
    if options.work:
        print(*work(path, options.rows, options.work == "memory"))
        return
    needed = 4 * FEATURES * options.rows
    if shutil.disk_usage(options.folder).free < 1.2 * needed:
        raise SystemExit(f"{options.folder} has no room for {needed / 1e9:.1f} GB; pass --folder.")
    values = ("thousand rows/s", "peak MB", "of the fit MB", "error")
    kept = Kept("memory_map", ("source", "rows"), values, options)
    write(path, options.rows)
    try:
        found = {
            kind: kept.rows((kind, options.rows), lambda kind=kind: in_a_process(kind, options))[0]
            for kind in ("memory", "map")
        }
    finally:
        path.unlink()
    lines = [f"| source | {' | '.join(values)} |", "|---" * 5 + "|"]
    for kind, (speed, most, more, error) in found.items():
        lines.append(f"| {kind} | {speed:.0f} | {most:.0f} | {more:.0f} | {error:.4f} |")
    ratio = found["map"][0] / found["memory"][0]
    lines += ["", f"{options.rows} rows; the map at {ratio:.0%} of the speed of memory."]
    kept.table("\n".join(lines))


if __name__ == "__main__":
    main()
