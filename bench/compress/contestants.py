"""How a contestant is run: ours through :func:`fastbcd.compress`, peers through the same judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np

from bench.compress.networks import Matrix, Problem, assemble
from bench.compress.tables import Row, Table, errors_of, errors_text, judge
from fastbcd import compress
from fastbcd.formats import DenseMatrix, Format

TIMES_OURS = 2.0
"""Peers that train get this many times the seconds of our refined run with labels."""

OURS, IMITATED, REFINED = "fastbcd, one-shot", "fastbcd, refined", "fastbcd, refined with labels"
BRIEFLY = "fastbcd, three epochs"


def has_torch() -> bool:
    """Tell whether peers can train; say so if not."""
    if find_spec("torch") is None:
        print('Peers that train are left out: PyTorch is missing, pip install "fastbcd[torch]".')
        return False
    import bench.peers.finetune  # noqa: F401  # so that nobody's seconds count the import

    return True


def ours(
    of: Problem,
    table: Table,
    amount: str,
    training: bool = True,
    only: Sequence[str] = (OURS, IMITATED, REFINED),
    suffix: str = "",
    **budget: Any,
) -> float:
    """Add our rows: one-shot on the calibration rows, refined on all rows without and with labels.

    ``BRIEFLY`` is refined on the calibration rows, without labels, for a second or so.
    ``suffix`` tells variants apart. Returns the seconds of the run with labels, 0 without training.
    """
    some, x, y = of.x, of.data.x, of.data.y
    runs: dict[str, tuple[Any, Any, Any]] = {
        OURS: (some, None, 0),
        BRIEFLY: (some, None, 3),
        IMITATED: (x, None, "auto"),
        REFINED: (x, y, "auto"),
    }

    def run(method: str) -> Callable[[], Row]:
        x, y, epochs = runs[method]

        def measure() -> Row:
            start = perf_counter()
            small = compress(of.model, x, y, epochs=epochs, random_state=0, **budget)
            seconds = perf_counter() - start
            errors = None
            if epochs == 0:
                layers = small.compression_report_.layers[: len(of.hidden_sizes)]
                errors = errors_text(layer.output_error for layer in layers)
            return judge(
                of, amount, method + suffix, small.network_, seconds,
                labels=y is not None, layer_errors=errors,
            )  # fmt: skip

        return measure

    seconds = 0.0
    for method in only:
        if training or method == OURS:
            row = table.add(of.name, amount, method + suffix, run(method))
            if row is not None and method == REFINED:
                seconds = row.seconds
    return seconds


def warm_up(of: Problem, **budget: Any) -> None:
    """Compile what our runs need, on few rows."""
    x, y = of.data.x[:500], of.data.y[:500]
    compress(of.model, x, epochs=0, random_state=0, **budget)
    compress(of.model, x, y, epochs=0.5, random_state=0, **budget)


def peer(
    of: Problem,
    amount: str,
    method: str,
    run: Callable[[], tuple[Sequence[Format], float]],
    n_bytes: int | None = None,
) -> Callable[[], Row]:
    """Return what measures a peer that sets the hidden layers and leaves the rest.

    ``run`` returns the hidden layers and the seconds that they took.
    """

    def measure() -> Row:
        hidden, seconds = run()
        matrices = [layer.to_dense() for layer in hidden]
        network = assemble([*hidden, DenseMatrix(of.weights[-1])], of.intercepts)
        return judge(
            of, amount, method, network, seconds,
            layer_errors=errors_of(of, matrices, None),
            n_bytes=n_bytes,
        )  # fmt: skip

    return measure


def trained_peer(
    of: Problem,
    amount: str,
    method: str,
    run: Callable[[], tuple[list[Matrix], list[Matrix]]],
    store: Callable[[int, Matrix], Format],
    n_bytes: int | None = None,
) -> Callable[[], Row]:
    """Return what measures a peer that trains all layers with labels.

    ``run`` returns all matrices and intercepts; ``store`` puts a hidden one into its format.
    """

    def measure() -> Row:
        start = perf_counter()
        matrices, intercepts = run()
        seconds = perf_counter() - start
        hidden = [store(index, matrix) for index, matrix in enumerate(matrices[:-1])]
        network = assemble([*hidden, DenseMatrix(matrices[-1])], intercepts)
        return judge(of, amount, method, network, seconds, labels=True, n_bytes=n_bytes)

    return measure


def rows_of(of: Problem) -> Any:
    """Return the training rows for PyTorch, labels as numbers from 0."""
    from bench.peers.finetune import Rows

    return Rows(of.data.x, np.searchsorted(of.model.classes_, of.data.y))
