"""What the chosen columns of a table hold: features as numbers, targets as numbers or labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastbcd.cli import cells as cell_rules
from fastbcd.cli.cells import CellError
from fastbcd.cli.columns import AUTO, Chosen, Text
from fastbcd.cli.one_hot import MARK, MOST_TEXTS, encode
from fastbcd.utils.types import Float

FEW_CLASSES = 20
"""More distinct whole numbers than this, and than a tenth of the rows, may be quantities."""

EXACT = {"f": 1 << 24, "d": 1 << 53}
"""Above these, not every whole number exists in float32 and float64."""


class TextRules(Protocol):
    """What :class:`fastbcd.cli.tables.Rules` says of cells."""

    @property
    def missing(self) -> Collection[str]:
        """Texts that mean a missing value."""

    @property
    def types(self) -> Mapping[str, str]:
        """Types of columns."""

    @property
    def one_hot(self) -> tuple[str, ...]:
        """Columns that become one-hot."""


def features(
    text: Text, chosen: Chosen, dtype: Any, rules: TextRules
) -> tuple[Float, list[str] | None]:
    """Return the features (n, d) and their names, if there are any.

    Raises
    ------
    ValueError
        For a cell that is missing or not a number.
    """
    parts: dict[str, NDArray[np.float64]] = {}
    for place in chosen.features:
        name = text.name(place)
        own = _stripped(text, place)
        texts = chosen.one_hot.get(place)
        as_text = rules.types.get(name) == "text"
        if place in chosen.one_hot or _is_hot(text, place, own, rules):
            parts |= _one_hot(text, place, own, texts, rules)
            continue
        if as_text:
            raise ValueError(
                f"{text.where}: the column {name} is text by --dtype, and a network needs numbers. "
                f"Add --one-hot {name}, or --drop {name}."
            )
        try:
            found = cell_rules.numbers(own, rules.missing)
        except CellError as error:
            if not cell_rules.is_number(own[error.place]) and chosen.target is None:
                error.complaint += " Is it the target? Name it by --target."
            elif own[error.place] not in rules.missing:
                error.complaint += " Texts can become numbers by --one-hot COLUMN; or --drop it."
            raise text.error(place, error) from None
        if found.note and chosen.recipe is None:  # said in training, and the same now
            text.notes.append(f"column {name}: {found.note}")
        parts[name] = found.values
    order = list(parts) if chosen.recipe is None else chosen.recipe.names
    if text.names is None:
        order = list(parts)
    x = np.empty((len(text.places), len(order)), dtype)
    for column, name in enumerate(order):
        values = parts[name]
        with np.errstate(over="ignore"):
            x[:, column] = values
        _check_width(text, name, values, x[:, column])
    return x, None if text.names is None else order


def _check_width(text: Text, name: str, values: NDArray[np.float64], narrow: Float) -> None:
    """Refuse numbers beyond the type of the features, and note those that it rounds."""
    if not np.isfinite(narrow).all():
        row = int(np.argmin(np.isfinite(narrow)))
        raise ValueError(
            f"{text.where}, {text.unit} {text.places[row]}, column {name}: {values[row]:g} is too "
            "large for float32. Add --double, or divide the column by a constant."
        )
    whole = (np.abs(values) > EXACT[narrow.dtype.char]) & (values == np.rint(values))
    if (narrow[whole] != values[whole]).any():
        text.notes.append(
            f"column {name}: whole numbers above {EXACT[narrow.dtype.char]} are rounded in "
            f"{narrow.dtype}. Add --double to keep more digits"
        )


def _is_hot(text: Text, place: int, own: list[str], rules: TextRules) -> bool:
    """Whether ``--one-hot auto`` takes the column: it holds text."""
    if AUTO not in rules.one_hot:
        return False
    name = text.name(place)
    if rules.types.get(name) == "text":
        return True
    present = [cell for cell in own if cell not in rules.missing]
    if all(map(cell_rules.is_number, present)):
        return False
    if all(cell.lower() in cell_rules.BOOLEANS for cell in present):
        return False
    count = len(set(present))
    if count > MOST_TEXTS:
        raise ValueError(
            f"{text.where}: the column {name} has {count} different texts, which is many for "
            f"--one-hot auto. Add --drop {name}, or --one-hot {name} if it shall have as many "
            "features."
        )
    return True


def _one_hot(
    text: Text, place: int, own: list[str], texts: list[str] | None, rules: TextRules
) -> dict[str, NDArray[np.float64]]:
    name = text.name(place)
    if text.names is None:
        raise ValueError(
            f"--one-hot needs a header, as the features are named after it; {text.where} has none."
        )
    if texts is None and MARK in name:
        raise ValueError(f"--one-hot cannot use the column {name!r}: rename it without {MARK!r}.")
    known = texts or sorted(set(own))
    for row, cell in enumerate(own):
        try:
            cell_rules.check_present(row, cell, rules.missing)
            if cell not in known:
                raise CellError(
                    row,
                    f"{cell_rules.shown(cell)} was not in the table that the model was trained "
                    f"on: {cell_rules.shown(', '.join(known))[1:-1]}.",
                )
        except CellError as error:
            raise text.error(place, error) from None
    encoded = encode(own, known)
    if texts is None:
        text.notes.append(f"column {name}: one-hot, {len(known)} features")
    return {f"{name}{MARK}{value}": encoded[:, k] for k, value in enumerate(known)}


def targets(
    text: Text,
    chosen: Chosen,
    rules: TextRules,
    regression: bool,
    classes: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Return the targets: numbers for a regression, else labels.

    Raises
    ------
    ValueError
        For a cell that is missing, or that cannot be read so.
    """
    assert chosen.target is not None
    own = _stripped(text, chosen.target, noted=True)
    name = text.name(chosen.target)
    kind = rules.types.get(name)
    try:
        if regression:
            found = cell_rules.numbers(own, rules.missing)
            if found.note:
                text.notes.append(f"column {name}: {found.note}")
            return found.values
        if classes is not None:
            y = cell_rules.known_labels(own, classes, rules.missing)
            _note_unknown(text, name, y, classes)
            return y
        if kind == "text":
            for row, cell in enumerate(own):
                cell_rules.check_present(row, cell, rules.missing)
            return np.array(own)
        if kind == "number":
            values = cell_rules.numbers(own, rules.missing).values
            whole = (values == np.rint(values)).all() and np.abs(values).max() < EXACT["d"]
            return values.astype(np.int64) if whole else values
        y = cell_rules.labels(own, rules.missing)
    except CellError as error:
        raise text.error(chosen.target, error) from None
    count = len(set(own))
    if y.dtype.kind in "if" and count > max(FEW_CLASSES, len(y) / 10):
        text.notes.append(
            f"the target {name} has {count} different whole numbers in {len(y)} rows, and each is "
            "a class. If they are quantities, add --regression"
        )
    return y


def _note_unknown(text: Text, name: str, y: NDArray[Any], classes: NDArray[Any]) -> None:
    known = set(classes.tolist())
    unknown = [label for label in y.tolist() if label not in known]
    if unknown:
        text.notes.append(
            f"the target {name} has {len(unknown)} rows with a label that the model does not "
            f"know, such as {cell_rules.shown(str(unknown[0]))}; they count as errors"
        )


def _stripped(text: Text, place: int, noted: bool = False) -> list[str]:
    own = [cell.strip() for cell in text.columns[place]]
    if noted and own != text.columns[place]:
        text.notes.append(f"column {text.name(place)}: spaces around labels are removed")
    return own
