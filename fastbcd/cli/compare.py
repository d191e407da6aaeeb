"""``fastbcd compare``: one table, several sizes, on rows held out."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

import numpy as np

from fastbcd import storage
from fastbcd.cli import data
from fastbcd.cli.commands import train, write_csv
from fastbcd.cli.messages import tell
from fastbcd.cli.models import check_folder
from fastbcd.estimators.compress import compress
from fastbcd.exceptions import BudgetError
from fastbcd.utils.types import Float

REPEATS = 201
"""Predictions of one row, of which the median is printed."""


def compare(options: Namespace) -> None:
    """Train on a part of the rows, compress to several sizes, and print what each costs."""
    if options.output is not None:
        check_folder(options.output)
    table = data.table_to_fit(options)
    training, held_out = data.split(table, options.test_size, options.seed, not options.regression)
    dense, _ = train(options, training)
    name = data.score_name(dense)
    columns = ("network", name, "weight bytes", "smaller", "file bytes", "one row us")
    rows = [_measured("dense", dense, held_out, None)]
    dense_bytes = rows[0][2]
    quick = {} if options.epochs is None else {"epochs": options.epochs}
    for ratio in options.ratios:
        try:
            small = compress(
                dense,
                training.x,
                training.y,
                ratio=ratio,
                random_state=options.seed,
                verbose=options.verbose,
                **quick,
            )
        except BudgetError:
            rows.append((f"ratio {ratio:g}", "not reached", "", "", "", ""))
            continue
        rows.append(_measured(f"ratio {ratio:g}", small, held_out, dense_bytes))
    if options.output is not None:
        write_csv([columns, *rows], options.output)
    tell(
        f"trained on {len(training.x)} rows, scored on {len(held_out.x)} held out\n"
        + _aligned([columns, *([_shown(row) for row in rows])]),
        options.quiet,
    )


def _measured(name: str, model: Any, held_out: Any, dense_bytes: int | None) -> tuple[Any, ...]:
    n_bytes = model.network_.n_bytes
    smaller = round((dense_bytes or n_bytes) / n_bytes, 2)
    file_bytes = len(storage.to_bytes(model))
    microseconds = round(1e6 * _one_row_seconds(model, held_out.x), 1)
    return name, data.score(model, held_out), n_bytes, smaller, file_bytes, microseconds


def _one_row_seconds(model: Any, x: Float) -> float:
    """Return the median time to predict one row."""
    seconds = np.empty(REPEATS)
    for repeat in range(REPEATS):
        row = x[repeat % len(x)][None]
        start = time.perf_counter()
        model.predict(row)
        seconds[repeat] = time.perf_counter() - start
    return float(np.median(seconds))


def _shown(row: tuple[Any, ...]) -> tuple[str, ...]:
    if isinstance(row[1], str):
        return row
    name, score, n_bytes, smaller, file_bytes, seconds = row
    return name, f"{score:.4f}", str(n_bytes), f"{smaller:.1f}x", str(file_bytes), f"{seconds:.0f}"


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
