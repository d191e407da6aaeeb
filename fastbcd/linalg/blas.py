"""Four BLAS routines for C-ordered matrices, which release the GIL among row threads.

SciPy's BLAS functions hold the GIL, so threads that each process some of the rows would wait for
one another. Within :func:`fastbcd.parallel.row_threads.row_threads` the same routines are therefore
called through ctypes, which releases the GIL, at the addresses that SciPy exports for Cython
(``scipy.linalg.cython_blas``). Such a call has an overhead of 10 us instead of 1 us, so SciPy's
functions are used elsewhere.

Among row threads a matrix may be a block of rows and columns of a larger one. BLAS expects Fortran
order, where a C-ordered matrix appears as its transpose. Each routine therefore computes the
transpose of the result, and nothing is copied.
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
"""Number of character arguments, then of pointer arguments, of each routine."""


def routine(name: str, dtype: np.dtype[Any]) -> Any:
    """Return SciPy's BLAS function ``name`` for float32 or float64."""
    return getattr(blas, _letter_of(dtype) + name)


def gemm(
    out: Float, a: Float, b: Float, factor: float, keep: float, ta: bool = False, tb: bool = False
) -> None:
    """Write ``factor * a @ b + keep * out`` into ``out``.

    Parameters
    ----------
    out : (n, m) array
        Overwritten; not read if ``keep`` is zero.
    a, b : (n, k) and (k, m) arrays
        Factors, with the dtype of ``out``.
    factor, keep : float
        Scales of the product and of the old ``out``.
    ta, tb : bool, default=False
        Whether ``a`` or ``b`` is passed as its transpose.

    Raises
    ------
    ValueError
        If ``out`` is not C-contiguous. Among row threads: if a row of a matrix has gaps, or if
        shapes or dtypes do not match.
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
    """Write ``a @ matrix`` into ``out``; only the lower triangle of ``matrix`` is read.

    Parameters
    ----------
    out, a : (n, m) arrays
        ``out`` is overwritten.
    matrix : (m, m) array
        Symmetric, with the dtype of ``out``.

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
    """Add ``a.T @ a``, or ``a @ a.T`` if ``outer``, to the lower triangle of ``out``.

    Parameters
    ----------
    out : (d, d) array
        Overwritten; the upper triangle is undefined afterwards.
    a : (n, d) array, or (d, n) if ``outer``
        Has the dtype of ``out``.

    Raises
    ------
    ValueError
        As for :func:`gemm`.
    """
    if not among_threads():
        # The upper triangle in Fortran order is the lower triangle in C order.
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
        Has the dtype of ``x``; only its lower triangle is read.

    Raises
    ------
    ValueError
        As for :func:`gemm`.
    """
    # BLAS solves from the right for x', where `lower` in Fortran order is an upper triangle.
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
        raise ValueError(f"A matrix of shape {shape} was passed where shape {expected} is needed.")


def _call(
    name: str,
    letters: tuple[bytes, ...],
    sizes: tuple[int, ...],
    factor: float,
    inputs: tuple[Float, ...],
    keep: float | None,
    out: Float,
) -> None:
    """Call a routine; ``keep`` is the scale of the old ``out``, or None if it has none."""
    scalar = ctypes.c_float if out.dtype == np.float32 else ctypes.c_double
    passed: list[Any] = [*letters, *map(_integer, sizes), ctypes.byref(scalar(factor))]
    for matrix in inputs:
        passed += [matrix.ctypes.data, _integer(_row_length(matrix, out.dtype))]
    if keep is not None:
        passed.append(ctypes.byref(scalar(keep)))
    _routine(name, out.dtype)(*passed, out.ctypes.data, _integer(_row_length(out, out.dtype)))


def _integer(value: int) -> Any:
    """Return a reference to a C integer, which the reference keeps alive."""
    return ctypes.byref(ctypes.c_int(value))


def _check_whole(out: Float) -> None:
    """Raise ValueError unless ``out`` is C-contiguous: SciPy would write into a copy."""
    if not out.flags.c_contiguous:
        raise ValueError(f"The output array, with strides {out.strides}, is not C-contiguous.")


def _row_length(matrix: Float, dtype: np.dtype[Any]) -> int:
    """Return the distance between the starts of two rows, in numbers."""
    if matrix.dtype != dtype:
        raise ValueError(f"A matrix of {matrix.dtype} was passed to a product of {dtype}.")
    n: int = matrix.shape[0]
    columns: int = matrix.shape[1]
    step: int = matrix.strides[0] // dtype.itemsize
    if matrix.size == 0 or (n == 1 and columns == 1):
        return max(columns, 1)
    odd = matrix.strides[0] % dtype.itemsize != 0
    gaps = columns > 1 and matrix.strides[1] != dtype.itemsize
    if gaps or (n > 1 and (odd or step < columns)):
        raise ValueError(
            f"A matrix of shape {matrix.shape} with strides {matrix.strides} was passed to a "
            "product. Its rows must be contiguous and must not overlap."
        )
    return step if n > 1 else columns


@cache
def _routine(name: str, dtype: np.dtype[Any]) -> Any:
    """Return a BLAS routine for float32 or float64 as a ctypes function."""
    published: dict[str, Any] = vars(cython_blas)["__pyx_capi__"]
    capsule, api = published[_letter_of(dtype) + name], ctypes.pythonapi
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    address_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", api)
    )
    letters, pointers = _ARGUMENTS[name]
    types = [ctypes.c_char_p] * letters + [ctypes.c_void_p] * pointers
    return ctypes.CFUNCTYPE(None, *types)(address_of(capsule, name_of(capsule)))
