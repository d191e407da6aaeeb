"""The inputs of a Pipeline that takes columns by their names, as skl2onnx declares them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline

LEARNED = ("categories_", "statistics_", "classes_")
"""Attributes of a fitted step that hold values of its columns: one array of values for each column,
or one value. Their type is that of the columns."""


def named_columns(pipeline: Any) -> dict[str, str] | None:
    """Return the kind of each column that a fitted Pipeline takes by its name.

    Returns
    -------
    dict of str to {"number", "single", "integer", "string", "boolean"}, or None
        In the order of the data; columns that nothing reads are left out. "single" are numbers
        that an imputer takes: ONNX Runtime has none of double precision. None if the Pipeline
        takes its columns by their places.
    """
    first = _first(pipeline)
    names = getattr(first, "feature_names_in_", None)
    if names is None or not isinstance(first, ColumnTransformer):
        return None
    read = list(_columns_read(first, list(names)))
    if not any(by_name for _, _, by_name in read):
        return None
    kinds: dict[str, str] = {}
    for name, kind, _ in read:
        if kinds.get(name, "number") == "number":  # another step may know more of the column
            kinds[name] = kind
    by_place = not all(by_name for _, _, by_name in read)
    # Where some are taken by their places, all have to be there.
    return {name: kinds.get(name, "number") for name in names if by_place or name in kinds}


def _first(step: Any) -> Any:
    """Return the first step that does anything."""
    while isinstance(step, Pipeline):
        steps = [s for _, s in step.steps if s is not None and not isinstance(s, str)]
        if not steps:
            return None
        step = steps[0]
    return step


def _columns_read(
    transformer: ColumnTransformer, names: list[str]
) -> Iterator[tuple[str, str, bool]]:
    """Yield name and kind of each column that is read, and whether it is read by its name."""
    for _, step, columns in transformer.transformers_:
        if isinstance(step, str) and step == "drop":
            continue
        by_name = isinstance(columns, str) or (
            isinstance(columns, list | np.ndarray)
            and len(columns) > 0
            and isinstance(columns[0], str)
        )
        chosen = columns if isinstance(columns, str) else list(_chosen(columns, names))
        if isinstance(chosen, str):
            yield chosen, _kind(step, 0, "string"), by_name
            continue
        for place, name in enumerate(chosen):
            yield name, _kind(step, place, "number"), by_name


def _chosen(columns: Any, names: list[str]) -> NDArray[Any]:
    """Return the names of columns that are given in one of scikit-learn's ways."""
    every = np.array(names, dtype=object)
    if isinstance(columns, slice) and isinstance(columns.start or columns.stop, str):
        low = 0 if columns.start is None else names.index(columns.start)
        high = len(names) if columns.stop is None else names.index(columns.stop) + 1
        return every[low : high : columns.step]
    if isinstance(columns, slice):
        return every[columns]
    found = np.atleast_1d(np.asarray(columns))
    return found.astype(object) if found.dtype.kind in "OU" else every[found]


def _kind(step: Any, place: int, otherwise: str) -> str:
    """Return the kind of the column at ``place`` among those that a fitted step takes."""
    step = _first(step)
    if isinstance(step, FeatureUnion):
        step = _first(step.transformer_list[0][1])
    if isinstance(step, ColumnTransformer):
        names = list(getattr(step, "feature_names_in_", range(step.n_features_in_)))
        kinds = [kind for name, kind, _ in _columns_read(step, names) if name == names[place]]
        return next((kind for kind in kinds if kind != "number"), "number")
    for attribute in LEARNED:
        values = getattr(step, attribute, None)
        if values is not None and len(values) > place:
            kind = _kind_of(np.asarray(values[place]))
            return "single" if kind == "number" and isinstance(step, SimpleImputer) else kind
    # A text of one column, as of CountVectorizer, is given by its name alone.
    return otherwise if hasattr(step, "vocabulary_") else "number"


def _kind_of(values: NDArray[Any]) -> str:
    if values.dtype.kind == "O":
        kinds = {type(v) for v in values.ravel().tolist()} - {type(None), float}
        if kinds <= {bool, np.bool_} and kinds:
            return "boolean"
        if kinds <= {int, np.int64} and kinds:
            return "integer"
        return "string" if kinds else "number"
    return {"b": "boolean", "i": "integer", "u": "integer", "U": "string"}.get(
        values.dtype.kind, "number"
    )
