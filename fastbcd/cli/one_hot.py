"""Columns of text as columns of 0 and 1, one for each text.

The features are named ``column=text``, as ``pandas.get_dummies(frame, prefix_sep="=")`` names them.
The names are saved with a network, so they are all that is needed to read the next table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from fastbcd.utils.types import Float64

MARK = "="

MOST_TEXTS = 50
"""A column with more distinct texts is one-hot only if it is named."""


@dataclass(frozen=True)
class Recipe:
    """The features of a model.

    Parameters
    ----------
    names : list of str
        Names of all features, in the order of the model.
    """

    names: list[str]

    @classmethod
    def of_names(cls, names: Sequence[str]) -> Self:
        """Return the recipe that the names of features contain."""
        return cls(list(names))

    @property
    def plain(self) -> list[str]:
        """The names that contain no mark: these must be columns of the table."""
        return [name for name in self.names if MARK not in name]

    def texts(self, header: Sequence[str]) -> dict[str, list[str]]:
        """Return the texts of each column of ``header`` that the model has one-hot."""
        found: dict[str, list[str]] = {}
        for name in self.names:
            split = self.split(name, header)
            if split is not None:
                found.setdefault(split[0], []).append(split[1])
        return found

    def missing(self, header: Sequence[str]) -> list[str]:
        """Return the columns that the model needs and ``header`` does not have."""
        lost = [
            name for name in self.names if name not in header and self.split(name, header) is None
        ]
        return list(dict.fromkeys(lost))

    @staticmethod
    def split(name: str, header: Sequence[str]) -> tuple[str, str] | None:
        """Return column and text of a feature, or None if the header has no column for it."""
        if name in header:
            return None
        for place, letter in enumerate(name):
            if letter == MARK and name[:place] in header:
                return name[:place], name[place + 1 :]
        return None


def encode(cells: Sequence[str], texts: Sequence[str]) -> Float64:
    """Return (n, k) zeros and ones: which of the ``texts`` each cell is."""
    places = {text: place for place, text in enumerate(texts)}
    encoded = np.zeros((len(cells), len(texts)))
    encoded[np.arange(len(cells)), [places[cell] for cell in cells]] = 1.0
    return encoded
