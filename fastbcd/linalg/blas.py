"""Four routines of BLAS for C-ordered matrices; among threads that share rows, without the lock.

SciPy's own calls hold Python's lock, so that threads with a share of the rows each would wait for
one another. Among them the same routines are called through ctypes, which lets go of the lock, at
the addresses that SciPy publishes for Cython (``scipy.linalg.cython_blas``). Such a call takes
10 us to begin instead of 1 us: elsewhere SciPy's own are used.

Among threads a matrix may be part of a larger one, some of its rows and some of its columns. BLAS
takes Fortran order, in which a C-ordered matrix is its own transpose: each routine is asked for the
transpose of what it is to compute, and nothing is copied.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import blas, cython_blas

from fastbcd.parallel.row_threads import among_threads
from fastbcd.utils.types import Float

_ARGUMENTS = {"gemm": (2, 11), "symm": (2, 10), "syrk": (2, 8), "trsm": (4, 7)}
"""Letters, and pointers after them, that each routine takes."""


def routine(name: str, dtype: np.dtype[Any]) -> Any:
    """Return SciPy's own BLAS routine ``name`` for float32 or float64."""
    return getattr(blas, _letter_of(dtype) + name)


def gemm(
    out: Float, a: Float, b: Float, factor: float, keep: float, ta: bool = False, tb: bool = False
) -> None:
    """Write ``factor * a @ b + keep * out`` into ``out``.

    Parameters
    ----------
    out : (n, m) array
        Overwritten; not read where ``keep`` is zero.
    a, b : (n, k) and (k, m) arrays
        Factors, of the type of ``out``.
    factor, keep : float
        Scales of the product and of what was there.
    ta, tb : bool, default=False
        Whether ``a`` or ``b`` is given as its transpose.

    Raises
    ------
    ValueError
        If ``out`` has gaps; among threads only if its rows have, and if shapes or types differ.
    """
    if out.size == 0:
        return
    if not among_threads():
        _check_whole(out)
        scipys = routine("gemm", out.dtype)
        scipys(factor, b.T, a.T, keep, out.T, trans_a=tb, trans_b=ta, overwrite_c=True)
        return
    (n, m), (k, width) = out.shape, b.shape[::-1] if tb else b.shape
    _match((n, k), a.shape[::-1] if ta else a.shape)
    _match((k, m), (k, width))
    _call("gemm", (_transposed(tb), _transposed(ta)), (m, n, k), factor, (b, a), keep, out)


def symm(out: Float, a: Float, matrix: Float) -> None:
    """Write ``a @ matrix`` into ``out``; of the symmetric ``matrix`` only the lower half is read.

    Parameters
    ----------
    out, a : (n, m) arrays
        The first is overwritten.
    matrix : (m, m) array
        Of the same type.

    Raises
    ------
    ValueError
        As for :func:`gemm`.
    """
    if out.size == 0:
        return
    if not among_threads():
        _check_whole(out)
        routine("symm", out.dtype)(1.0, matrix.T, a.T, c=out.T, overwrite_c=True)
        return
    n, m = out.shape
    _match((n, m), a.shape)
    _match((m, m), matrix.shape)
    _call("symm", (b"L", b"U"), (m, n), 1.0, (matrix, a), 0.0, out)


def syrk(out: Float, a: Float, outer: bool = False) -> None:
    """Add ``a.T @ a``, or ``a @ a.T`` if ``outer``, to the lower half of ``out``.

    Parameters
    ----------
    out : (d, d) array
        Overwritten; what its upper half holds afterwards means nothing.
    a : (n, d) array, or (d, n) if ``outer``
        Of the same type.

    Raises
    ------
    ValueError
        As for :func:`gemm`.
    """
    if not among_threads():
        # The upper triangle of the Fortran-ordered result is the lower of its transpose.
        out += routine("syrk", out.dtype)(1.0, a.T, trans=outer).T
        return
    n, d = a.shape[::-1] if outer else a.shape
    _match((d, d), out.shape)
    _call("syrk", (b"U", _transposed(outer)), (d, n), 1.0, (a,), 1.0, out)


def trsm(x: Float, lower: Float, transposed: bool = False) -> None:
    """Solve ``lower @ y = x``, or ``lower.T @ y = x`` if ``transposed``, in place.

    Parameters
    ----------
    x : (n, m) array
        Right-hand sides, overwritten by the solution.
    lower : (n, n) array
        Only its lower triangle is read; of the same type.

    Raises
    ------
    ValueError
        As for :func:`gemm`.
    """
    # From the right of x', with the upper factor that `lower` is in Fortran order.
    if not among_threads():
        _check_whole(x)
        routine("trsm", x.dtype)(1.0, lower.T, x.T, side=1, trans_a=transposed, overwrite_b=True)
        return
    n, m = x.shape
    _match((n, n), lower.shape)
    letters = (b"R", b"U", _transposed(transposed), b"N")
    _call("trsm", letters, (m, n), 1.0, (lower,), None, x)


def _transposed(yes: bool) -> bytes:
    return b"T" if yes else b"N"


def _letter_of(dtype: np.dtype[Any]) -> str:
    return "s" if dtype == np.float32 else "d"


def _match(expected: tuple[int, int], shape: tuple[int, ...]) -> None:
    if shape != expected:
        raise ValueError(f"A matrix of shape {shape} stands where {expected} is needed.")


def _call(
    name: str,
    letters: tuple[bytes, ...],
    sizes: tuple[int, ...],
    factor: float,
    inputs: tuple[Float, ...],
    keep: float | None,
    out: Float,
) -> None:
    """Call a routine with its letters, sizes, a scale, inputs, another scale if any, and result."""
    scalar = ctypes.c_float if out.dtype == np.float32 else ctypes.c_double
    passed: list[Any] = [*letters, *map(_integer, sizes), ctypes.byref(scalar(factor))]
    for matrix in inputs:
        passed += [matrix.ctypes.data, _integer(_row_length(matrix, out.dtype))]
    if keep is not None:
        passed.append(ctypes.byref(scalar(keep)))
    _routine(name, out.dtype)(*passed, out.ctypes.data, _integer(_row_length(out, out.dtype)))


def _integer(value: int) -> Any:
    """Return the address of an integer that lives as long as it."""
    return ctypes.byref(ctypes.c_int(value))


def _check_whole(out: Float) -> None:
    """Refuse what SciPy would write into a copy of."""
    if not out.flags.c_contiguous:
        raise ValueError(f"The result, with strides {out.strides}, is not C-contiguous.")


def _row_length(matrix: Float, dtype: np.dtype[Any]) -> int:
    """Return how many numbers lie between the starts of two rows."""
    if matrix.dtype != dtype:
        raise ValueError(f"A matrix of {matrix.dtype} was handed to a product of {dtype}.")
    n: int = matrix.shape[0]
    columns: int = matrix.shape[1]
    step: int = matrix.strides[0] // dtype.itemsize
    if matrix.size == 0 or (n == 1 and columns == 1):
        return max(columns, 1)
    odd = matrix.strides[0] % dtype.itemsize != 0
    gaps = columns > 1 and matrix.strides[1] != dtype.itemsize
    if gaps or (n > 1 and (odd or step < columns)):
        raise ValueError(
            f"A matrix of shape {matrix.shape} with strides {matrix.strides} was handed to a "
            "product, which takes rows without gaps, one after another."
        )
    return step if n > 1 else columns


@cache
def _routine(name: str, dtype: np.dtype[Any]) -> Any:
    """Return a routine of BLAS for float32 or float64 as a function of ctypes."""
    published: dict[str, Any] = vars(cython_blas)["__pyx_capi__"]
    capsule, api = published[_letter_of(dtype) + name], ctypes.pythonapi
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    address_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", api)
    )
    letters, pointers = _ARGUMENTS[name]
    types = [ctypes.c_char_p] * letters + [ctypes.c_void_p] * pointers
    return ctypes.CFUNCTYPE(None, *types)(address_of(capsule, name_of(capsule)))
