"""Compile every kernel once, ahead of time: ``fastbcd.warmup()`` and ``fastbcd warmup``.

The work is divided by modules of kernels, so that each file of the cache has one writer. The
modules go, the longest first, to this process and to helpers: interpreters that are told on a pipe
what to compile next. They are started by their executable and search path alone, so it does not
matter whether this process runs a script, a notebook or a command line.
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
    """What :func:`warmup` did.

    Parameters
    ----------
    n_kernels : int
        Kernels that there are.
    n_compiled : int
        Functions that had to be compiled, once for each type of their arguments; 0 if the cache
        held them all.
    missed : tuple of str
        Public kernels that were not reached.
    seconds : float
        Time that it took.
    n_processes : int
        Processes that compiled.
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
    """Compile all kernels and keep the machine code in the cache, so that no fit has to wait.

    Run it once after an installation or an upgrade, for example when an image is built. The code
    belongs to the processor and to the versions of Python, Numba and fastbcd that compiled it.

    Parameters
    ----------
    dtypes : {"float32", "float64"} or sequence of them, default=both
        Types of the data that will be used. One type takes somewhat more than half the time.
    n_jobs : int, default=-1
        Processes that compile; -1 for one per core. Each takes about 200 MB. Where no further
        ones can be started, this one does all the work.
    verbose : int, default=0
        1 shows a progress bar, or a line now and then where there is no terminal.
    stream : file, default=sys.stderr
        Where that goes.

    Returns
    -------
    Warmup
        How many kernels there are, how many functions were compiled, and the seconds.

    Raises
    ------
    ValueError
        If a type is neither "float32" nor "float64", or ``n_jobs`` neither positive nor -1.

    Notes
    -----
    Nothing is fitted: the types of the arguments of every kernel are known. With an empty cache it
    takes about half a minute of processor time for one type, with a full one a second.

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
        raise ValueError(f"n_jobs={n_jobs!r} must be a positive number of processes, or -1.")
    start = time.perf_counter()
    found = kernels()
    modules = _by_size({name.partition(".")[0] for name in TYPES})
    job = Job(modules, chosen, usable_cores() if n_jobs == -1 else n_jobs)
    progress = Progress(verbose, stream)
    progress.stage("compiling the kernels", len(modules))
    # Where the compiler is switched off, kernels are plain functions.
    if all(hasattr(kernel, "compile") for kernel in found.values()):
        with progress, _rare_collections():
            job.run(progress.update)
    taken = time.perf_counter() - start
    return Warmup(len(found), len(job.compiled), untyped(list(found)), taken, job.n_processes)


def _by_size(modules: set[str]) -> list[str]:
    """Return modules of kernels, those of the longest source first: they compile the longest."""
    files = {name: import_module(f"fastbcd_kernels.{name}").__file__ for name in sorted(modules)}
    return sorted(files, key=lambda name: -Path(files[name] or "").stat().st_size)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage less often: a compiler makes much that stays, and looking is 5 % of it."""
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
        """How many processes compiled: this one, and the helpers that were given something."""
        return 1 + len(self._busy)

    def run(self, show: Callable[[int, str], None]) -> None:
        """Compile everything; what a helper fails to do is done here."""
        import fastbcd_kernels

        self._show = show
        hooks = list(fastbcd_kernels.before_compiling)
        # The notice that all this takes a while is for those who did not ask for it.
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
        """Note that this process compiles; the first time, helpers are worth their start."""
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
        """Have another process compile, one module after another, as long as it answers."""
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
                # No module waits for the start of an interpreter.
                ready = helper.stdout.readline() == READY
                while ready and (module := self._next()) is not None:
                    print(json.dumps([module, self.dtypes]), file=helper.stdin, flush=True)
                    self._done(json.loads(helper.stdout.readline()))
                # All that it was asked for is in the cache; to tidy up would take it a second.
                helper.kill()
        except (OSError, ValueError, TypeError):  # no executable, or it died
            if module is not None:
                self._waiting.appendleft(module)


def serve() -> None:
    """Compile what the lines of the standard input ask for, and answer what was compiled."""
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
