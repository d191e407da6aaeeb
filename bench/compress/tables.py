"""Rows of the compression tables: measured once, kept as CSV, printed as Markdown.

A row is one method on one network at one amount. Rows are appended as they are measured, so a
run that was cut short goes on where it stopped; ``--fresh METHOD`` measures some of them again.
Kept rows do not know what changed in the code: after a change, ask for them anew.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.compress.networks import Problem, base_of, dense_network
from bench.data import score

RESULTS = Path(__file__).resolve().parents[1] / "results" / "compress"


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes
    ----------
    network, amount, method : str
        What was compressed, how much and how.
    labels : str
        "yes" if the method saw labels.
    accuracy : float
        Of the test rows.
    layer_errors : str
        ||U - V W - b|| / ||U - mean U|| of each hidden layer on the calibration rows: U of the
        dense network, V what reaches the compressed layer. Empty where training moved all layers.
    output_error : float
        The same of the outputs, from the input to the logits.
    seconds : float
        Wall time, calibration included, compilation not.
    n_bytes : int
        All arrays of the network without dead neurons; numbers as float32.
    """

    network: str
    amount: str
    method: str
    labels: str
    accuracy: float
    layer_errors: str
    output_error: float
    seconds: float
    n_bytes: int


class Table:
    """The rows of one table, on disk and in memory.

    Parameters
    ----------
    name : str
        Names the file.
    options : argparse.Namespace
        ``quick`` writes elsewhere, ``fresh`` forgets rows whose method starts like this,
        ``without`` measures none whose method starts like this, ``amounts`` only these amounts.
    """

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        folder = RESULTS / "quick" if options.quick else RESULTS
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.csv"
        self.rows = read(self.path)
        self.without = tuple(options.without)
        self.amounts = options.amounts
        if options.fresh is not None:
            starts = tuple(options.fresh) or ("",)
            self.rows = [
                row
                for row in self.rows
                if row.network not in options.networks or not row.method.startswith(starts)
            ]
            self._write()

    def add(self, network: str, amount: str, method: str, measure: Callable[[], Row]) -> Row | None:
        """Measure a row unless it is there already, or unwanted."""
        for row in self.rows:
            if (row.network, row.amount, row.method) == (network, amount, method):
                return row
        if method.startswith(self.without) or (self.amounts and amount not in self.amounts):
            return None
        found = measure()
        self.rows.append(found)
        self._write()
        print(line(found), flush=True)
        return found

    def _write(self) -> None:
        beside = self.path.with_suffix(f".{os.getpid()}")
        with beside.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.rows)
        beside.replace(self.path)

    def show(self, networks: Iterable[str], amounts: Sequence[str]) -> None:
        """Print the table, the best one-shot and the best trained method of each amount in bold.

        Of a network with several seeds the means are printed, too.
        """
        wanted = list(networks)
        means = averaged([row for row in self.rows if row.network in wanted])
        for network in [*wanted, *dict.fromkeys(row.network for row in means)]:
            print(f"\n{network}: {HEAD}")
            for amount in amounts:
                here = (network, amount)
                rows = [row for row in self.rows + means if (row.network, row.amount) == here]
                for labels in ("no", "yes"):
                    group = sorted((r for r in rows if r.labels == labels), key=_rank)
                    for row in group:
                        print(line(row, bold=row.accuracy == group[0].accuracy))


HEAD = (
    "\n\n| amount | method | labels | test accuracy | layer errors | output error | seconds "
    "| bytes |\n|---|---|---|---|---|---|---|---|"
)


def averaged(rows: Sequence[Row]) -> list[Row]:
    """Return the means of methods that were run on several seeds of a network."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((base_of(row.network), row.amount, row.method), []).append(row)
    return [
        replace(
            group[0],
            network=f"{base}, mean of {len(group)}",
            accuracy=float(np.mean([row.accuracy for row in group])),
            layer_errors="",
            output_error=float(np.mean([row.output_error for row in group])),
            seconds=float(np.mean([row.seconds for row in group])),
            n_bytes=round(float(np.mean([row.n_bytes for row in group]))),
        )
        for (base, *_), group in groups.items()
        if len(group) > 1
    ]


def _rank(row: Row) -> tuple[float, float]:
    return -row.accuracy, row.seconds


def line(row: Row, bold: bool = False) -> str:
    """Return a row of Markdown."""
    accuracy = f"{row.accuracy:.4f}"
    return (
        f"| {row.amount} | {row.method} | {row.labels} | {f'**{accuracy}**' if bold else accuracy} "
        f"| {row.layer_errors} | {row.output_error:.3f} | {row.seconds:.1f} | {row.n_bytes} |"
    )


def read(path: Path) -> list[Row]:
    """Return the rows of a file; none if it is not there."""
    if not path.exists():
        return []
    kinds = [{"float": float, "int": int}.get(str(field.type), str) for field in fields(Row)]
    with path.open(newline="") as file:
        return [
            Row(*(kind(value) for kind, value in zip(kinds, row.values(), strict=True)))
            for row in csv.DictReader(file)
        ]


def judge(
    of: Problem,
    amount: str,
    method: str,
    network: Any,
    seconds: float,
    *,
    labels: bool = False,
    n_bytes: int | None = None,
    layer_errors: str | None = None,
    matrices: Sequence[Any] | None = None,
    intercepts: Sequence[Any] | None = None,
) -> Row:
    """Measure a compressed network.

    Parameters
    ----------
    of : Problem
        Where it comes from.
    amount, method, labels, seconds
        For the row.
    network : fastbcd's ``network_``
        What predicts, without dead neurons.
    n_bytes : int, optional
        If the format of the network cannot tell.
    layer_errors : str, optional
        If known. Else they are taken of ``matrices`` and ``intercepts``, dense arrays of the
        dense network's shapes, if given.
    """
    before = _centred(dense_network(of).forward(of.x))
    after = _centred(network.forward(of.x))
    if layer_errors is None:
        layer_errors = "" if matrices is None else errors_of(of, matrices, intercepts)
    return Row(
        of.name,
        amount,
        method,
        "yes" if labels else "no",
        round(score(network.forward(of.data.x_test), of.data.y_test), 5),
        layer_errors,
        round(_relative(after - before, before), 5),
        round(seconds, 2),
        network.n_bytes if n_bytes is None else n_bytes,
    )


def errors_of(of: Problem, matrices: Sequence[Any], intercepts: Sequence[Any] | None) -> str:
    """Return the errors of the hidden layers, as text."""
    found, v, v_dense = [], of.x, of.x
    biases = of.intercepts if intercepts is None else intercepts
    for layer, weight, bias in zip(dense_network(of).layers[:-1], matrices, biases, strict=False):
        u, u_dense = v @ weight.astype(v.dtype) + bias, layer.linear(v_dense)
        found.append(_relative(u - u_dense, u_dense))
        v, v_dense = np.maximum(u, 0), np.maximum(u_dense, 0)
    return errors_text(found)


def errors_text(errors: Iterable[float]) -> str:
    """Return errors of layers as text."""
    return " / ".join(f"{error:.3f}" for error in errors)


def _centred(logits: Any) -> Any:
    """Adding a constant to all logits of a row changes nothing."""
    return logits - logits.mean(axis=1, keepdims=True)


def _relative(change: Any, values: Any) -> float:
    whole = np.linalg.norm(values - values.mean(axis=0))
    return float(np.linalg.norm(change) / whole)


def options_of(description: str | None) -> argparse.Namespace:
    """Return the options that all tables share; ``--quick`` chooses the tiny network."""
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--networks", nargs="*", default=["mnist", "letter", "watch_har"])
    found.add_argument("--quick", action="store_true", help="a tiny network, to see that it runs")
    found.add_argument("--fresh", nargs="*", metavar="METHOD", help="measure again: all, or these")
    found.add_argument("--amounts", nargs="*", default=[], help="these alone, as in the table")
    found.add_argument("--without", nargs="*", metavar="METHOD", default=[], help="leave out these")
    found.add_argument("--no-training", action="store_true", help="one-shot methods alone")
    found.add_argument("--our-shares", action="store_true", help="pruning peers with our shares")
    options = found.parse_args()
    if options.quick:
        options.networks, options.fresh = ["digits"], []
    return options
