"""Experiment 3: LeNet300-100 with 90 % of the hidden weights pruned, on imbalanced data.

    python -m bench.paper.imbalance [--seeds 5] [--data auto|flares|letter] [--methods NAME ...]
                                    [--sweeps 1000] [--seconds S] [--quick]

Trained on balanced rows (undersampled anew for each seed), tested on rows as they come. Published
steps with the released settings: float64, tau = 200, alpha = rho = 1, gamma = 100, 0.2 times
orthogonal; with ``overwrite`` as the released code does and without as the paper says. fastbcd
with its defaults, at most 300 sweeps. Adam gets the seconds of ``fastbcd full``. TSS is
2 x balanced accuracy - 1. Rises: sweeps that raised F.
"""

from __future__ import annotations

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
)
from bench.paper.data import Split, add_arguments, flares
from bench.paper.experiment import STYLES, Experiment, arguments, limits, middle
from fastbcd.schemes import Prune

HIDDEN = (300, 100)
SPARSITY = 0.9
FULL_SWEEPS = 300

SECONDS, BALANCED = VALUES.index("seconds"), VALUES.index("balanced")

METHODS = (
    "fastbcd full",
    "fastbcd full, float32",
    "fastbcd mini-batch",
    "published steps",
    "published steps, overwrite",
    "Adam, dense",
    "Adam, compressed, fine-tuned",
)

Courses = dict[str, list[list[Row]]]


def run(method: str, split: Split, seed: int, seconds: float, sweeps: int) -> list[Row]:
    """Return the course of one method."""
    scheme = Prune(sparsity=SPARSITY)
    most = min(sweeps, FULL_SWEEPS)

    def full(dtype: str) -> list[Row]:
        return fastbcd_course(
            split, HIDDEN, seed, seconds, dtype=dtype, solver="full", scheme=scheme, max_iter=most
        )

    def published(overwrite: bool) -> list[Row]:
        return published_course(
            split, HIDDEN, seed, seconds, sweeps, sparsity=SPARSITY, overwrite=overwrite,
            dtype="float64", tau=200.0, alpha=1.0, rho=1.0, gamma=100.0,
        )  # fmt: skip

    runs: dict[str, Callable[[], list[Row]]] = {
        "fastbcd full": lambda: full("float64"),
        "fastbcd full, float32": lambda: full("float32"),
        "fastbcd mini-batch": lambda: fastbcd_course(
            split, HIDDEN, seed, seconds, solver="minibatch", scheme=scheme, max_iter=sweeps
        ),
        "published steps": lambda: published(False),
        "published steps, overwrite": lambda: published(True),
        "Adam, dense": lambda: adam_course(split, HIDDEN, seed, seconds),
        "Adam, compressed, fine-tuned": lambda: decomposed_course(
            split, HIDDEN, seed, seconds, scheme
        ),
    }
    return runs[method]()


def tss(row: Row) -> float:
    """Return the true skill statistic."""
    return 2 * row[BALANCED] - 1


HEAD = (
    "method", "balanced accuracy", "TSS at the end", "seeds above both published", "seconds",
    "steps", "rises",
)  # fmt: skip


def lines_of(courses: Courses) -> list[list[object]]:
    """Return the lines of the table."""
    theirs = [
        [tss(run[-1]) for run in runs]
        for method, runs in courses.items()
        if method.startswith("published")
    ]
    best = np.max(theirs, axis=0) if theirs else None
    lines: list[list[object]] = []
    for method, runs in courses.items():
        ends = [run[-1] for run in runs]
        above = "-"
        if best is not None and not method.startswith("published"):
            above = f"{np.sum([tss(end) for end in ends] > best)} of {len(ends)}"
        exact = "Adam" not in method and "mini-batch" not in method
        lines.append([
            method, middle([end[BALANCED] for end in ends]), middle([tss(end) for end in ends]),
            above, middle([end[SECONDS] for end in ends], 1), middle([end[0] for end in ends], 0),
            middle([end[-1] for end in ends], 0) if exact else "-",
        ])  # fmt: skip
    return lines


def draw(figure: Any, name: str, courses: Courses) -> None:
    """Draw TSS over seconds, and F over sweeps, a line for each seed."""
    left, right = figure.subplots(1, 2)
    for method, runs in courses.items():
        style = STYLES[method]
        for number, course in enumerate(runs):
            label = method if number == 0 else None
            if method == "Adam, compressed, fine-tuned":
                course = course[-1:]
            some = {"markevery": max(1, len(course) // 5), "markersize": 5, "linewidth": 1.1}
            table = np.array(course)
            left.plot(table[:, SECONDS], 2 * table[:, BALANCED] - 1, **style, **some, label=label)
            if "Adam" not in method and "mini-batch" not in method:
                right.plot(table[:, 0], table[:, -2], **style, **some, label=label)
    left.set(xscale="log", xlabel="seconds of training", ylabel="TSS of the test rows", title=name)
    left.set_ylim(bottom=max(-0.05, left.get_ylim()[0]))
    right.set(
        xscale="log", yscale="log", xlabel="sweeps", ylabel="F",
        title="objective; of fastbcd while tau grows",
    )  # fmt: skip
    for ax in (left, right):
        ax.grid(color="0.9")
    left.legend(fontsize=7)


def main() -> None:
    """Measure what is missing, print the table and draw the figure."""
    parser = arguments(__doc__, seeds=5)
    add_arguments(parser, ("flares", "letter"))
    parser.add_argument("--sweeps", type=int, default=1000, help="most sweeps of every method")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    options = parser.parse_args()
    if options.quick:
        options.sweeps, options.seeds = 3, 1
    experiment = Experiment("imbalance", ("data", "limits", "method", "seed"), VALUES, options)
    courses: Courses = {}
    name = ""
    for seed in range(options.seeds):
        split = flares(options, seed)
        name = split.name
        if seed == 0:
            share = f"{np.mean(split.y_test):.1%}"
            note = f"{name}; {len(split.y)} training rows, half of them positive; {share} of "
            note += f"{len(split.y_test)} test rows are."
        for method in options.methods:
            ours = courses.get("fastbcd full", [])
            known = ours[seed][-1][SECONDS] if len(ours) > seed else 60.0
            seconds = options.seconds or (known if "Adam" in method else np.inf)
            course = experiment.rows(
                (name, limits(options), method, seed),
                run,
                method,
                split,
                seed,
                seconds,
                options.sweeps,
            )
            courses.setdefault(method, []).append(course)
    experiment.table(HEAD, lines_of(courses), note)
    experiment.figure(lambda figure: draw(figure, name, courses), width=11, height=4.4)


if __name__ == "__main__":
    main()
