"""The rules by which the text of a cell becomes a number, a label or a missing value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.utils.types import Float64

MISSING = (
    "", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "NULL", "null", "None",
    "?",
)  # fmt: skip
"""Texts that mean a missing value unless ``--na`` gives others."""

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
"""What is read as a number. Python's ``float`` would also take ``1_000``, ``nan``, ``inf`` and the
digits of other scripts."""

PLAIN = re.compile(r"[0-9+\-.eE\n]*", re.ASCII)
"""A column of such characters alone holds numbers, or ``float`` refuses it."""

LEADING_ZEROS = re.compile(r"^[+-]?0\d", re.ASCII | re.MULTILINE)

INTEGER = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)
"""Integers of 64 bits that are written in the one way in which they are printed."""

BOOLEANS = {"true": 1.0, "false": 0.0}

SHOWN = 40
"""Characters of a cell that a message shows."""


class CellError(ValueError):
    """A cell that cannot be used.

    Parameters
    ----------
    place : int
        Its place in the column, from 0.
    complaint : str
        What is wrong with it.
    """

    def __init__(self, place: int, complaint: str) -> None:
        super().__init__(complaint)
        self.place, self.complaint = place, complaint


@dataclass(frozen=True)
class Numbers:
    """A column that was read as numbers.

    Parameters
    ----------
    values : (n,) float64 array
        The numbers.
    note : str
        What the numbers do not show of the text; empty if nothing.
    """

    values: Float64
    note: str = ""


def is_number(cell: str) -> bool:
    """Return whether the cell is a finite number in plain notation."""
    return NUMBER.fullmatch(cell.strip()) is not None


def shown(cell: str) -> str:
    """Return the cell in quotes, shortened if it is long."""
    return repr(cell if len(cell) <= SHOWN else f"{cell[:SHOWN]}... ({len(cell)} characters)")


def numbers(cells: Sequence[str], missing: Collection[str] = MISSING) -> Numbers:
    """Read a column of features.

    Parameters
    ----------
    cells : sequence of str
        Without surrounding spaces.
    missing : collection of str
        Texts that mean a missing value.

    Raises
    ------
    CellError
        For a cell that is missing or not a finite number.
    """
    text = "\n".join(cells)
    if PLAIN.fullmatch(text):
        try:
            values = np.array(cells, np.str_).astype(np.float64)
        except ValueError:
            values = np.array([np.nan])
        if np.isfinite(values).all():
            return Numbers(values, _zeros_note(text))
    if cells and all(cell.lower() in BOOLEANS for cell in cells):
        note = f"{cells[0]!r} and the like are read as 1 for true and 0 for false"
        return Numbers(np.array([BOOLEANS[cell.lower()] for cell in cells]), note)
    for place, cell in enumerate(cells):
        check_present(place, cell, missing)
        if not is_number(cell):
            raise CellError(place, f"{shown(cell)} is not a number.{_hint(cell)}")
        if not np.isfinite(float(cell)):
            raise CellError(place, f"{shown(cell)} is too large for a number of 64 bits.")
    return Numbers(np.array([float(cell) for cell in cells]))


def labels(cells: Sequence[str], missing: Collection[str] = MISSING) -> NDArray[Any]:
    """Read a column of class labels: predictions are written as the labels were.

    Parameters
    ----------
    cells : sequence of str
        Without surrounding spaces.
    missing : collection of str
        Texts that mean a missing value.

    Returns
    -------
    (n,) array
        Integers or whole floats if all of them print as they were written, else the texts.

    Raises
    ------
    CellError
        For a missing cell, for numbers with a fraction, and for two labels that are the same
        number.
    """
    for place, cell in enumerate(cells):
        check_present(place, cell, missing)
    distinct = Counter(cells)
    if all(INTEGER.fullmatch(cell) for cell in distinct):
        return np.array([int(cell) for cell in cells], np.int64)
    if all(is_number(cell) for cell in distinct):
        broken = next((cell for cell in distinct if not float(cell).is_integer()), None)
        if broken is not None:
            raise CellError(
                cells.index(broken),
                f"the label {broken} is a number with a fraction. Add --regression to predict "
                "numbers; if these are classes, add --dtype COLUMN=text.",
            )
        if all(repr(float(cell)) == cell for cell in distinct):
            return np.array([float(cell) for cell in cells])
    seen: dict[float, str] = {}
    for cell in filter(is_number, distinct):
        other = seen.setdefault(float(cell), cell)
        if other != cell:
            raise CellError(
                cells.index(cell),
                f"the labels {other!r} and {cell!r} are the same number. Add --dtype COLUMN=number "
                "to make them one class, or --dtype COLUMN=text to keep two.",
            )
    return np.array(cells)


def known_labels(
    cells: Sequence[str], classes: NDArray[Any], missing: Collection[str] = MISSING
) -> NDArray[Any]:
    """Read a column of labels to compare with the classes of a model: numbers with numbers."""
    for place, cell in enumerate(cells):
        check_present(place, cell, missing)
    if classes.dtype.kind == "b" and all(cell.lower() in BOOLEANS for cell in cells):
        return np.array([cell.lower() == "true" for cell in cells])
    if classes.dtype.kind in "biuf" and all(map(is_number, cells)):
        values = np.array([float(cell) for cell in cells])
        whole = classes.dtype.kind in "iu" and (values == np.rint(values)).all()
        return values.astype(np.int64) if whole else values
    return np.array(cells, object if classes.dtype.kind == "O" else np.str_)


def check_present(place: int, cell: str, missing: Collection[str]) -> None:
    """Refuse a cell that is missing."""
    if cell in missing:
        what = f"{cell!r} means a missing value" if cell else "the cell is empty"
        raise CellError(
            place, f"{what}. Fill it in or remove the row; --na says which texts mean missing."
        )


def _hint(cell: str) -> str:
    if re.fullmatch(r"[+-]?\d+,\d+", cell):
        return " Write numbers with a decimal point."
    if re.fullmatch(r"[+-]?\d{1,3}([_,' ]\d{3})+(\.\d*)?", cell) or is_number(
        cell.replace("_", "")
    ):
        return " Write numbers without separators of thousands."
    return ""


def _zeros_note(text: str) -> str:
    found = LEADING_ZEROS.search(text)
    if found is None:
        return ""
    cell = text[found.start() :].partition("\n")[0]
    return (
        f"{cell!r} is read as the number {float(cell):.15g}. If these are codes, use --one-hot "
        "or --drop"
    )
