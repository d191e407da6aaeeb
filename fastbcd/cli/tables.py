"""Tables that the command line reads: CSV, Parquet and NumPy's .npz and .npy."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.cli import csv_text
from fastbcd.cli.arrays import read_arrays
from fastbcd.cli.cells import MISSING
from fastbcd.cli.columns import Text, choose
from fastbcd.cli.contents import features, targets
from fastbcd.cli.headers import has_header
from fastbcd.cli.one_hot import Recipe
from fastbcd.cli.parquet import read_parquet
from fastbcd.utils.types import Float

STDIN = "-"


@dataclass(frozen=True)
class Rules:
    """How the text of a table is read.

    Parameters
    ----------
    header : bool, optional
        Whether the first line is a header; by default that is decided from the text.
    delimiter, encoding : str, optional
        By default found from the text, and UTF-8.
    missing : collection of str
        Texts that mean a missing value.
    drop : tuple of str
        Names or numbers of columns that are left out.
    types : mapping of str to str
        "number" or "text" for columns that are not to be guessed.
    one_hot : tuple of str
        Columns of text that become one column of 0 and 1 for each text, or "auto" for all.
    """

    header: bool | None = None
    delimiter: str | None = None
    encoding: str | None = None
    missing: Collection[str] = MISSING
    drop: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    one_hot: tuple[str, ...] = ()


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
    notes : list of str
        What the rules changed or left out, for the user to read.
    """

    x: Float
    y: NDArray[Any] | None
    names: list[str] | None
    notes: list[str] = field(default_factory=list)


def read_table(
    path: str,
    target: str | None,
    dtype: Any = np.float32,
    rules: Rules | None = None,
    *,
    wanted: Sequence[str] | None = None,
    regression: bool = False,
    classes: NDArray[Any] | None = None,
) -> Table:
    """Read a table.

    Parameters
    ----------
    path : str
        ``.npz`` with the arrays ``X`` and, for targets, ``y``; ``.npy`` with the features alone;
        ``.parquet``; else text, one row per line; "-" is text from the standard input.
    target : str or None
        Column of the targets: a name of the header, or a number from 0, negative from the end.
        Of ``.npz``, the name of the array.
    dtype : dtype
        Type of the features.
    rules : Rules, optional
        How text is read.
    wanted : sequence of str, optional
        Names of the features that a model needs, in its order; other columns are left out. A name
        such as ``color=red`` also stands for the column ``color``, one-hot. By default all
        columns but the target.
    regression : bool, default=False
        Whether the targets are numbers rather than labels.
    classes : array, optional
        Labels that a model knows; those of the table are read to be compared with them.

    Raises
    ------
    ValueError
        If it is no such table; the message names the line and the column.
    OSError
        If it cannot be read.
    ImportError
        For Parquet without its extra.
    """
    rules = rules or Rules()
    suffix = Path(path).suffix.lower()
    if suffix in (".npz", ".npy"):
        x, y = read_arrays(path, target, dtype)
        return Table(x, y, None)
    recipe = None if wanted is None else Recipe.of_names(wanted)
    if suffix in (".parquet", ".pq"):
        names, columns = read_parquet(path)
        text = Text(path, names, columns, list(range(len(columns[0]) if columns else 0)), "row")
    else:
        text = _read_text(path, target, rules, recipe)
    if not text.columns or not text.places:
        raise ValueError(f"{text.where} has a header and no rows.")
    types = {text.name(text.find(name, "--dtype")[0]): kind for name, kind in rules.types.items()}
    rules = replace(rules, types=types)
    chosen = choose(text, target, rules.drop, recipe, rules.one_hot)
    x, feature_names = features(text, chosen, dtype, rules)
    if target is None:
        return Table(x, None, feature_names, text.notes)
    y = targets(text, chosen, rules, regression, classes)
    return Table(x, y, feature_names, text.notes)


def _read_text(path: str, target: str | None, rules: Rules, recipe: Recipe | None) -> Text:
    if path == STDIN:
        where, data = "standard input", sys.stdin.buffer.read()
    else:
        where, data = path, Path(path).read_bytes()
    content = csv_text.decode(where, data, rules.encoding)
    lines = csv_text.read_lines(where, content, rules.delimiter)
    header, note = rules.header, ""
    if header is None:
        expected = () if recipe is None else recipe.plain
        header, note = has_header(where, lines.rows, expected, target, rules.missing)
    rows = lines.rows[1:] if header else lines.rows
    names = [name.strip() for name in lines.rows[0]] if header else None
    columns = [list(column) for column in zip(*rows, strict=True)]
    text = Text(where, names, columns, lines.numbers[1:] if header else lines.numbers, "line")
    if note:
        text.notes.append(note)
    return text
