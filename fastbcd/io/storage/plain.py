"""Parameters, schemes, labels and reports as JSON, and back; nothing that a file names is run.

Numbers, strings, booleans and None are themselves and a list is a list. What JSON lacks is an
object with one key that names the type: ``{"tuple": [...]}``, ``{"dict": [[key, value], ...]}``
(keys need not be strings), ``{"scheme": ["Prune", {...}]}``, ``{"layer": ["Conv2D", {...}]}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd import schemes
from fastbcd.compression.report import CompressionReport, LayerReport
from fastbcd.io.codecs.container import expect
from fastbcd.network.layers import specs as layers

MAX_LABEL_BYTES = 1 << 26
"""The most that class labels may take; a file can ask for longer strings than it holds."""


def to_plain(name: str, value: Any) -> Any:
    """Return ``value``, the parameter ``name``, in terms of JSON.

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
        items = [to_plain(name, item) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    for kind, known in KINDS.items():
        if type(value) in known().values():
            given = {f.name: to_plain(name, getattr(value, f.name)) for f in fields(value)}
            return {kind: [type(value).__name__, given]}
    if isinstance(value, Mapping):
        pairs = [[to_plain(name, key), to_plain(name, item)] for key, item in value.items()]
        return {"dict": pairs}
    raise ValueError(
        f"A file cannot hold {name}={value!r}, only numbers, strings, tuples, lists, dicts and the "
        f"schemes of fastbcd. Change it before saving, e.g. estimator.set_params({name}=None)."
    )


def from_plain(value: Any) -> Any:
    """Return what :func:`to_plain` wrote.

    Raises
    ------
    DamagedError
        If it wrote no such thing.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    expect(isinstance(value, dict) and len(value) == 1, "a parameter is not written as one")
    ((kind, content),) = value.items()
    if kind == "tuple" and isinstance(content, list):
        return tuple(from_plain(item) for item in content)
    if kind == "dict" and isinstance(content, list):
        return {from_plain(key): from_plain(item) for key, item in content}
    if kind in KINDS and isinstance(content, list) and len(content) == 2:
        name, given = content
        known = KINDS[kind]()
        newer = "a newer fastbcd wrote it? pip install -U fastbcd"
        expect(
            name in known and isinstance(given, dict), f"the {kind} {name!r} is unknown ({newer})"
        )
        names = {field.name for field in fields(known[name])}
        expect(set(given) <= names, f"{name} has a parameter that is unknown here ({newer})")
        return known[name](**{key: from_plain(v) for key, v in given.items()})
    expect(False, f"a parameter is of the unknown kind {kind!r}")
    return None


def _known_schemes() -> dict[str, Any]:
    """Return the schemes that the package offers by their names."""
    found = {name: getattr(schemes, name) for name in schemes.__all__}
    return {
        name: cls
        for name, cls in found.items()
        if isinstance(cls, type) and issubclass(cls, schemes.Scheme) and cls is not schemes.Scheme
    }


def _known_layers() -> dict[str, Any]:
    """Return the layers that ``hidden_layer_sizes`` may hold by their names."""
    return {name: getattr(layers, name) for name in layers.__all__}


KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "scheme": _known_schemes,
    "layer": _known_layers,
}
"""Dataclasses that a file may hold, by kind: only those of the package are ever made."""


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
    labels = np.array(items, dtype)
    same = labels.shape == (len(items),) and labels.tolist() == items
    expect(same, f"{name} do not fit their type")
    return labels


def report_to_plain(report: CompressionReport | None) -> Any:
    """Return the report as a table: names of the columns, then rows."""
    if report is None:
        return None
    names = [field.name for field in fields(LayerReport)]
    rows = [asdict(row) for row in (*report.layers, report.total)]
    return {
        "columns": names,
        "rows": [[to_plain(name, row[name]) for name in names] for row in rows],
        "scores": [to_plain("score", s) for s in (report.score_before, report.score_after)],
        "warnings": list(report.warnings),
    }


def report_from_plain(plain: Any) -> CompressionReport | None:
    """Return the report; columns that only another version knows are left out.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the table is not one.
    """
    if plain is None:
        return None
    known = {field.name for field in fields(LayerReport)}
    rows = [
        LayerReport(**{k: v for k, v in zip(plain["columns"], row, strict=True) if k in known})
        for row in plain["rows"]
    ]
    expect(len(rows) > 0, "its report is empty")
    before, after = plain["scores"]
    return CompressionReport(rows[:-1], rows[-1], before, after, tuple(plain["warnings"]))
