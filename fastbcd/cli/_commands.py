"""What the commands do, from parsed options to output."""

from __future__ import annotations

import csv
import io
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from fastbcd import schemes, storage
from fastbcd.cli._data import Table, read_table
from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.estimators.compress import compress
from fastbcd.utils.files import write_atomic

KINDS = {
    "prune": schemes.Prune,
    "low-rank": schemes.LowRank,
    "tensor-train": schemes.TensorTrain,
    "quantize": schemes.Quantize,
}

BUDGETS = ("max_bytes", "ratio", "max_score_drop")

PICKLES = (".pkl", ".pickle", ".joblib")


def fit(options: Namespace) -> None:
    """Train a network on a table and save it."""
    table = read_table(options.data, options.target, np.float64 if options.double else np.float32)
    assert table.y is not None
    cls = BCDRegressor if options.regression else BCDClassifier
    if not options.regression and table.y.dtype.kind == "f":
        raise ValueError(
            f"The targets are numbers with a fraction such as {table.y[0]}. "
            "Give --regression, or labels that are whole numbers or words."
        )
    estimator = cls(
        options.hidden,
        activation=options.activation,
        scheme=_scheme(options, len(options.hidden)),
        random_state=options.seed,
        verbose=options.verbose,
        **({} if options.max_iter is None else {"max_iter": options.max_iter}),
    )
    estimator.fit(table.x, table.y)
    if table.names is not None:
        estimator.feature_names_in_ = np.array(table.names, object)
    _save(estimator, options.output)
    print(f"score on these {len(table.x)} rows: {_score(estimator, table):.4f}")


def compress_model(options: Namespace) -> None:
    """Make a saved network small and save the result."""
    model = read_model(options.model, options.allow_pickle)
    table = _table_for(model, options)
    n_hidden = len(getattr(model, "coefs_", [])) - 1
    budget = {
        name: getattr(options, name) for name in BUDGETS if getattr(options, name) is not None
    }
    with _unnamed():
        small = compress(
            model,
            table.x,
            table.y,
            scheme=_scheme(options, n_hidden),
            random_state=options.seed,
            verbose=options.verbose,
            **({} if options.epochs is None else {"epochs": options.epochs}),
            **budget,
        )
    _save(small, options.output)


def report(options: Namespace) -> None:
    """Print what a saved network is and what compression did to it."""
    model = storage.load(options.model)
    sizes = [model.n_features_in_, *(layer.weight.shape[1] for layer in model.network_.layers)]
    print(f"{options.model}: {Path(options.model).stat().st_size} bytes")
    print(f"{type(model).__name__} {' - '.join(map(str, sizes))}")
    if isinstance(model, BCDClassifier):
        print(f"classes: {', '.join(map(str, model.classes_))}")
    if hasattr(model, "feature_names_in_"):
        print(f"features: {', '.join(model.feature_names_in_)}")
    print(model)
    print(getattr(model, "compression_report_", "no report"))


def export(options: Namespace) -> None:
    """Write a saved network in another form."""
    targets = {".onnx": "onnx", ".h": "c", ".pt": "torch"}
    kind = options.to or targets.get(Path(options.output).suffix.lower())
    if kind is None:
        raise ValueError(
            f"{options.output}: the ending names no target. End in {', '.join(targets)}, or give "
            "--to."
        )
    model = storage.load(options.model)
    if kind == "onnx":
        opset = {} if options.opset is None else {"target_opset": options.opset}
        model.to_onnx(options.output, **opset)
    elif kind == "c":
        x = None
        if options.data is not None:
            x = _table_for(model, options).x
        model.to_c(options.output, arithmetic=options.arithmetic, X=x)
    else:
        module = model.to_torch()
        import torch

        buffer = io.BytesIO()
        torch.save(module.state_dict(), buffer)
        write_atomic(options.output, buffer.getvalue())
    print(f"{options.output}: {Path(options.output).stat().st_size} bytes")


def predict(options: Namespace) -> None:
    """Print or write the predictions of a saved network for the rows of a table."""
    model = storage.load(options.model)
    table = _table_for(model, options)
    x = table.x
    with _unnamed():
        if not options.proba:
            found, header = model.predict(x), ["prediction"]
        elif isinstance(model, BCDClassifier):
            found, header = model.predict_proba(x), [str(label) for label in model.classes_]
        else:
            raise ValueError("--proba needs a classifier; this is a regressor. Leave it out.")
    rows = found.reshape(len(found), -1).tolist()
    if len(rows) and len(rows[0]) != len(header):
        header = [f"prediction_{index}" for index in range(len(rows[0]))]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    if options.output is None:
        sys.stdout.write(text.getvalue())
    else:
        write_atomic(options.output, text.getvalue().encode())
    if table.y is not None:
        print(f"score: {_score(model, table):.4f}", file=sys.stderr)


def read_model(path: str, allow_pickle: bool) -> Any:
    """Return a saved network, or a pickled one if that is allowed.

    Raises
    ------
    ValueError
        For a pickle that is not allowed, or a file that is no model.
    """
    if Path(path).suffix.lower() not in PICKLES:
        return storage.load(path)
    if not allow_pickle:
        raise ValueError(
            f"{path} is a pickle, which can run any code when it is opened. If you trust whoever "
            "made it, add --allow-pickle."
        )
    import joblib

    return joblib.load(path)


def _scheme(options: Namespace, n_hidden: int) -> Any:
    """Return the scheme that the options describe, or None."""
    amounts = {
        "prune": {"sparsity": options.sparsity},
        "low-rank": {"rank": options.rank},
        "tensor-train": {"rank": options.tt_rank},
        "quantize": {"bits": options.bits},
    }
    parts = []
    for kind, given in amounts.items():
        present = {name: value for name, value in given.items() if value is not None}
        if present or kind in (options.scheme or ()):
            parts.append(KINDS[kind](**present))
    hidden = reduce(add, parts) if parts else None
    if options.output_bits is None:
        return hidden
    by_layer: dict[int | str, Any] = dict.fromkeys(range(n_hidden), hidden)
    return {**by_layer, "output": schemes.Quantize(bits=options.output_bits)}


def _table_for(model: Any, options: Namespace) -> Table:
    """Read the columns that ``model`` was trained on, in its order and type."""
    names = getattr(model, "feature_names_in_", None)
    wanted = None if names is None else names.tolist()
    coefs = getattr(model, "coefs_", None)
    dtype = np.float32 if coefs is None else coefs[0].dtype
    table = read_table(options.data, options.target, dtype, wanted)
    if wanted is not None and table.names is not None and table.names != wanted:
        missing = [name for name in wanted if name not in table.names]
        raise ValueError(
            f"{options.data} has no column {', '.join(missing)}, which the model needs."
        )
    n_features: Any = getattr(model, "n_features_in_", 0)
    if table.x.shape[1] == n_features + 1 and table.y is None:
        raise ValueError(
            f"{options.data} has {n_features + 1} columns, the model takes {n_features}. If one of "
            "them is the target, name it by --target."
        )
    return table


@contextmanager
def _unnamed() -> Iterator[None]:
    """Silence scikit-learn about features without names: they were matched by name already."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        yield


def _score(model: Any, table: Table) -> float:
    with _unnamed():
        score: float = model.score(table.x, table.y)
    return score


def _save(estimator: Any, path: str) -> None:
    """Save, and print the report and the bytes on disk."""
    storage.save(estimator, path)
    print(estimator.compression_report_)
    print(f"{path}: {Path(path).stat().st_size} bytes")
