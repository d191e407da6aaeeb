"""The table and the figure on the front page: ``python -m bench.headline``.

A scikit-learn ``MLPClassifier`` trained on the digits is made 4 to 32 times smaller in several
ways, three times with different seeds. All sizes are bytes of arrays, indices included, by one
accounting. ``compress`` sees the training rows alone; scores are on the other rows.

What it is compared with is simple: the largest weights or singular values alone, and a smaller
dense network trained from the start. Methods that retrain are in ``bench/compress``.
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


def table(dense: float, scores: dict[str, list[float]]) -> str:
    """Return the table as Markdown, with its caption."""
    lines = [
        "| test accuracy at the same bytes | " + " | ".join(f"{r}x smaller" for r in RATIOS) + " |",
        "|---|" + "---|" * len(RATIOS),
    ]
    for name, some in scores.items():
        shown = f"**{name}**" if name.startswith("fastbcd") else name
        lines.append(f"| {shown} | " + " | ".join(f"{score:.4f}" for score in some) + " |")
    lines += [
        "",
        f"The dense network, a scikit-learn `MLPClassifier` 64-{'-'.join(map(str, HIDDEN))}-10 on "
        f"the digits, scores {dense:.4f}. Means of three seeds. Made by "
        "`python -m bench.headline`.",
        "",
    ]
    return "\n".join(lines)


def figure(dense: float, scores: dict[str, list[float]], path: Path) -> None:
    """Draw score over size."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "fastbcd", "svg.fonttype": "none"})
    from fastbcd.display import FrontierDisplay

    n_bytes = 4 * sum((a + 1) * b for a, b in ((64, 256), (256, 64), (64, 10)))
    paths = {
        name: [(n_bytes / r, s) for r, s in zip(RATIOS, some, strict=True)]
        for name, some in scores.items()
    }
    display = FrontierDisplay(paths, (n_bytes, dense), "accuracy on held-out rows").plot()
    display.ax_.set_ylim(0.5, 1.0)
    display.figure_.savefig(path, metadata={"Date": None, "Creator": "python -m bench.headline"})


def main() -> None:
    """Measure, and write the table and the figure of the front page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, and write nothing")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    runs = [measure(seed) for seed in range(1 if options.quick else 3)]
    dense = mean(run[0] for run in runs)
    scores = {n: [mean(run[1][n][k] for run in runs) for k in range(len(RATIOS))] for n in NAMES}
    text = table(dense, scores)
    print(text)
    print(f"One compress took {mean(run[2] for run in runs):.1f} s.")
    if not options.quick:
        (ROOT / "docs" / "headline.md").write_text(text, encoding="utf-8")
        figure(dense, scores, ROOT / "docs" / "_static" / "headline.svg")


if __name__ == "__main__":
    main()
