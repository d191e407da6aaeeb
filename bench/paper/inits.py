"""Experiment 5: the eight starting distributions, and small against usual starting weights.

    python -m bench.paper.inits [--sweeps 100] [--gains .05 .2 1] [--seeds 1] [--wide]
                                [--data ...] [--seconds S] [--jobs N] [--quick]

Four hidden layers as tensor trains: 256-256-256-128 at rank 40, with ``--wide``
1024-1024-1024-512 at rank 80 as published. Published steps with tau = 5, alpha = 1, gamma = rho =
0.5; both start from 0.2 times the distribution, as published, and from ``--gains`` times an
orthogonal matrix. The published spread over the eight is .0085 after 500 sweeps.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np

from bench.kept import Row
from bench.paper.contestants import VALUES, fastbcd_course, published_course
from bench.paper.data import Split, add_arguments, human_activity
from bench.paper.experiment import STYLES, Experiment, arguments
from fastbcd.schemes import TensorTrain
from fastbcd.solvers import starts as initialization
from fastbcd.solvers.starts import GAIN, INITS

NARROW, NARROW_RANK = (256, 256, 256, 128), 40
WIDE, WIDE_RANK = (1024, 1024, 1024, 512), 80

METHODS = ("published steps", "fastbcd full")

TEST = VALUES.index("test")


def run(
    init: str, gain: float, method: str, seed: int, split: Split,
    network: tuple[tuple[int, ...], int], seconds: float, sweeps: int,
) -> list[Row]:  # fmt: skip
    """Return the course of one method from one start."""
    hidden, rank = network
    if method == "published steps":
        return published_course(
            split, hidden, seed, seconds, sweeps, rank=rank, init=init, init_scale=gain
        )
    scaled = {name: _times(draw, gain / GAIN) for name, draw in INITS.items()}
    with patch.dict(initialization.INITS, scaled):
        return fastbcd_course(
            split, hidden, seed, seconds, solver="full", scheme=TensorTrain(rank=rank),
            init=init, max_iter=sweeps,
        )  # fmt: skip


def _times(draw: initialization.Draw, factor: float) -> initialization.Draw:
    return lambda n_in, n_out, random_state: factor * draw(n_in, n_out, random_state)


HEAD = ("start", "gain", "published steps", "fastbcd full")


def draw(figure: Any, starts: list[tuple[str, float]], ends: dict[str, Any]) -> None:
    """Draw the accuracies of all starts."""
    ax = figure.subplots()
    places = np.arange(len(starts))
    for method, values in ends.items():
        style = {**STYLES[method], "linestyle": "none"}
        ax.plot(values, places, **style, label=method, markersize=7)
    ax.set_yticks(places, [f"{gain:g} x {init}" for init, gain in starts])
    ax.invert_yaxis()
    ax.set(xlabel="test accuracy at the end")
    ax.grid(axis="x", color="0.9")
    ax.legend()


def main() -> None:
    """Measure what is missing, print the table and draw the figure."""
    parser = arguments(__doc__, parallel=True)
    add_arguments(parser, ("uci_har", "watch_har"))
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--gains", type=float, nargs="*", default=[0.05, 1.0])
    parser.add_argument("--wide", action="store_true", help="the published widths")
    options = parser.parse_args()
    network = (WIDE, WIDE_RANK) if options.wide else (NARROW, NARROW_RANK)
    if options.quick:
        options.sweeps, options.seeds, options.gains = 2, 1, [1.0]
        network = ((16, 16), 4)
    split = human_activity(options)
    keys = ("data", "hidden", "sweeps", "init", "gain", "method", "seed")
    experiment = Experiment("inits", keys, VALUES, options)
    shape = "-".join(map(str, network[0]))
    starts = [(init, GAIN) for init in INITS] + [("orthogonal", g) for g in options.gains]
    runs = {
        (split.name, shape, options.sweeps, *start, method, seed): (
            *start, method, seed, split, network, options.seconds or np.inf, options.sweeps
        )
        for method in METHODS for start in starts for seed in range(options.seeds)
    }  # fmt: skip
    found = [rows[-1][TEST] for rows in experiment.all_rows(run, runs, options.jobs).values()]
    shaped = np.reshape(found, (len(METHODS), len(starts), options.seeds))
    ends = dict(zip(METHODS, np.median(shaped, axis=-1), strict=True))
    lines: list[list[object]] = [
        [init, f"{gain:g}", *(f"{ends[method][i]:.4f}" for method in METHODS)]
        for i, (init, gain) in enumerate(starts)
    ]
    for what, n in (("spread over the eight", len(INITS)), ("spread over all", len(starts))):
        lines.append([what, "", *(f"{np.ptp(ends[method][:n]):.4f}" for method in METHODS)])
    note = f"{split.name}, {shape}, rank {network[1]}, {options.sweeps} sweeps; median over seeds."
    experiment.table(HEAD, lines, note)
    experiment.figure(lambda figure: draw(figure, starts, ends), width=7.5, height=4.4)


if __name__ == "__main__":
    main()
