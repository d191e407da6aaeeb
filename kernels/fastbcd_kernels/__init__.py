"""Compiled kernels of fastbcd: functions of arrays, nothing else.

One module holds one family of kernels and imports only Numba, NumPy and the
standard library. Numba stamps a cached function with the hash of its own file
only, so a kernel that called one of another file would keep running old machine
code after an upgrade; what must be fused therefore lives in one file.

Importing this package decides, once, where the compiled code is cached: where
Numba would put it if that place can be written, in a temporary folder otherwise
(a read-only installation without a home folder still works, and recompiles).
"""

import os
import tempfile
from pathlib import Path
from typing import Any


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
