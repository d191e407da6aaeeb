"""Lines of text as rows of cells: encoding, delimiter, quotes."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass

DELIMITERS = ",;\t|"

SAMPLE_ROWS = 20
"""Rows that choose the delimiter."""

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Lines:
    """Rows of text.

    Parameters
    ----------
    rows : list of list of str
        Cells, as written.
    numbers : list of int
        The line of the file in which each row ends, from 1.
    """

    rows: list[list[str]]
    numbers: list[int]


def decode(where: str, data: bytes, encoding: str | None) -> str:
    """Return the text of a file.

    Parameters
    ----------
    where : str
        Name of the file, for messages.
    data : bytes
        What it holds.
    encoding : str or None
        Encoding that was asked for; by default UTF-8, with or without a mark at the start.

    Raises
    ------
    ValueError
        If the bytes are not text in this encoding.
    """
    try:
        text = data.decode(encoding or "utf-8-sig")
    except LookupError:
        raise ValueError(
            f"--encoding {encoding} is unknown. Use utf-8, latin-1, cp1252 or utf-16."
        ) from None
    except UnicodeError:
        guess = "utf-16" if data.startswith(UTF_16) else "latin-1 or cp1252"
        raise ValueError(
            f"{where} is not text in {encoding or 'UTF-8'}. If it is a table in another encoding, "
            f"add --encoding, for example {guess}."
        ) from None
    return text.removeprefix("\ufeff")


def read_lines(where: str, text: str, delimiter: str | None) -> Lines:
    """Return the rows of a text; empty lines are left out.

    Parameters
    ----------
    where : str
        Name of the file, for messages.
    text : str
        What it holds.
    delimiter : str or None
        What stands between cells. By default comma, semicolon, tab or bar: the first that cuts
        the first rows into the same number of cells, at least two.

    Raises
    ------
    ValueError
        For an empty file, quotes that do not close, and rows of unlike length.
    """
    # A limit on the length of a cell guards readers of streams; this text is in memory already.
    before = csv.field_size_limit(sys.maxsize if sys.maxsize < 1 << 31 else (1 << 31) - 1)
    try:
        return _parse(where, text, delimiter or _delimiter(text))
    finally:
        csv.field_size_limit(before)


def _parse(where: str, text: str, delimiter: str) -> Lines:
    lines = Lines([], [])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if row:
                lines.rows.append(row)
                lines.numbers.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(
            f"{where}, line {reader.line_num}: {error}. Check the quotes around its cells."
        ) from None
    if not lines.rows:
        raise ValueError(f"{where} is empty.")
    width = len(lines.rows[0])
    for row, number in zip(lines.rows, lines.numbers, strict=True):
        if len(row) != width:
            raise ValueError(f"{where}, line {number}: {len(row)} cells, {width} before.")
    return lines


def _delimiter(text: str) -> str:
    found = {mark: _widths(text, mark) for mark in DELIMITERS}
    for mark, widths in found.items():
        if len(set(widths)) == 1 and widths[0] > 1:
            return mark
    # Rows of unlike length: the mark that cuts the first one most often shows where.
    return max(found, key=lambda mark: next(iter(found[mark]), 0))


def _widths(text: str, delimiter: str) -> Sequence[int]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    widths: list[int] = []
    with contextlib.suppress(csv.Error):  # read_lines says what is wrong
        for row in rows:
            if row:
                widths.append(len(row))
            if len(widths) == SAMPLE_ROWS:
                break
    return widths
