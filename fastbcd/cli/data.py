"""Tables for a model, rows held out, and scores."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from fastbcd.cli.cells import MISSING
from fastbcd.cli.messages import note
from fastbcd.cli.tables import Rules, Table, read_table


def rules_of(options: Namespace) -> Rules:
    """Return how the options ask for tables to be read."""
    return Rules(
        header=options.header,
        delimiter=options.delimiter,
        encoding=options.encoding,
        missing=MISSING if options.na is None else tuple(options.na),
        drop=tuple(options.drop or ()),
        types=dict(options.dtype or ()),
        one_hot=tuple(getattr(options, "one_hot", None) or ()),
    )


def table_to_fit(options: Namespace) -> Table:
    """Read the table that a network is trained on, with its targets."""
    dtype = np.float64 if options.double else np.float32
    table = read_table(
        options.data, options.target, dtype, rules_of(options), regression=options.regression
    )
    tell_notes(table, options)
    assert table.y is not None
    if not options.regression and table.y.dtype.kind == "f":
        broken = table.y[table.y != np.rint(table.y)]
        if broken.size:
            raise ValueError(
                f"The targets are numbers with a fraction such as {broken[0]:g}. Add --regression."
            )
    if not options.regression and len(np.unique(table.y)) < 2:
        raise ValueError(
            f"{options.data}: every row has the target {table.y[0]}. A classifier needs two "
            "classes at least."
        )
    return table


def table_for(model: Any, path: str, options: Namespace, target: str | None) -> Table:
    """Read the columns that ``model`` was trained on, in its order and type."""
    names = getattr(model, "feature_names_in_", None)
    wanted = None if names is None else [str(name) for name in names]
    coefs = getattr(model, "coefs_", None)
    dtype = np.float32 if coefs is None else coefs[0].dtype
    classes = getattr(model, "classes_", None)
    knows = hasattr(model, "predict")  # a PyTorch module does not say what its outputs are
    regression = classes is None if knows else getattr(options, "regression", False)
    table = read_table(
        path,
        target,
        dtype,
        rules_of(options),
        wanted=wanted,
        regression=regression,
        classes=classes,
    )
    tell_notes(table, options)
    n_features: Any = getattr(model, "n_features_in_", table.x.shape[1])
    found = table.x.shape[1]
    if found == n_features + 1 and target is None:
        raise ValueError(
            f"{path} has {found} columns, the model takes {n_features}. If one of them is the "
            "target, name it by --target."
        )
    if found != n_features:
        known = "" if wanted is None else f": {', '.join(wanted)}"
        raise ValueError(f"{path} has {found} features, the model takes {n_features}{known}.")
    return table


def tell_notes(table: Table, options: Namespace) -> None:
    """Print what the rules of reading changed."""
    for text in table.notes:
        note(text, getattr(options, "quiet", False))


def split(table: Table, share: float, seed: int, by_class: bool) -> tuple[Table, Table]:
    """Divide the rows into two tables; ``share`` of them go into the second.

    Parameters
    ----------
    table : Table
        With targets, or without.
    share : float
        Between 0 and 1.
    seed : int
        Of the division.
    by_class : bool
        Whether each class is divided by itself, if it has two rows or more.

    Raises
    ------
    ValueError
        If that leaves either without a row.
    """
    n = len(table.x)
    if not 1 <= round(share * n) < n:
        raise ValueError(
            f"--test-size {share:g} of {n} rows leaves no rows to test on, or none to train on."
        )
    stratify = None
    if by_class and table.y is not None:
        counts = np.unique(table.y, return_counts=True)[1]
        if counts.min() > 1 and min(round(share * n), n - round(share * n)) >= len(counts):
            stratify = table.y
    kept, held = train_test_split(
        np.arange(n), test_size=round(share * n), random_state=seed, stratify=stratify
    )
    return _rows(table, np.sort(kept)), _rows(table, np.sort(held))


def _rows(table: Table, rows: Any) -> Table:
    y = None if table.y is None else table.y[rows]
    return Table(table.x[rows], y, table.names)


def score_name(model: Any) -> str:
    """Return what the score of a model is called."""
    return "accuracy" if hasattr(model, "classes_") else "R2"


def score(model: Any, table: Table) -> float:
    """Return the model's own score."""
    found: float = model.score(table.x, table.y)
    return found
