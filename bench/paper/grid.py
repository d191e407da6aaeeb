"""Experiment 4: how much the accuracy depends on gamma and rho, a heat map.

    python -m bench.paper.grid [--values .01 .1 .5 1 5 10 100] [--sweeps 100] [--seeds 1]
                               [--wide] [--held-out] [--data ...] [--seconds S] [--jobs N] [--quick]

Five hidden layers as tensor trains: 256-256-256-128-128 at rank 40, with ``--wide``
1024-1024-1024-512-512 at rank 80 as published. The published steps take tau = 3, alpha = 1, 0.2
times orthogonal, in float64 as the published grid; fastbcd its other defaults, in float32. The
published grid spans .18 to .966 after 500 sweeps. ``--held-out`` scores training rows that are
held out: what defaults may be chosen by.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from bench.kept import Row
from bench.paper.contestants import VALUES, fastbcd_course, published_course
from bench.paper.data import Split, add_arguments, held_out, human_activity
from bench.paper.experiment import Experiment, arguments
from fastbcd.schemes import TensorTrain

GRID = (0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 100.0)
NARROW, NARROW_RANK = (256, 256, 256, 128, 128), 40
WIDE, WIDE_RANK = (1024, 1024, 1024, 512, 512), 80

METHODS = ("published steps", "fastbcd full")

TEST = VALUES.index("test")


def run(
    method: str, gamma: float, rho: float, seed: int, split: Split,
    network: tuple[tuple[int, ...], int], seconds: float, sweeps: int,
) -> list[Row]:  # fmt: skip
    """Return the last row of a course; a fit that breaks down counts as chance."""
    hidden, rank = network
    if method == "published steps":
        found = published_course(
            split, hidden, seed, seconds, sweeps, rank=rank, tau=3.0, gamma=gamma, rho=rho,
            dtype="float64",
        )  # fmt: skip
    else:
        found = fastbcd_course(
            split, hidden, seed, seconds, solver="full", scheme=TensorTrain(rank=rank),
            gamma=gamma, rho=rho, max_iter=sweeps,
        )  # fmt: skip
    return found[-1:]


def spread_lines(grids: dict[str, Any]) -> list[list[object]]:
    """Return how far the accuracies of each grid lie apart."""
    lines: list[list[object]] = []
    for method, grid in grids.items():
        best = np.max(grid)
        near = f"{np.mean(grid >= best - 0.05):.0%}"
        lines.append([method, *(f"{v:.4f}" for v in np.quantile(grid, [0, 0.25, 0.5, 1])), near])
    return lines


HEAD = ("method", "lowest", "lower quartile", "median", "best", "cells within .05 of the best")


def draw(figure: Any, name: str, grids: dict[str, Any], values: list[float]) -> None:
    """Draw a heat map for each method, with the figures in the cells."""
    axes = figure.subplots(1, len(grids), squeeze=False)[0]
    for ax, (method, grid) in zip(axes, grids.items(), strict=True):
        image = ax.imshow(grid, cmap="cividis", vmin=0, vmax=1, origin="lower", aspect="auto")
        for (row, column), value in np.ndenumerate(grid):
            color = "black" if value > 0.55 else "white"
            ax.text(column, row, f"{value:.2f}"[-3:] if value < 1 else "1", color=color,
                    ha="center", va="center", fontsize=8)  # fmt: skip
        ticks = range(len(values))
        ax.set_xticks(ticks, [f"{v:g}" for v in values])
        ax.set_yticks(ticks, [f"{v:g}" for v in values])
        ax.set(xlabel="rho", ylabel="gamma", title=f"{method}\n{name}")
    figure.colorbar(image, ax=list(axes), label="accuracy")


def main() -> None:
    """Measure what is missing, print the table and draw the figure."""
    parser = arguments(__doc__, parallel=True)
    add_arguments(parser, ("uci_har", "watch_har"))
    parser.add_argument("--values", type=float, nargs="+", default=list(GRID))
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--wide", action="store_true", help="the published widths")
    parser.add_argument("--held-out", action="store_true", help="score held-out training rows")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    options = parser.parse_args()
    network = (WIDE, WIDE_RANK) if options.wide else (NARROW, NARROW_RANK)
    if options.quick:
        options.values, options.sweeps, options.seeds = [0.1, 1.0], 2, 1
        network = ((16, 16), 4)
    split = human_activity(options)
    if options.held_out:
        split = held_out(split)
    keys = ("data", "hidden", "sweeps", "method", "gamma", "rho", "seed")
    experiment = Experiment("grid", keys, VALUES, options)
    shape = "-".join(map(str, network[0]))
    values, bounds = options.values, (options.seconds or np.inf, options.sweeps)
    runs = {
        (split.name, shape, options.sweeps, *cell): (*cell, split, network, *bounds)
        for cell in product(options.methods, values, values, range(options.seeds))
    }
    ends = [rows[-1][TEST] for rows in experiment.all_rows(run, runs, options.jobs).values()]
    shaped = np.reshape(ends, (len(options.methods), len(values), len(values), options.seeds))
    grids = dict(zip(options.methods, np.median(shaped, axis=-1), strict=True))
    note = f"{split.name}, {shape}, rank {network[1]}, {options.sweeps} sweeps."
    experiment.table(HEAD, spread_lines(grids), note)
    experiment.figure(
        lambda figure: draw(figure, split.name, grids, options.values), width=11, height=4.6
    )


if __name__ == "__main__":
    main()
