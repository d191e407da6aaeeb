"""Whether the first line of a table is a header, and what its columns are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from fastbcd.cli.cells import is_number

MANY = 5
"""Minimum number of columns from which the numbers 0, 1, 2, .. are read as a header."""

Rows = Sequence[Sequence[str]]


class AmbiguousHeaderError(ValueError):
    """The first line may be a header or a row."""


def has_header(
    where: str,
    rows: Rows,
    expected: Collection[str] = (),
    target: str | None = None,
    missing: Collection[str] = ("",),
) -> tuple[bool, str]:
    """Decide whether the first row is a header.

    Parameters
    ----------
    where : str
        Name of the file, for messages.
    rows : sequence of sequence of str
        All rows, of one length.
    expected : collection of str
        Names of columns that the model needs, if it knows any.
    target : str or None
        Name or number of the target.
    missing : collection of str
        Texts that mean a missing value.

    Returns
    -------
    bool
        Whether it is a header.
    str
        A note for the user if that follows from a rule that can err, else empty.

    Raises
    ------
    AmbiguousHeaderError
        If both readings make sense.
    """
    first = [cell.strip() for cell in rows[0]]
    below = rows[1:]
    if expected and set(expected) <= set(first):
        return True, ""
    if target is not None and target in first and _is_name(target, len(first)):
        return True, ""
    with_numbers = [place for place, cell in enumerate(first) if is_number(cell)]
    text = [place for place, cell in enumerate(first) if place not in with_numbers and cell]
    text = [place for place in text if first[place] not in missing]
    if not with_numbers:
        if below and text and all(_recurs(first, below, place) for place in text):
            raise _ambiguous(where, first, "its texts occur again below it")
        return True, ""
    if not below:
        return False, ""
    note = f"the first line of {where} is read as a header; if it is a row, add --no-header"
    if any(_is_numeric(below, place, missing) for place in text):
        return True, note
    start = 0 if first[0] else 1
    if all(first[place] == str(place - start) for place in with_numbers):
        fractions = any(_has_point(below, place) for place in with_numbers)
        if len(with_numbers) >= MANY or (fractions and len(with_numbers) > 1):
            return True, note
        if len(with_numbers) > 1:
            raise _ambiguous(where, first, "it counts its columns")
    signs = 0
    if _lies_far(first, below, with_numbers, missing):
        signs += 1
    if any(_is_unlike(first, below, place) for place in text):
        signs += 1
    if signs == 2:
        return True, note
    if signs == 1:
        raise _ambiguous(where, first, "it is unlike the lines below it")
    return False, ""


def _ambiguous(where: str, first: Sequence[str], why: str) -> AmbiguousHeaderError:
    start = ",".join(first[:6]) + (",..." if len(first) > 6 else "")
    return AmbiguousHeaderError(
        f"{where}: the first line, {start[:80]}, may be a header or a row: {why}. Add --header or "
        "--no-header."
    )


def _is_name(target: str, width: int) -> bool:
    try:
        return not -width <= int(target) < width
    except ValueError:
        return True


def _column(below: Rows, place: int) -> list[str]:
    return [row[place].strip() for row in below]


def _recurs(first: Sequence[str], below: Rows, place: int) -> bool:
    return first[place] in _column(below, place)


def _is_numeric(below: Rows, place: int, missing: Collection[str]) -> bool:
    cells = [cell for cell in _column(below, place) if cell not in missing]
    return bool(cells) and all(map(is_number, cells))


def _has_point(below: Rows, place: int) -> bool:
    return any("." in cell and is_number(cell) for cell in _column(below, place))


def _is_unlike(first: Sequence[str], below: Rows, place: int) -> bool:
    """Whether every text of the column occurs several times, but for the first."""
    counts = Counter(_column(below, place))
    return bool(counts) and first[place] not in counts and min(counts.values()) > 1


def _lies_far(
    first: Sequence[str], below: Rows, places: Sequence[int], missing: Collection[str]
) -> bool:
    """Whether distinct whole numbers lie outside the range of every column by more than it."""
    if len({first[place] for place in places}) < len(places) or len(below) < 3:
        return False
    for place in places:
        cells = [cell for cell in _column(below, place) if cell not in missing]
        if not cells or not all(map(is_number, cells)) or "." in first[place]:
            return False
        values = [float(cell) for cell in cells]
        low, high = min(values), max(values)
        own = float(first[place])
        if low - (high - low) <= own <= high + (high - low):
            return False
    return True
