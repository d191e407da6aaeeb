"""Compiled kernels of fastbcd: functions of arrays, nothing else.

One module holds one family of kernels and imports only Numba, NumPy and the
standard library. Numba stamps a cached function with the hash of its own file
only, so a kernel that called one of another file would keep running old machine
code after an upgrade; what must be fused therefore lives in one file.

Importing this package decides, once, where the compiled code is cached: where
Numba would put it if that place can be written, in a temporary folder otherwise
(a read-only installation without a home folder still works, and recompiles).

It also says one line on stderr when the first kernel has to be compiled, because a first fit
then takes seconds that no later one does: on a terminal or in a notebook only, once, and never in
workers that are started later. ``FASTBCD_NOTICE=0`` silences it, ``FASTBCD_NOTICE=1`` forces it.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import event


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _choose_cache_folder() -> Path:
    """Return the folder that holds the compiled code, and tell Numba of it if it must move."""
    from numba.core import config

    wanted = getattr(config, "CACHE_DIR", "") or os.environ.get("NUMBA_CACHE_DIR", "")
    if wanted:
        if _writable(Path(wanted)):
            os.environ["NUMBA_CACHE_DIR"] = str(wanted)  # inherited by worker processes
            return Path(wanted)
    else:
        in_tree = Path(__file__).parent / "__pycache__"
        if _writable(in_tree):
            return in_tree
        from numba.misc.appdirs import AppDirs

        places: Any = AppDirs
        user = Path(places(appname="numba", appauthor=False).user_cache_dir)
        if _writable(user):
            return user
    fallback = tempfile.mkdtemp(prefix="fastbcd-cache-")
    os.environ["NUMBA_CACHE_DIR"] = fallback  # inherited by worker processes
    vars(config)["CACHE_DIR"] = fallback  # Numba makes its settings at run time
    return Path(fallback)


CACHE_FOLDER: Path = _choose_cache_folder()
"""Folder below which the compiled kernels are cached."""


def announce(kernel: str) -> None:
    """Say once that compiling takes a while, where somebody is likely to read it."""
    wish = os.environ.get("FASTBCD_NOTICE", "")
    os.environ["FASTBCD_NOTICE"] = "0"  # inherited by worker processes
    interactive = "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
    if wish == "1" or (wish != "0" and interactive and multiprocessing.parent_process() is None):
        start = "\r" if interactive else ""  # in the place of a progress bar
        sys.stderr.write(
            f"{start}fastbcd: compiling kernels for this machine; this happens once. "
            "'fastbcd warmup' does it ahead of time.\n"
        )


before_compiling: list[Callable[[str], None]] = [announce]
"""Called with the name of each kernel that must be compiled: that is not in the cache."""


class _Listener(event.Listener):
    """Hears of every function that Numba compiles, and passes on which of them are ours."""

    def on_start(self, event: Any) -> None:
        """Call the hooks, and leave out what nobody uses."""
        dispatcher = event.data["dispatcher"]
        kernel = dispatcher.py_func
        if kernel.__module__.startswith(__name__):
            # Nothing in C calls a kernel; the wrapper for that would take a twentieth of the time.
            dispatcher.targetoptions["no_cfunc_wrapper"] = True
            for hook in before_compiling:
                hook(f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__}")

    def on_end(self, event: Any) -> None:
        """Nothing to do."""


event.register("numba:compile", _Listener())  # type: ignore[no-untyped-call]  # Numba has no types
