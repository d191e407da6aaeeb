"""Details to include in a bug report: ``fastbcd.info()`` and ``fastbcd info``."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastbcd._version import __version__
from fastbcd.parallel.cores import usable_cores

REQUIRED = ("numpy", "scipy", "numba", "llvmlite", "scikit-learn", "joblib", "threadpoolctl")
OPTIONAL = ("matplotlib", "pandas", "torch", "onnx", "onnxruntime", "dask", "optuna")
SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_DISABLE_JIT",
    "NUMBA_CACHE_DIR",
    "NUMBA_CPU_NAME",
    "FASTBCD_NOTICE",
)
FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512vnni", "avx512bf16", "neon", "sve")
"""Processor features that affect the speed."""


class Info(dict[str, dict[str, str]]):
    """Facts by group and name; prints as a table."""

    def __str__(self) -> str:
        width = max(len(name) for group in self.values() for name in group)
        lines = []
        for group, facts in self.items():
            lines += [group, *(f"  {name:<{width}}  {value}" for name, value in facts.items())]
        return "\n".join(lines)

    __repr__ = __str__


def info() -> Info:
    """Return the details to include in a bug report: versions, processor, BLAS, threads, cache.

    Returns
    -------
    Info
        A dict of groups of facts that prints as a table. It contains no secrets, but the path of
        the cache folder may contain a user name.

    Notes
    -----
    The call imports NumPy, SciPy and Numba to find the libraries that they load. This takes about a
    second.

    Examples
    --------
    >>> import fastbcd
    >>> fastbcd.info()["versions"]["fastbcd"] == fastbcd.__version__
    True
    """
    return Info(
        versions=_versions(),
        machine=_machine(),
        threads=_threads(),
        cache=_cache(),
        settings={name: os.environ[name] for name in SETTINGS if name in os.environ}
        or {"environment": "no relevant variable is set"},
    )


def _versions() -> dict[str, str]:
    found = {"fastbcd": __version__, "python": sys.version.split()[0]}
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        found["python"] += ", free-threaded"
    for name in (*REQUIRED, *OPTIONAL):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if name in REQUIRED:
                found[name] = "not installed"
    return found


def _machine() -> dict[str, str]:
    found = {"system": platform.platform(), "architecture": platform.machine()}
    try:
        import llvmlite.binding as llvm

        present = {name for name, there in llvm.get_host_cpu_features().items() if there}
        found["processor"] = str(llvm.get_host_cpu_name())
        known = [name for name in FEATURES if name in present]
        found["features"] = " ".join(known) or "no relevant features"
    except (ImportError, RuntimeError) as error:
        found["processor"] = f"unknown ({error})"
    found["cores"] = f"{usable_cores()} of {os.cpu_count()} usable"
    return found


def _threads() -> dict[str, str]:
    import scipy.linalg  # noqa: F401  # loads SciPy's BLAS
    from threadpoolctl import threadpool_info

    found: dict[str, str] = {}
    for pool in threadpool_info():
        text = f"{pool['internal_api']} {pool.get('version') or ''}".strip()
        if pool.get("architecture"):
            text += f" ({pool['architecture']})"
        owner = Path(pool["filepath"]).parent.name.removesuffix(".libs")
        found[f"{pool['user_api']}, {owner}"] = f"{text}, {pool['num_threads']} threads"
    return found or {"pools": "none found"}


def _cache() -> dict[str, str]:
    import fastbcd_kernels

    folder = fastbcd_kernels.CACHE_FOLDER
    compiled: list[Any] = [path for path in folder.rglob("*.nbc") if _is_ours(path)]
    size = sum(path.stat().st_size for path in compiled)
    return {
        "folder": str(folder),
        "compiled": f"{len(compiled)} functions, {size / 1e6:.1f} MB",
    }


def _is_ours(path: Path) -> bool:
    """Return whether a cache file belongs to a kernel: its name starts with the module name."""
    from pkgutil import iter_modules

    import fastbcd_kernels

    return path.name.split(".")[0] in {m.name for m in iter_modules(fastbcd_kernels.__path__)}
