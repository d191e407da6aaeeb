"""Ahead-of-time compilation of every kernel: ``fastbcd.warmup()`` and ``fastbcd warmup``.

The work is divided by kernel module, so that each cache file has one writer. The modules are
distributed, longest first, among this process and helper processes. A helper is a Python
interpreter that reads from a pipe which module to compile next. It needs only the executable and
the search path, so it works from a script, a notebook or a command line.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TextIO

from fastbcd.parallel.cores import usable_cores
from fastbcd.utils.kernel_types import TYPES, compile_module, kernels, untyped
from fastbcd.utils.progress import Progress
from fastbcd.utils.validation import is_integer

DTYPES = ("float32", "float64")
READY = "ready\n"
HELPER = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from fastbcd.utils.warmup import serve
serve()
"""


@dataclass(frozen=True)
class Warmup:
    """Result of :func:`warmup`.

    Parameters
    ----------
    n_kernels : int
        Number of kernels.
    n_compiled : int
        Number of functions compiled, counted once per argument type; 0 if all were in the cache.
    missed : tuple of str
        Public kernels that were not compiled because their argument types are not listed.
    seconds : float
        Running time in seconds.
    n_processes : int
        Number of processes that compiled.
    """

    n_kernels: int
    n_compiled: int
    missed: tuple[str, ...]
    seconds: float
    n_processes: int = 1

    def __str__(self) -> str:
        if self.n_compiled:
            done = f"{self.n_compiled} functions compiled"
            if self.n_processes > 1:
                done += f" by {self.n_processes} processes"
        else:
            done = "nothing had to be compiled"
        line = f"{self.n_kernels} kernels ready in {self.seconds:.1f} s: {done}."
        return line + (f" Not reached: {', '.join(self.missed)}." if self.missed else "")


def warmup(
    dtypes: str | Sequence[str] = DTYPES,
    *,
    n_jobs: int = -1,
    verbose: int = 0,
    stream: TextIO | None = None,
) -> Warmup:
    """Compile all kernels and cache the machine code, so that no fit has to wait for it.

    Run it once after an installation or upgrade, for example when you build a container image. The
    machine code is specific to the processor and to the versions of Python, Numba and fastbcd.

    Parameters
    ----------
    dtypes : {"float32", "float64"} or sequence of them, default=both
        Data types to compile for. One type needs somewhat more than half the time of both.
    n_jobs : int, default=-1
        Number of processes; -1 means one per core. Each needs about 200 MB of memory. If no helper
        process can be started, this process does all the work.
    verbose : int, default=0
        1 shows a progress bar, or occasional lines if there is no terminal.
    stream : file, default=sys.stderr
        Where to write the progress.

    Returns
    -------
    Warmup
        The number of kernels, the number of compiled functions and the running time.

    Raises
    ------
    ValueError
        If a dtype is neither "float32" nor "float64", or ``n_jobs`` is neither positive nor -1.

    Notes
    -----
    No model is fitted, because the argument types of every kernel are known. For one dtype this
    takes about half a minute of processor time with an empty cache, and one second with a full one.

    Examples
    --------
    >>> import fastbcd
    >>> done = fastbcd.warmup("float32")  # doctest: +SKIP
    """
    chosen = [dtypes] if isinstance(dtypes, str) else list(dtypes)
    for name in chosen:
        if name not in DTYPES:
            raise ValueError(f'dtypes={dtypes!r} must be "float32", "float64" or both.')
    if n_jobs != -1 and not is_integer(n_jobs, 1):
        raise ValueError(
            f"n_jobs={n_jobs!r} must be a positive integer, or -1 for one process per core."
        )
    start = time.perf_counter()
    found = kernels()
    modules = _by_size({name.partition(".")[0] for name in TYPES})
    job = Job(modules, chosen, usable_cores() if n_jobs == -1 else n_jobs)
    progress = Progress(verbose, stream)
    progress.stage("compiling the kernels", len(modules))
    # If the compiler is disabled (NUMBA_DISABLE_JIT), kernels are plain functions.
    if all(hasattr(kernel, "compile") for kernel in found.values()):
        with progress, _rare_collections():
            job.run(progress.update)
    taken = time.perf_counter() - start
    return Warmup(len(found), len(job.compiled), untyped(list(found)), taken, job.n_processes)


def _by_size(modules: set[str]) -> list[str]:
    """Return kernel modules sorted by source size, largest first: these compile the longest."""
    files = {name: import_module(f"fastbcd_kernels.{name}").__file__ for name in sorted(modules)}
    return sorted(files, key=lambda name: -Path(files[name] or "").stat().st_size)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Collect garbage less often: most objects of a compiler stay, and collection costs 5 %."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Job:
    """Modules of kernels that are compiled by this process and, if there is work, by helpers."""

    def __init__(self, modules: list[str], dtypes: list[str], n_jobs: int) -> None:
        self.dtypes = dtypes
        self.compiled: list[str] = []
        self._waiting = deque(modules)
        self._n_done = 0
        self._n_jobs = min(n_jobs, len(modules))
        self._busy: set[int] = set()
        self._helpers: list[subprocess.Popen[str]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._show: Callable[[int, str], None] = lambda *_: None

    @property
    def n_processes(self) -> int:
        """Number of processes: this one and the helpers that compiled a module."""
        return 1 + len(self._busy)

    def run(self, show: Callable[[int, str], None]) -> None:
        """Compile all modules; this process compiles those that a helper fails to compile."""
        import fastbcd_kernels

        self._show = show
        hooks = list(fastbcd_kernels.before_compiling)
        # The usual notice about compilation is not needed: the user asked for it.
        fastbcd_kernels.before_compiling[:] = [self._compiling]
        try:
            while self._waiting or self._threads:
                while (module := self._next()) is not None:
                    compile_module(module, self.dtypes)
                    self._done()
                while self._threads:
                    self._threads.pop().join()
        finally:
            fastbcd_kernels.before_compiling[:] = hooks
            for helper in self._helpers:
                helper.kill()
            for thread in self._threads:
                thread.join()

    def _compiling(self, name: str) -> None:
        """Record a compilation; the first one starts the helpers."""
        self.compiled.append(name)
        while len(self._threads) < self._n_jobs - 1 and len(self.compiled) == 1:
            self._threads.append(threading.Thread(target=self._help, daemon=True))
            self._threads[-1].start()

    def _next(self) -> str | None:
        try:
            module = self._waiting.popleft()
        except IndexError:
            return None
        with self._lock:
            self._show(self._n_done, module)
        return module

    def _done(self, by_helper: list[str] | None = None) -> None:
        with self._lock:
            if by_helper is not None:
                self.compiled += by_helper
                self._busy.add(threading.get_ident())
            self._n_done += 1
            self._show(self._n_done, "")

    def _help(self) -> None:
        """Let a helper process compile modules, one after another, as long as it responds."""
        module = None
        command = [sys.executable, "-c", HELPER, json.dumps(sys.path)]
        pipe = subprocess.PIPE
        try:
            with subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
            ) as helper:
                self._helpers.append(helper)
                assert helper.stdin
                assert helper.stdout
                # A module is assigned only once the interpreter has started.
                ready = helper.stdout.readline() == READY
                while ready and (module := self._next()) is not None:
                    print(json.dumps([module, self.dtypes]), file=helper.stdin, flush=True)
                    self._done(json.loads(helper.stdout.readline()))
                # Its results are in the cache; a regular shutdown would take a second.
                helper.kill()
        except (OSError, ValueError, TypeError):  # no executable, or the helper died
            if module is not None:
                self._waiting.appendleft(module)


@contextmanager
def compiling_meanwhile(modules: Sequence[str], dtypes: Sequence[str]) -> Iterator[None]:
    """Let a helper process compile modules of kernels, in this order, while the block runs.

    It serves work that uses one core and knows which kernels it will need. Nothing depends on the
    helper: this process compiles what is not in the cache when it is needed. With one core there
    is no helper.
    """
    helper = None
    if usable_cores() > 1:
        command = [sys.executable, "-c", HELPER, json.dumps(sys.path)]
        quiet = subprocess.DEVNULL
        try:
            helper = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, text=True
            )
            assert helper.stdin
            with helper.stdin as orders:
                orders.writelines(json.dumps([name, list(dtypes)]) + "\n" for name in modules)
        except OSError:
            pass  # no executable, or the helper died
    try:
        yield
    finally:
        if helper is not None:
            helper.kill()
            helper.wait()


def serve() -> None:
    """Compile the modules named on standard input; reply with the compiled functions."""
    import fastbcd_kernels

    channel, sys.stdout = sys.stdout, sys.stderr
    channel.write(READY)
    channel.flush()
    with _rare_collections():
        for line in sys.stdin:
            compiled: list[str] = []
            fastbcd_kernels.before_compiling[:] = [compiled.append]
            compile_module(*json.loads(line))
            channel.write(json.dumps(compiled) + "\n")
            channel.flush()
