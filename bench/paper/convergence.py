"""Experiment 6: does F fall with every block, and does the subgradient vanish as fast as O(1/k)?

    python -m bench.paper.convergence [--sweeps 1000] [--hidden 128 128 64] [--rank 16]
                                      [--data ...] [--jobs N] [--quick]

fastbcd's full solver with tau = 5, gamma = rho = 0.5, proximal = 1 (the theory needs a tau that
stays) on the squared loss, in float64 and float32, with and without acceleration, and the
published steps in both types. g_k is the least subgradient of F after sweep k. The rate holds if
K min_{k <= K} ||g_k||^2 stays bounded. A block's margin is its decrease less what the theory
promises, over F at the start: negative beyond rounding would contradict the theory.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from bench.kept import Row
from bench.paper.contestants import VALUES as COURSE
from bench.paper.contestants import published_course
from bench.paper.data import Split, add_arguments, human_activity
from bench.paper.experiment import Experiment, Style, arguments
from fastbcd import BCDClassifier
from fastbcd.schemes import TensorTrain

PENALTIES = {"gamma": 0.5, "rho": 0.5, "tau": 5.0}
PROXIMAL = 1.0

VALUES = ("sweep", "objective", "squared_subgradient", "squared_step", "margin", "fell")

RUNS: dict[str, Style] = {
    "float64": {"color": "#0072B2", "linestyle": "-"},
    "float32": {"color": "#56B4E9", "linestyle": "--"},
    "float64, accelerated": {"color": "#009E73", "linestyle": "-"},
    "float32, accelerated": {"color": "#CC79A7", "linestyle": "--"},
    "published, float64": {"color": "#D55E00", "linestyle": "-."},
    "published, float32": {"color": "#E69F00", "linestyle": ":"},
}


def run(name: str, split: Split, hidden: tuple[int, ...], rank: int, sweeps: int) -> list[Row]:
    """Return a row for each sweep."""
    dtype = "float64" if "float64" in name else "float32"
    if name.startswith("published"):
        course = published_course(
            split, hidden, 0, np.inf, sweeps, rank=rank, dtype=dtype, alpha=PROXIMAL, **PENALTIES
        )
        f = [row[COURSE.index("objective")] for row in course]
        fell = [np.nan, *(-np.diff(f))]
        return [(k + 1, f[k], np.nan, np.nan, np.nan, fell[k]) for k in range(len(f))]
    clf = BCDClassifier(
        hidden, solver="full", loss="squared", scheme=TensorTrain(rank=rank), max_iter=sweeps,
        tol=0.0, certificate=True, accelerate="accelerated" in name, random_state=0,
        proximal=PROXIMAL, **PENALTIES,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.fit(split.x.astype(dtype), split.y)
    record = clf.convergence_
    first = record.objective[0]
    margins = [min(s.decrease - s.guaranteed for s in steps) for steps in record.block_steps]
    return [
        (k + 1, float(record.objective[k + 1]), record.subgradient_norm[k] ** 2,
         record.step_norm[k] ** 2, margins[k] / first, float(record.decreases[k]))
        for k in range(len(record.step_norm))
    ]  # fmt: skip


HEAD = (
    "run", "sweeps", "F at the end", "sweeps that raised F", "least margin of a block",
    "K min g^2 at 1/10, 1/3 and all sweeps", "slope of log min g^2", "sum of squared steps",
)  # fmt: skip


def least(rows: list[Row]) -> Any:
    """Return min_{k <= K} ||g_k||^2 for all K."""
    return np.minimum.accumulate([row[2] for row in rows])


def lines_of(courses: dict[str, list[Row]]) -> list[list[object]]:
    """Return the lines of the table."""
    lines: list[list[object]] = []
    for name, rows in courses.items():
        n = len(rows)
        rises = int(np.sum(np.array([row[-1] for row in rows]) < 0))
        line: list[object] = [name, n, f"{rows[-1][1]:.5g}", rises]
        if name.startswith("published"):
            lines.append([*line, "-", "-", "-", "-"])
            continue
        best, at = least(rows), sorted({max(n // 10, 1), max(n // 3, 1), n})
        half = np.arange(max(n // 10, 1), n + 1)
        slope = np.polyfit(np.log(half), np.log(best[half - 1]), 1)[0] if half.size > 2 else np.nan
        lines.append([
            *line, f"{min(row[4] for row in rows):.1e}",
            ", ".join(f"{k * best[k - 1]:.3g}" for k in at), f"{slope:.2f}",
            f"{sum(row[3] for row in rows):.4g}",
        ])  # fmt: skip
    return lines


def draw(figure: Any, courses: dict[str, list[Row]]) -> None:
    """Draw F, what each sweep took off it, and the subgradient with the O(1/k) line."""
    top, middle, low = figure.subplots(1, 3)
    for name, rows in courses.items():
        table = np.array(rows)
        k = table[:, 0]
        top.plot(k, table[:, 1], **RUNS[name], label=name)
        fell = np.where(table[:, -1] > 0, table[:, -1], np.nan)
        middle.plot(k, fell, **RUNS[name], linewidth=0.9)
        if not name.startswith("published"):
            low.plot(k, k * least(rows), **RUNS[name], label=name)
    ours = [rows for name, rows in courses.items() if name == "float64"]
    if ours:
        best = least(ours[0])
        k = np.arange(1, len(best) + 1)
        low.plot(k, best, color="#333333", linewidth=1, label="min ||g||², float64")
        low.plot(k, best[0] / k, color="#333333", linestyle=(0, (1, 3)), label="O(1/k)")
    for ax, title in (
        (top, "F"), (middle, "decrease of F in a sweep"), (low, "K min ||g||²"),
    ):  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel="sweeps K", title=title)
        ax.grid(color="0.9")
    top.legend(fontsize=7)
    low.legend(fontsize=7)


def main() -> None:
    """Measure what is missing, print the table and draw the figure."""
    parser = arguments(__doc__, parallel=True)
    add_arguments(parser, ("uci_har", "watch_har"))
    parser.add_argument("--sweeps", type=int, default=1000)
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 128, 64])
    parser.add_argument("--rank", type=int, default=16)
    options = parser.parse_args()
    if options.quick:
        options.sweeps, options.hidden, options.rank = 12, [16, 16], 4
    split = human_activity(options)
    hidden = tuple(options.hidden)
    shape = "-".join(map(str, hidden))
    keys = ("data", "hidden", "rank", "sweeps", "run")
    experiment = Experiment("convergence", keys, VALUES, options)
    runs = {
        (split.name, shape, options.rank, options.sweeps, name): (
            name, split, hidden, options.rank, options.sweeps
        )
        for name in RUNS
    }  # fmt: skip
    found = experiment.all_rows(run, runs, options.jobs)
    courses = dict(zip(RUNS, found.values(), strict=True))
    experiment.table(HEAD, lines_of(courses), f"{split.name}, {shape}, rank {options.rank}.")
    experiment.figure(lambda figure: draw(figure, courses), width=13, height=4.2)


if __name__ == "__main__":
    main()
