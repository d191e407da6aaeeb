"""Parameters and labels as JSON, and back; nothing that a file names is run.

Numbers, strings, booleans and None are themselves and a list is a list. What JSON lacks is an
object with one key that names the type: ``{"tuple": [...]}``, ``{"dict": [[key, value], ...]}``
(keys need not be strings), ``{"scheme": ["Prune", {...}]}``, ``{"layer": ["Conv2D", {...}]}``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastbcd.io.codecs.container import expect

Known: TypeAlias = Mapping[str, Mapping[str, Any]]

MAX_LABEL_BYTES = 1 << 26
"""The most that class labels may take; a file can ask for longer strings than it holds."""


def to_plain(name: str, value: Any, known: Known | None = None) -> Any:
    """Return ``value``, the parameter ``name``, in terms of JSON.

    Parameters
    ----------
    name : str
        Name of the parameter, for messages.
    value : object
        Its value.
    known : mapping of str to mapping of str to dataclass, optional
        The dataclasses that a file may hold, by kind and name.

    Raises
    ------
    ValueError
        If a file cannot hold it; the message says what to set instead.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    if isinstance(value, tuple | list):
        items = [to_plain(name, item, known) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    for kind, classes in (known or {}).items():
        if type(value) in classes.values():
            given = {f.name: to_plain(name, getattr(value, f.name), known) for f in fields(value)}
            return {kind: [type(value).__name__, given]}
    if isinstance(value, Mapping):
        pairs = [[to_plain(name, key), to_plain(name, item, known)] for key, item in value.items()]
        return {"dict": pairs}
    raise ValueError(
        f"A file cannot hold {name}={value!r}, only numbers, strings, tuples, lists, dicts and the "
        f"schemes of fastbcd. Change it before saving, e.g. estimator.set_params({name}=None)."
    )


def from_plain(value: Any, known: Known | None = None) -> Any:
    """Return what :func:`to_plain` wrote; ``known`` as there.

    Raises
    ------
    DamagedError
        If it wrote no such thing.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [from_plain(item, known) for item in value]
    expect(isinstance(value, dict) and len(value) == 1, "a parameter is not written as one")
    ((kind, content),) = value.items()
    if kind == "tuple" and isinstance(content, list):
        return tuple(from_plain(item, known) for item in content)
    if kind == "dict" and isinstance(content, list):
        return {from_plain(key): from_plain(item, known) for key, item in content}
    if known is not None and kind in known and isinstance(content, list) and len(content) == 2:
        name, given = content
        classes = known[kind]
        newer = "a newer fastbcd wrote it? pip install -U fastbcd"
        expect(
            name in classes and isinstance(given, dict), f"the {kind} {name!r} is unknown ({newer})"
        )
        names = {field.name for field in fields(classes[name])}
        expect(set(given) <= names, f"{name} has a parameter that is unknown here ({newer})")
        return classes[name](**{key: from_plain(v, known) for key, v in given.items()})
    expect(False, f"a parameter is of the unknown kind {kind!r}")
    return None


def labels_to_plain(labels: NDArray[Any], name: str) -> list[Any]:
    """Return labels as [dtype, [label, ...]].

    Raises
    ------
    ValueError
        For labels that are neither numbers nor strings.
    """
    items = labels.tolist()
    text = labels.dtype.kind == "O" and all(isinstance(item, str | int | float) for item in items)
    if not (text or labels.dtype.kind in "biufU"):
        raise ValueError(
            f"A file cannot hold {name} of type {labels.dtype}: {items[:3]!r}. "
            "Train with labels that are numbers or strings."
        )
    return [labels.dtype.newbyteorder("=").str, items]


def labels_from_plain(plain: Any, name: str) -> NDArray[Any]:
    """Return the labels that :func:`labels_to_plain` wrote.

    Raises
    ------
    DamagedError
        If it wrote no such thing.
    """
    code, items = plain
    expect(isinstance(code, str) and isinstance(items, list), f"{name} are not labels")
    kinds = {"b": bool, "i": int, "u": int, "f": float, "U": str, "O": (str, int, float)}
    try:
        dtype = np.dtype(code)
    except (TypeError, ValueError):
        dtype = np.dtype("V1")
    allowed: Any = kinds.get(dtype.kind, ())
    expect(
        dtype.names is None and all(isinstance(item, allowed) for item in items),
        f"{name} are no labels",
    )
    expect(len(items) * dtype.itemsize <= MAX_LABEL_BYTES, f"{name} take too much memory")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 1 wraps large integers
        labels = np.array(items, dtype)
    same = labels.shape == (len(items),) and labels.tolist() == items
    expect(same, f"{name} do not fit their type")
    return labels
