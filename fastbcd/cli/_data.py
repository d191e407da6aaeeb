"""Tables that the command line reads: CSV files and NumPy's .npz and .npy."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.utils.types import Float

DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Table:
    """Rows of numbers, and the targets if a column of them was named.

    Parameters
    ----------
    x : (n, d) array
        Features, float32 or float64.
    y : (n,) array or None
        Targets: integers, floats or strings.
    names : list of str or None
        Names of the features, from the header.
    """

    x: Float
    y: NDArray[Any] | None
    names: list[str] | None


def read_table(
    path: str, target: str | None, dtype: Any = np.float32, wanted: Sequence[str] | None = None
) -> Table:
    """Read a table.

    Parameters
    ----------
    path : str
        ``.npz`` with the arrays ``X`` and, for targets, ``y``; ``.npy`` with the features alone;
        else text: one row per line, separated by commas, semicolons or tabs, the first line a
        header if no number is in it.
    target : str or None
        Column of the targets: a name of the header, or a number from 0, negative from the end.
        Of ``.npz``, the name of the array.
    dtype : dtype
        Type of the features.
    wanted : sequence of str, optional
        Names of the features to read, in this order, if the header has them all; others are left
        out. By default all columns but the target.

    Raises
    ------
    ValueError
        If it is no such table; the message says where.
    OSError
        If it cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".npz", ".npy"):
        return _read_numpy(path, target, dtype)
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            return _read_csv(path, file, target, dtype, wanted)
        except UnicodeDecodeError:
            raise ValueError(
                f"{path} is not text in UTF-8. Is it a .npz by another name?"
            ) from None


def _read_numpy(path: str, target: str | None, dtype: Any) -> Table:
    try:
        # Objects would be unpickled, which can run anything.
        loaded = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if isinstance(loaded, np.ndarray):
        if target is not None:
            raise ValueError(f"{path} holds features alone. Store X and y in a .npz.")
        return Table(_features(path, loaded, dtype), None, None)
    with loaded:
        for name in ("X", *([target] if target else [])):
            if name not in loaded:
                raise ValueError(f"{path} has no array {name!r}; it has {', '.join(loaded)}.")
        try:
            raw = loaded["X"]
            y = loaded[target] if target else None
        except ValueError as error:
            raise ValueError(f"{path} cannot be read: {error}") from None
    x = _features(path, raw, dtype)
    if y is not None and len(y) != len(x):
        raise ValueError(f"{path}: X has {len(x)} rows, {target} has {len(y)}.")
    return Table(x, y, None)


def _features(path: str, x: NDArray[Any], dtype: Any) -> Float:
    if x.ndim < 2 or x.dtype.kind not in "biuf":
        raise ValueError(f"{path}: X must be rows of numbers, not {x.dtype} of shape {x.shape}.")
    return x.reshape(len(x), -1).astype(dtype)


def _read_csv(
    path: str, file: Any, target: str | None, dtype: Any, wanted: Sequence[str] | None
) -> Table:
    first = file.readline()
    file.seek(0)
    delimiter = max(DELIMITERS, key=first.count)
    rows = [row for row in csv.reader(file, delimiter=delimiter) if row]
    if not rows:
        raise ValueError(f"{path} is empty.")
    header = None
    if not any(_is_number(cell) for cell in rows[0]):
        header = [cell.strip() for cell in rows.pop(0)]
        if not rows:
            raise ValueError(f"{path} has a header and no rows.")
    width = len(header or rows[0])
    first_line = 2 if header else 1
    for line, row in enumerate(rows, first_line):
        if len(row) != width:
            raise ValueError(f"{path}, line {line}: {len(row)} cells, {width} before.")
    column = -1 if target is None else _column(path, target, header, width)
    kept = [index for index in range(width) if index != column]
    if header is not None and wanted is not None and set(wanted) <= set(header):
        kept = [header.index(name) for name in wanted]
    x = np.empty((len(rows), len(kept)), dtype)
    for line, row in enumerate(rows):
        try:
            x[line] = [row[index] for index in kept]
        except ValueError:
            bad = next(index for index in kept if not _is_number(row[index]))
            where = header[bad] if header else str(bad)
            mend = "" if target else " Is it the target? Name it by --target."
            raise ValueError(
                f"{path}, line {first_line + line}, column {where}: {row[bad]!r} is not a number."
                f"{mend}"
            ) from None
    names = None if header is None else [header[index] for index in kept]
    y = None if target is None else labels([row[column].strip() for row in rows])
    return Table(x, y, names)


def labels(cells: list[str]) -> NDArray[Any]:
    """Return cells as integers if all are, else as floats if all are, else as strings."""
    for convert in (int, float):
        try:
            return np.array([convert(cell) for cell in cells])
        except ValueError:
            continue
    return np.array(cells)


def _column(path: str, target: str, header: list[str] | None, width: int) -> int:
    """Return the index of the column that ``target`` names."""
    if header is not None and target in header:
        return header.index(target)
    try:
        index = int(target)
    except ValueError:
        found = f"it has {', '.join(header)}" if header else "it has no header; give a number"
        raise ValueError(f"{path} has no column {target!r}; {found}.") from None
    if not -width <= index < width:
        raise ValueError(f"{path} has {width} columns; there is no column {index}.")
    return index % width


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
