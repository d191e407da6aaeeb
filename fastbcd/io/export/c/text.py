"""Names, numbers, strings and arrays as C text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST_NAME = 40
"""Characters of a name: with our suffixes it stays within the 63 that C99 tells apart."""

WIDTH = 100
"""Columns of the generated file."""


def identifier(name: str | None, path: PurePath) -> str:
    """Return the prefix of all names in the header: ``name``, or one made of the file's name.

    Raises
    ------
    ValueError
        If ``name`` cannot begin a C identifier, or is reserved by the language.
    """
    if name is None:
        return _made_of(path.stem)
    valid = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", str(name), re.ASCII)
    if not valid or "__" in name or len(name) > LONGEST_NAME:
        raise ValueError(
            f"name must be a C identifier of at most {LONGEST_NAME} ASCII letters, digits and "
            "single underscores that starts with a letter; "
            f"got {name!r}. Try {_made_of(str(name))!r}."
        )
    return name


def _made_of(text: str) -> str:
    made = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:LONGEST_NAME].rstrip("_")
    if not made:
        return "net"
    return made if made[0].isalpha() else f"net_{made}"[:LONGEST_NAME].rstrip("_")


def real(value: Any) -> str:
    """Return the shortest literal that a C compiler reads as the same float."""
    text = str(np.float32(value))
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def integer(value: Any) -> str:
    """Return an integer literal; the types' lowest values need care."""
    number = int(value)
    if number == -(2**63):
        return "(-9223372036854775807LL - 1)"
    if number == -(2**31):
        return "(-2147483647 - 1)"
    if -(2**31) < number < 2**31:
        return str(number)
    return f"{number}LL" if number < 2**63 else f"{number}ULL"


def string(text: str) -> str:
    """Return a string literal in UTF-8, safe from trigraphs, comments and template marks."""
    plain = re.compile(rb"[A-Za-z0-9 .,:;_+\-]")
    encoded = text.encode("utf-8", "surrogatepass")
    return '"' + "".join(
        chr(byte) if plain.match(bytes([byte])) else f"\\{byte:03o}" for byte in encoded
    ) + '"'  # fmt: skip


def array(c_type: str, name: str, literals: Iterable[str]) -> str:
    """Return the definition of a constant array."""
    items = list(literals)
    return f"static const {c_type} {name}[{len(items)}] = {{\n{_wrapped(items)}\n}};\n"


def _wrapped(items: Sequence[str]) -> str:
    lines: list[str] = []
    row: list[str] = []
    width = 0
    for item in items:
        if row and width + len(item) + 1 > WIDTH - 4:
            lines.append("    " + ",".join(row) + ",")
            row, width = [], 0
        row.append(item)
        width += len(item) + 1
    return "\n".join([*lines, "    " + ",".join(row)])


class Tables:
    """The constant arrays of a header; equal ones are written once."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, bytes], str] = {}
        self.definitions: list[str] = []
        self.n_bytes: int = 0

    def add(self, values: NDArray[Any], hint: str) -> str:
        """Return the name of an array of these values: float32, or 8-, 16- or 32-bit integers."""
        c_type = TYPES[values.dtype.name]
        key = (c_type, values.tobytes())
        if key not in self._names:
            name = f"@{hint}"
            if any(name == taken for taken in self._names.values()):
                name += f"_{len(self._names)}"
            write = real if values.dtype.kind == "f" else integer
            self.definitions.append(array(c_type, name, map(write, values.ravel())))
            self._names[key] = name
            self.n_bytes += values.nbytes
        return self._names[key]


TYPES = {
    "float32": "float",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
}
"""C types of the arrays in :class:`Tables`, by the names of NumPy's."""
