"""Columns of text: which ones are features and which is the target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fastbcd.cli.cells import CellError, shown
from fastbcd.cli.one_hot import Recipe

UNNAMED = ("", "Unnamed: 0")
"""Names of a first column in which pandas and R write the names of rows."""

AUTO = "auto"

ENOUGH = 10
"""Rows from which on a column 0, 1, 2, .. is taken for an index."""


@dataclass(frozen=True)
class Text:
    """A table of text.

    Parameters
    ----------
    where : str
        Name of the file.
    names : list of str or None
        The header.
    columns : list of list of str
        Cells, as written.
    places : list of int
        Where each row is: a line from 1, or a row from 0.
    unit : str
        "line" or "row".
    notes : list of str
        What the user is told.
    """

    where: str
    names: list[str] | None
    columns: list[list[str]]
    places: list[int]
    unit: str
    notes: list[str] = field(default_factory=list)

    def name(self, column: int) -> str:
        """Return what messages call a column."""
        return str(column) if self.names is None else self.names[column]

    def error(self, column: int, error: CellError) -> ValueError:
        """Return the error with its place in the file."""
        place = f"{self.unit} {self.places[error.place]}"
        complaint = error.complaint.replace("COLUMN", self.name(column))
        return ValueError(f"{self.where}, {place}, column {self.name(column)}: {complaint}")

    def find(self, wanted: str, option: str) -> list[int]:
        """Return the columns that a name or a number stands for.

        A name of the header goes before a number; several columns may have it.
        """
        if self.names is not None and wanted in self.names:
            return [place for place, name in enumerate(self.names) if name == wanted]
        width = len(self.columns)
        try:
            number = int(wanted)
        except ValueError:
            if self.names is None:
                found = "it has no header; give a number, or add --header if it has one"
            else:
                found = f"it has {shown(', '.join(self.names))[1:-1]}"
            raise ValueError(
                f"{self.where} has no column {wanted!r} ({option}); {found}."
            ) from None
        if not -width <= number < width:
            raise ValueError(
                f"{self.where} has {width} columns; there is no column {number} ({option})."
            )
        return [number % width]


@dataclass(frozen=True)
class Chosen:
    """Which columns are read.

    Parameters
    ----------
    features : list of int
        Columns of numbers, in the order of the features; those of one-hot texts are among them.
    target : int or None
        Column of the targets.
    one_hot : dict of int to list of str or None
        Texts of each column that becomes one-hot; None for those found in it.
    recipe : Recipe or None
        The features of the model, if there is one.
    """

    features: list[int]
    target: int | None
    one_hot: dict[int, list[str] | None]
    recipe: Recipe | None = None


def choose(
    text: Text,
    target: str | None,
    drop: Iterable[str],
    recipe: Recipe | None,
    one_hot: Sequence[str] = (),
) -> Chosen:
    """Choose the columns of the features and of the target.

    Parameters
    ----------
    text : Text
        The table; what is left out by a rule is noted in it.
    target : str or None
        Name or number of the target.
    drop : iterable of str
        Names or numbers of columns to leave out.
    recipe : Recipe or None
        The features of a model; by default all columns are features.
    one_hot : sequence of str
        Columns of text that become one-hot.

    Raises
    ------
    ValueError
        For columns that are not there, names that occur twice, and columns without a name.
    """
    dropped = {place for name in drop for place in text.find(name, "--drop")}
    goal = None
    if target is not None:
        found = [place for place in text.find(target, "--target") if place not in dropped]
        if len(found) != 1:
            raise _twice(text, target) if found else ValueError(f"--drop leaves out {target!r}.")
        goal = found[0]
    width = len(text.columns)
    kept = [place for place in range(width) if place not in dropped and place != goal]
    if recipe is not None and text.names is not None:
        return _matched(text, recipe, goal, kept)
    if text.names is not None:
        kept = _without_index(text, kept)
        named = [*kept, *([] if goal is None else [goal])]
        counts = Counter(text.names[place] for place in named)
        for name, count in counts.items():
            if count > 1:
                raise _twice(text, name)
        for place in kept:
            if not text.names[place]:
                raise ValueError(
                    f"{text.where}: column {place} has no name in the header. Name it, or leave "
                    f"it out by --drop {place}."
                )
    if not kept:
        raise ValueError(f"{text.where} has no column besides the target.")
    hot: dict[int, list[str] | None] = {}
    for name in one_hot:
        if name != AUTO:
            hot |= dict.fromkeys((place for place in text.find(name, "--one-hot")), None)
    return Chosen(kept, goal, {place: None for place in hot if place in kept}, None)


def _twice(text: Text, name: str) -> ValueError:
    places = [str(place) for place, other in enumerate(text.names or []) if other == name]
    return ValueError(
        f"{text.where} has {len(places)} columns of the name {name!r}: columns "
        f"{', '.join(places)}. Rename them, or leave all but one out by --drop "
        f"{' --drop '.join(places[1:])}."
    )


def _matched(text: Text, recipe: Recipe, goal: int | None, kept: list[int]) -> Chosen:
    """Choose the columns that a model needs by their names."""
    names = [text.name(place) for place in kept]
    lost = recipe.missing(names)
    if lost:
        raise ValueError(
            f"{text.where} has no column {', '.join(lost)}, which the model needs. It has "
            f"{', '.join(names)}."
        )
    texts = recipe.texts(names)
    needed = [name for name in recipe.names if name in names]
    for name in [*needed, *texts]:
        if names.count(name) > 1:
            raise _twice(text, name)
    features = [kept[names.index(name)] for name in [*needed, *texts]]
    hot: dict[int, list[str] | None] = {kept[names.index(n)]: own for n, own in texts.items()}
    return Chosen(features, goal, hot, recipe)


def _without_index(text: Text, kept: list[int]) -> list[int]:
    """Leave out a first column without a name whose cells are all distinct: names of rows."""
    assert text.names is not None
    if not kept or kept[0] != 0:
        return kept
    distinct = len(set(text.columns[0])) == len(text.columns[0])
    counts = _counts_rows(text.columns[0])
    if text.names[0] in UNNAMED and distinct and len(text.columns) > 1:
        text.notes.append(
            "the first column has no name and a different value in each row; it is left out as "
            "names of rows. To use it, name it in the header"
        )
        return kept[1:]
    if counts:
        text.notes.append(
            f"the column {text.names[0]!r} counts the rows. If it is an index, add --drop "
            f"{text.names[0]}"
        )
    return kept


def _counts_rows(cells: Sequence[str]) -> bool:
    start = cells[0].strip()
    if start not in ("0", "1") or len(cells) < ENOUGH:
        return False
    return [cell.strip() for cell in cells] == [str(int(start) + row) for row in range(len(cells))]
