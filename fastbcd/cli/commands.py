"""What the commands do, from parsed options to output."""

from __future__ import annotations

import csv
import io
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fastbcd import storage
from fastbcd.cli import data, schemes
from fastbcd.cli.messages import note, tell
from fastbcd.cli.models import check_folder, check_output, n_hidden_layers, read_model, save
from fastbcd.cli.standardize import NOTICED, Standardization
from fastbcd.cli.tables import Table
from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.estimators.compress import compress
from fastbcd.exceptions import ConvergenceWarning
from fastbcd.utils.files import write_atomic

EXPORTS = {".onnx": "onnx", ".h": "c", ".pt": "torch"}


def fit(options: Namespace) -> None:
    """Train a network on a table and save it."""
    schemes.check_fit(options)
    check_output(options.output)
    table = data.table_to_fit(options)
    held_out = None
    if options.test_size is not None:
        table, held_out = data.split(table, options.test_size, options.seed, not options.regression)
    scheme = schemes.make_scheme(options, len(options.hidden))
    estimator, converged = train(options, table, scheme)
    if options.validation is not None:
        held_out = data.table_for(estimator, options.validation, options, options.target)
    save(estimator, options.output, options.quiet)
    exact = np.isfinite(estimator.convergence_.step_norm).any()  # mini-batches record none
    step = "sweep" if exact else "epoch"
    # Batches follow a schedule up to max_iter: reaching its end is not convergence.
    ended = "converged after" if exact else "trained for"
    ended = ended if converged else "stopped before it converged, after"
    tell(f"{ended} {estimator.n_iter_} {step}s", options.quiet)
    _tell_score(estimator, table, "training", options.quiet)
    if held_out is not None:
        _tell_score(estimator, held_out, "held-out", options.quiet)


def train(options: Namespace, table: Table, scheme: Any = None) -> tuple[Any, bool]:
    """Train the network that the options describe; return it, and whether it converged."""
    cls = BCDRegressor if options.regression else BCDClassifier
    chosen = {name: getattr(options, name) for name in ("max_iter", "tol")}
    estimator = cls(
        options.hidden,
        activation=options.activation,
        encoding=None if options.ramps == "none" else "auto",
        scheme=scheme,
        random_state=options.seed,
        verbose=options.verbose,
        **{name: value for name, value in chosen.items() if value is not None},
    )
    scaling = Standardization.of(table.x) if options.standardize else None
    assert table.y is not None
    with noted_warnings() as categories:
        estimator.fit(table.x if scaling is None else scaling.apply(table.x), table.y)
    if scaling is not None:
        change = scaling.absorb(estimator, table.x)
        if change > NOTICED:
            note(
                f"absorbing the scaling changes the outputs by up to {100 * change:.2g} %, "
                "because of rounding. Add --double",
                options.quiet,
            )
    if table.names is not None:
        estimator.feature_names_in_ = np.array(table.names, object)
    return estimator, not any(issubclass(kind, ConvergenceWarning) for kind in categories)


@contextmanager
def noted_warnings() -> Iterator[list[type[Warning]]]:
    """Show warnings as before, and list their classes."""
    found: list[type[Warning]] = []
    show = warnings.showwarning

    def note_and_show(message: Any, category: type[Warning], *more: Any, **named: Any) -> None:
        found.append(category)
        show(message, category, *more, **named)

    with warnings.catch_warnings():
        warnings.showwarning = note_and_show
        yield found


def compress_model(options: Namespace) -> None:
    """Compress a saved network and save the result."""
    budget = schemes.budget(options)
    check_output(options.output)
    if options.target is None and (options.validation or options.test_size):
        given = "--validation" if options.validation else "--test-size"
        raise ValueError(f"{given} prints a score, which needs --target.")
    model = read_model(options.model, options.allow_pickle)
    table = data.table_for(model, options.data, options, options.target)
    held_out = None
    if options.validation is not None:
        held_out = data.table_for(model, options.validation, options, options.target)
    elif options.test_size is not None:
        by_class = hasattr(model, "classes_")
        table, held_out = data.split(table, options.test_size, options.seed, by_class)
    if held_out is not None and options.max_score_drop is not None:
        budget["validation_data"] = held_out.x, held_out.y
    small = compress(
        model,
        table.x,
        table.y,
        scheme=schemes.make_scheme(options, n_hidden_layers(model)),
        random_state=options.seed,
        verbose=options.verbose,
        **({} if options.epochs is None else {"epochs": options.epochs}),
        **budget,
    )
    save(small, options.output, options.quiet)
    if held_out is not None:
        before = f", {data.score(model, held_out):.4f} before" if hasattr(model, "score") else ""
        _tell_score(small, held_out, "held-out", options.quiet, before)


def report(options: Namespace) -> None:
    """Print layers, classes, features and sizes of a saved network."""
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
    """Export a saved network."""
    kind = options.to or EXPORTS.get(Path(options.output).suffix.lower())
    if kind is None:
        raise ValueError(
            f"{options.output}: unknown extension. Use {', '.join(EXPORTS)}, or "
            "choose the format with --to."
        )
    check_folder(options.output)
    model = storage.load(options.model)
    if kind == "onnx":
        opset = {} if options.opset is None else {"target_opset": options.opset}
        model.to_onnx(options.output, **opset)
    elif kind == "c":
        x = None
        if options.data is not None:
            x = data.table_for(model, options.data, options, options.target).x
        elif options.arithmetic == "int8":
            raise ValueError("--arithmetic int8 needs rows to determine its scales: add --data.")
        model.to_c(options.output, arithmetic=options.arithmetic, X=x)
    else:
        _write_torch(model, options.output)
    tell(f"{options.output}: {Path(options.output).stat().st_size} bytes", options.quiet)


def _write_torch(model: Any, path: str) -> None:
    module = model.to_torch()
    import torch

    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    write_atomic(path, buffer.getvalue())


def predict(options: Namespace) -> None:
    """Print or write the predictions of a saved network for the rows of a table."""
    if options.output is not None:
        check_folder(options.output)
    model = storage.load(options.model)
    if options.proba and not isinstance(model, BCDClassifier):
        raise ValueError(f"--proba needs a classifier; {options.model} predicts numbers.")
    table = data.table_for(model, options.data, options, options.target)
    if options.proba:
        found, header = model.predict_proba(table.x), [str(label) for label in model.classes_]
    else:
        found, header = model.predict(table.x), ["prediction"]
    rows = found.reshape(len(found), -1).tolist()
    if len(rows[0]) != len(header):
        header = [f"prediction_{index}" for index in range(len(rows[0]))]
    write_csv([header, *rows], options.output)
    if table.y is not None and not options.quiet:
        name, value = data.score_name(model), data.score(model, table)
        print(f"{name} on these {len(table.x)} rows: {value:.4f}", file=sys.stderr)


def write_csv(rows: list[Any], path: str | None) -> None:
    """Write rows as CSV to a file, or to the standard output."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    if path is None:
        sys.stdout.write(text.getvalue())
    else:
        write_atomic(path, text.getvalue().encode())


def _tell_score(model: Any, table: Table, rows: str, quiet: bool, before: str = "") -> None:
    if not quiet:
        name, value = data.score_name(model), data.score(model, table)
        print(f"{name} on {len(table.x)} {rows} rows: {value:.4f}{before}")
