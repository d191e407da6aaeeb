"""Bytes at equal accuracy, over all kinds of compression, ours beside the peers.

    FASTBCD_DATA=FOLDER python -m bench.compress.frontier [--networks mnist]

Measures what is missing of the tables of pruning, low rank and quantisation, adds ours with labels
and a budget alone (``ratio=`` or ``max_score_drop=``: the schemes are then its own choice), and
asks of every method: how many bytes does it need for an accuracy of 0.2, 0.5, 1 and 2 points below
the dense network? Between measured sizes the logarithm of the bytes is interpolated; a size below
the smallest measured one counts as that one. With matplotlib, draws accuracy over bytes next to the
table's file.
"""

from __future__ import annotations

from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bench.compress import budgets, low_rank, pruning, quantisation
from bench.compress.networks import dense_network, problem
from bench.compress.tables import Table, options_of

DROPS = (0.002, 0.005, 0.01, 0.02)
Curves = dict[tuple[str, str], list[tuple[int, float]]]


def bytes_at(points: Iterable[tuple[int, float]], accuracy: float) -> float | None:
    """Return the bytes that a method needs for an accuracy, None if it does not reach it.

    Parameters
    ----------
    points : iterable of (bytes, accuracy)
        What was measured of it.
    accuracy : float
        The least that counts.
    """
    before: tuple[float, float] | None = None
    for size, score in sorted(points):
        if score >= accuracy:
            if before is None:
                return float(size)
            share = (accuracy - before[1]) / (score - before[1])
            return float(np.exp((1 - share) * np.log(before[0]) + share * np.log(size)))
        if before is None or score > before[1]:
            before = size, score
    return None


def curves_of(tables: Mapping[str, Table], network: str) -> Curves:
    """Return (bytes, accuracy) of each kind and method."""
    found: Curves = defaultdict(list)
    for kind, table in tables.items():
        for row in table.rows:
            if row.network == network:
                found[kind, row.method].append((row.n_bytes, row.accuracy))
    return found


def show(curves: Curves, dense: float, n_bytes: int, network: str) -> None:
    """Print the table of one network, the smallest in bold."""
    print(f"\n{network}: dense {dense:.4f}, {n_bytes} bytes\n")
    print("| kind | method |" + "".join(f" -{100 * drop:g} points |" for drop in DROPS))
    print("|---|---|" + "---|" * len(DROPS))
    needs = {key: [bytes_at(p, dense - drop) for drop in DROPS] for key, p in curves.items()}
    least = [
        min((n for n in column if n), default=0) for column in zip(*needs.values(), strict=True)
    ]
    for (kind, method), row in sorted(needs.items(), key=lambda item: _order(item[1])):
        cells = [
            "-" if need is None else f"**{need:.0f}**" if need == best else f"{need:.0f}"
            for need, best in zip(row, least, strict=True)
        ]
        print(f"| {kind} | {method} | " + " | ".join(cells) + " |")


def _order(needs: list[float | None]) -> list[float]:
    return [np.inf if need is None else need for need in needs[::-1]]


def draw(curves: Curves, dense: float, network: str, path: Path) -> None:
    """Draw accuracy over bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for (kind, method), points in sorted(curves.items()):
        size, score = zip(*sorted(points), strict=True)
        mine = method.startswith("fastbcd")
        axes.plot(
            size, score, "o-" if mine else ".--", linewidth=2.2 if mine else 0.8,
            label=f"{method} ({kind})", zorder=3 if mine else 2,
        )  # fmt: skip
    axes.axhline(dense, color="gray", linewidth=0.8)
    lowest = dense - 0.08
    axes.set(xscale="log", xlabel="bytes", ylabel="test accuracy", title=network)
    axes.set_ylim(lowest, dense + 0.01)
    axes.legend(fontsize=6, ncols=2)
    figure.savefig(path)
    print(f"\nDrawn: {path}")


def run(options: Namespace) -> None:
    """Measure what is missing and print."""
    tables = {
        "pruning": pruning.run(options),
        "low rank": low_rank.run(options),
        "few bits": quantisation.run(options),
        "any": Table("frontier", options),
    }
    for name in options.networks:
        of = problem(name)
        budgets.measure(of, tables["any"], options.quick)
        curves = curves_of(tables, name)
        dense = float(of.model.score(of.data.x_test, of.data.y_test))
        show(curves, dense, dense_network(of).n_bytes, name)
        if find_spec("matplotlib") is not None:
            draw(curves, dense, name, tables["any"].path.with_name(f"frontier_{name}.png"))


if __name__ == "__main__":
    run(options_of(__doc__))
