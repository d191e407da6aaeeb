"""Experiment 1: four and five hidden layers as tensor trains, test accuracy over seconds.

    python -m bench.paper.mlp [--depths 4 5] [--ranks 80] [--seeds 1] [--methods NAME ...]
                              [--data auto|uci_har|watch_har] [--seconds S] [--sweeps 500] [--quick]

1024-1024-1024-512(-512) hidden units, gamma = rho = 0.5, alpha = 1, tau = 5 (3 with five layers),
0.2 times orthogonal, as published; fastbcd with its defaults. ``full`` takes 100 sweeps. Without
``--seconds`` the published steps get 25 times the time of ``fastbcd full`` and Adam as much as
it took. Ranks as in the paper: ``--ranks 10 20 30 40 60 80 100``.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.kept import Row
from bench.paper.contestants import (
    VALUES,
    adam_course,
    decomposed_course,
    fastbcd_course,
    published_course,
    size_ratio,
)
from bench.paper.data import Split, add_arguments, human_activity
from bench.paper.experiment import STYLES, Experiment, arguments, limits, middle
from fastbcd.schemes import TensorTrain

HIDDEN = {4: (1024, 1024, 1024, 512), 5: (1024, 1024, 1024, 512, 512)}
TAU = {4: 5.0, 5: 3.0}
"""The published penalty of the compressed copies, by depth."""

FULL_SWEEPS = 100
LONGER = 25
"""How many times fastbcd's seconds the published steps get."""

MARGIN = 0.002
"""Accuracy counts as reached from so little below."""

METHODS = (
    "fastbcd full",
    "fastbcd mini-batch",
    "published steps",
    "Adam, dense",
    "Adam, compressed, fine-tuned",
)

TEST, SECONDS = VALUES.index("test"), VALUES.index("seconds")


def run(
    method: str, split: Split, hidden: tuple[int, ...], rank: int, seed: int, seconds: float,
    sweeps: int,
) -> list[Row]:  # fmt: skip
    """Return the course of one method."""
    scheme = TensorTrain(rank=rank)
    runs: dict[str, Callable[[], list[Row]]] = {
        "fastbcd full": lambda: fastbcd_course(
            split, hidden, seed, seconds, solver="full", scheme=scheme,
            max_iter=min(FULL_SWEEPS, sweeps),
        ),
        "fastbcd mini-batch": lambda: fastbcd_course(
            split, hidden, seed, seconds, solver="minibatch", scheme=scheme,
            max_iter=min(1000, sweeps),
        ),
        "published steps": lambda: published_course(
            split, hidden, seed, seconds, sweeps, rank=rank, tau=TAU.get(len(hidden), 5.0),
        ),
        "Adam, dense": lambda: adam_course(split, hidden, seed, seconds),
        "Adam, compressed, fine-tuned": lambda: decomposed_course(
            split, hidden, seed, seconds, scheme
        ),
    }  # fmt: skip
    return runs[method]()


def budget(method: str, options: Namespace, ours: float) -> float:
    """Return the seconds of a run, given those that ``fastbcd full`` took."""
    if options.seconds is not None:
        return float(options.seconds)
    if method.startswith("fastbcd"):
        return np.inf
    return ours * (LONGER if method.startswith("published") else 1)


def reached(course: list[Row], goal: float) -> float:
    """Return the seconds to a test accuracy; infinity if it is never reached."""
    return next((row[SECONDS] for row in course if row[TEST] >= goal), np.inf)


def leaves_chance(course: list[Row], split: Split) -> float:
    """Return the first step whose accuracy is 1.5 times that of the commonest class."""
    chance = max(np.mean(split.y_test == k) for k in range(split.n_classes))
    return next((row[0] for row in course if row[TEST] >= 1.5 * chance), np.inf)


Courses = dict[str, list[list[Row]]]


def lines_of(split: Split, depth: int, rank: int, courses: Courses) -> list[list[object]]:
    """Return the lines of a table for one network."""
    widths = (split.x.shape[1], *HIDDEN.get(depth, (32,) * depth), split.n_classes)
    published = courses.get("published steps", [])
    goal = np.median([run[-1][TEST] for run in published]) - MARGIN if published else np.nan
    theirs = np.median([reached(run, goal) for run in published]) if published else np.nan
    found: list[list[object]] = []
    for method, runs in courses.items():
        to_goal = [reached(run, goal) for run in runs]
        ratio = 1.0 if method == "Adam, dense" else size_ratio(widths, rank)
        # Three rows of this method are stages, not a course: only its end counts.
        staged = method == "Adam, compressed, fine-tuned"
        first = ["-"] if staged else [middle([leaves_chance(run, split) for run in runs], 0)]
        speed = theirs / np.median(to_goal) if np.isfinite(np.median(to_goal)) else np.nan
        found.append([
            depth, rank, f"{ratio:.4f}", method, middle([run[-1][TEST] for run in runs]),
            middle([run[-1][SECONDS] for run in runs], 1), middle([run[-1][0] for run in runs], 0),
            *first, middle(to_goal, 1), "-" if np.isnan(speed) else f"{speed:.1f}",
        ])  # fmt: skip
    return found


HEAD = (
    "hidden layers", "rank", "size ratio", "method", "test accuracy at the end", "seconds",
    "steps", "first step off chance", "seconds to the published end", "times faster",
)  # fmt: skip


def draw(figure: Any, panels: dict[str, Courses]) -> None:
    """Draw test accuracy over seconds, a panel for each network."""
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (title, courses) in zip(axes, panels.items(), strict=True):
        for method, runs in courses.items():
            style = STYLES[method]
            for number, course in enumerate(runs):
                if method == "Adam, compressed, fine-tuned":
                    course = course[-1:]
                seconds, test = zip(*((row[SECONDS], row[TEST]) for row in course), strict=True)
                ax.plot(
                    seconds, test, **style, label=method if number == 0 else None, linewidth=1.4,
                    markersize=5, markevery=max(1, len(course) // 8),
                )  # fmt: skip
        ax.set(xscale="log", xlabel="seconds of training", title=title)
        ax.grid(color="0.9")
    axes[0].set_ylabel("test accuracy")
    axes[0].legend(fontsize=8, loc="best")


def main() -> None:
    """Measure what is missing, print the table and draw the figure."""
    parser = arguments(__doc__)
    add_arguments(parser, ("uci_har", "watch_har"))
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 5], choices=list(HIDDEN))
    parser.add_argument("--ranks", type=int, nargs="+", default=[80])
    parser.add_argument("--sweeps", type=int, default=500, help="most sweeps of every method")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    options = parser.parse_args()
    if options.quick:
        options.depths, options.ranks, options.sweeps, options.seeds = [4], [4], 3, 1
    split = human_activity(options)
    experiment = Experiment(
        "mlp", ("data", "limits", "depth", "rank", "method", "seed"), VALUES, options
    )
    lines: list[list[object]] = []
    panels: dict[str, Courses] = {}
    for depth in options.depths:
        hidden = (32,) * depth if options.quick else HIDDEN[depth]
        for rank in options.ranks:
            courses: Courses = {}
            for method in options.methods:
                for seed in range(options.seeds):
                    ours = courses.get("fastbcd full", [])
                    known = ours[seed][-1][SECONDS] if len(ours) > seed else 60.0
                    seconds = budget(method, options, known)
                    course = experiment.rows(
                        (split.name, limits(options), depth, rank, method, seed),
                        run,
                        method,
                        split,
                        hidden,
                        rank,
                        seed,
                        seconds,
                        options.sweeps,
                    )
                    courses.setdefault(method, []).append(course)
            lines += lines_of(split, depth, rank, courses)
            panels[f"{split.name}\n{depth} hidden layers, rank {rank}"] = courses
    experiment.table(HEAD, lines, f"{split.name}; {len(split.y)} training rows.")
    shown = dict(list(panels.items())[:4])
    experiment.figure(lambda figure: draw(figure, shown), width=4.6 * len(shown), height=4.2)


if __name__ == "__main__":
    main()
