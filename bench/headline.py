"""The table and the figures on the front page: ``python -m bench.headline``.

A scikit-learn ``MLPClassifier`` trained on the digits is made 4 to 32 times smaller in several
ways, with three seeds. All sizes are bytes of arrays, indices included, counted alike.
``compress`` sees only the training rows; scores are on the other rows.

The other methods are simple: the largest weights or singular values alone, and a smaller dense
network trained from the start. Methods that retrain are in ``bench/compress``.
"""

from __future__ import annotations

import argparse
import time
import warnings
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from fastbcd import compress
from fastbcd.formats import LowRankMatrix, SparseMatrix
from fastbcd.schemes import LowRank

ROOT = Path(__file__).resolve().parents[1]
RATIOS = (4, 8, 16, 32)
HIDDEN = (256, 64)
NAMES = (
    "fastbcd.compress",
    "smaller dense MLPClassifier",
    "largest weights alone",
    "largest singular values alone",
)


def size(arrays: list[Any], intercepts: list[Any]) -> int:
    """Return the bytes of formats or arrays, and of intercepts."""
    bits = (a.n_bits // 8 if hasattr(a, "n_bits") else a.nbytes for a in arrays)
    return sum(bits) + sum(b.nbytes for b in intercepts)


def fitting(mlp: MLPClassifier, limit: int, shrink: Any, amounts: np.ndarray) -> MLPClassifier:
    """Return ``mlp`` with its weights shrunk by the largest amount that fits ``limit``."""
    best = None
    for amount in amounts:  # increasing
        formats = [shrink(w, amount) for w in mlp.coefs_]
        if size(formats, mlp.intercepts_) > limit:
            break
        best = formats
    if best is None:
        raise RuntimeError(f"nothing fits {limit} bytes")
    small = clone(mlp)
    small.__dict__.update(mlp.__dict__)
    small.coefs_ = [f.to_dense().astype(np.float32) for f in best]
    return small


def largest_weights(mlp: MLPClassifier, limit: int) -> MLPClassifier:
    """Keep the largest weights of all layers together."""
    magnitudes = np.sort(np.concatenate([abs(w).ravel() for w in mlp.coefs_]))[::-1]
    counts = np.unique(np.geomspace(4, magnitudes.size - 1, 400).astype(int))

    def shrink(weight: Any, count: float) -> SparseMatrix:
        return SparseMatrix.from_dense(np.where(abs(weight) > magnitudes[int(count)], weight, 0))

    return fitting(mlp, limit, shrink, counts)


def largest_singular_values(mlp: MLPClassifier, limit: int) -> MLPClassifier:
    """Keep as many singular values in every layer."""

    def shrink(weight: Any, rank: float) -> LowRankMatrix:
        return LowRank(rank=min(int(rank), *weight.shape)).project(weight)

    return fitting(mlp, limit, shrink, np.arange(1, 64))


def smaller_dense(mlp: MLPClassifier, limit: int, x: Any, y: Any) -> MLPClassifier:
    """Train a narrower network that fits ``limit``, in the same proportions."""
    best = None
    for width in range(2, 257):
        widths = (64, width, max(2, width // 4), 10)
        n = sum((a + 1) * b for a, b in pairwise(widths))
        if 4 * n <= limit:
            best = widths[1:-1]
    return clone(mlp).set_params(hidden_layer_sizes=best).fit(x, y)


def measure(seed: int) -> tuple[float, dict[str, list[float]], float]:
    """Return the dense score, the scores of each method by ratio, and seconds of a compress."""
    features, labels = load_digits(return_X_y=True)
    x = features.astype(np.float32) / 16
    x, x_test, y, y_test = train_test_split(
        x, labels, test_size=0.4, random_state=seed, stratify=labels
    )
    mlp = MLPClassifier(HIDDEN, max_iter=400, random_state=seed).fit(x, y)
    scores: dict[str, list[float]] = {name: [] for name in NAMES}
    dense, taken = size(mlp.coefs_, mlp.intercepts_), []
    compress(mlp, x, y, ratio=4, random_state=seed)  # compiles
    for ratio in RATIOS:
        start = time.perf_counter()
        small = compress(mlp, x, y, ratio=ratio, random_state=seed)
        taken.append(time.perf_counter() - start)
        limit = int(dense / ratio)
        if small.network_.n_bytes > limit:
            raise RuntimeError("the budget was not kept")
        rivals = (
            small,
            smaller_dense(mlp, limit, x, y),
            largest_weights(mlp, limit),
            largest_singular_values(mlp, limit),
        )
        for name, one in zip(NAMES, rivals, strict=True):
            scores[name].append(one.score(x_test, y_test))
    return mlp.score(x_test, y_test), scores, mean(taken)


def table(dense: list[float], scores: dict[str, list[list[float]]]) -> str:
    """Return the table as Markdown, with its caption: means over seeds, with the range."""
    lines = [
        "| test accuracy at the same bytes | " + " | ".join(f"{r}x smaller" for r in RATIOS) + " |",
        "|---|" + "---|" * len(RATIOS),
    ]
    for name, some in scores.items():
        shown = f"**{name}**" if name.startswith("fastbcd") else name
        cells = (f"{mean(s):.3f} ({min(s):.3f}\u00a0to\u00a0{max(s):.3f})" for s in some)
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    lines += [
        "",
        f"The dense network, a scikit-learn `MLPClassifier` 64-{'-'.join(map(str, HIDDEN))}-10 on "
        f"the digits, has a test accuracy of {mean(dense):.3f} ({min(dense):.3f} to "
        f"{max(dense):.3f}). Means over {len(dense)} seeds, with the range. Each seed uses "
        "a different split and different starting weights. Printed by `python -m bench.headline`.",
        "",
    ]
    return "\n".join(lines)


COLORS = {False: ("#0072B2", "#B37700", "#009E73", "#C04F00"), True: ("#56B4E9", "#E69F00",
          "#2EC4A0", "#FF8A4C")}  # fmt: skip
"""Colours of the four methods, for a light and for a dark page."""


def figure(
    dense: list[float], scores: dict[str, list[list[float]]], path: Path, dark: bool
) -> None:
    """Draw the test errors over the size, without a background of its own."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "fastbcd", "svg.fonttype": "none"})
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    ink, faint = ("#e6e8ea", "#4a5056") if dark else ("#1b1f23", "#d0d4d8")
    canvas = Figure(figsize=(7.2, 3.9), layout="constrained")
    ax = canvas.subplots()
    shifts = (0, 0, -8, 3)  # in points, so that the last two names do not overlap
    looks = zip(scores.items(), COLORS[dark], "os^D", shifts, strict=True)
    for (name, some), color, marker, shift in looks:
        errors = np.array([[100 * (1 - score) for score in runs] for runs in some])
        bold = name.startswith("fastbcd")
        ax.fill_between(
            RATIOS, errors.min(axis=1), errors.max(axis=1), color=color, alpha=0.2, lw=0
        )
        ax.plot(
            RATIOS, errors.mean(axis=1), color=color, marker=marker, markersize=6,
            linewidth=3 if bold else 1.5,
        )  # fmt: skip
        ax.annotate(
            name, (RATIOS[-1], errors[-1].mean()), (10, shift), textcoords="offset points",
            va="center", color=color, fontweight="bold" if bold else "normal",
        )  # fmt: skip
    before = 100 * (1 - mean(dense))
    ax.axhline(before, color=ink, linestyle="--", linewidth=1)
    ax.annotate(
        "the dense network", (RATIOS[2], before), (0, -13), textcoords="offset points",
        ha="center", color=ink,
    )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="times smaller", ylabel="test errors, %")
    ax.set_xticks(RATIOS, [f"{ratio}x" for ratio in RATIOS])
    ax.set_yticks((1, 2, 5, 10, 20, 50, 100))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(1, 100)
    ax.grid(axis="y", color=faint, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    for spine in ax.spines.values():
        spine.set_color(ink)
    ax.tick_params(colors=ink)
    ax.xaxis.label.set_color(ink)
    ax.yaxis.label.set_color(ink)
    about = {"Date": None, "Creator": "python -m bench.headline"}
    canvas.savefig(path, transparent=True, metadata=about)


def main() -> None:
    """Measure, and write the table and the figures of the front page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, and write nothing")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    write([measure(seed) for seed in range(1 if options.quick else 3)], not options.quick)


def write(runs: list[tuple[float, dict[str, list[float]], float]], keep: bool) -> None:
    """Print the table; with ``keep`` write it and the figures, for light and dark pages."""
    dense = [run[0] for run in runs]
    scores = {n: [[run[1][n][k] for run in runs] for k in range(len(RATIOS))] for n in NAMES}
    text = table(dense, scores)
    print(text)
    print(f"One compress took {mean(run[2] for run in runs):.1f} s.")
    if keep:
        (ROOT / "docs" / "headline.md").write_text(text, encoding="utf-8")
        for name, dark in (("headline.svg", False), ("headline-dark.svg", True)):
            figure(dense, scores, ROOT / "docs" / "_static" / name, dark)


if __name__ == "__main__":
    main()
