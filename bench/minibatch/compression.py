"""MNIST, 300-100, compressed while training; the output layer stays dense.

    python -m bench.minibatch.compression [--seeds 5] [--only prune] [--quick]

Test accuracy of the compressed network, the share of the hidden layers' parameters that is left,
and seconds. Medians over seeds. Low rank and tensor train have one rank for all hidden layers, the
largest that leaves a tenth of the parameters; the modes of a train are the nearest two factors of
each side.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np

from bench.data import HIDDEN, Split, fit_fastbcd, load, score
from bench.kept import Kept, Row, arguments
from bench.minibatch.accuracy_over_time import spread
from fastbcd.schemes import LowRank, Prune, TensorTrain

Shape = tuple[int, int]


def factors(n: int) -> tuple[int, int]:
    """Return the two factors of ``n`` that are nearest to each other, the smaller first."""
    first = max(k for k in range(1, int(n**0.5) + 1) if n % k == 0)
    return first, n // first


def largest(make: Callable[[int, Shape], Any], shapes: list[Shape], share: float) -> Any:
    """Return the schemes by layer of the largest common rank that leaves ``share``."""
    total = sum(n * m for n, m in shapes)
    for rank in range(min(map(min, shapes)), 0, -1):
        schemes = {layer: make(rank, shape) for layer, shape in enumerate(shapes)}
        sizes = [schemes[i].project(np.eye(*shape)).n_params for i, shape in enumerate(shapes)]
        if sum(sizes) <= share * total:
            return schemes
    raise ValueError(f"No rank leaves so few numbers: share={share}.")


def schemes(widths: tuple[int, ...]) -> dict[str, Any]:
    """Return what is compared, for hidden layers of these widths."""
    shapes = list(pairwise(widths))
    return {
        "prune 0.95": Prune(sparsity=0.95),
        "prune 0.98": Prune(sparsity=0.98),
        "prune 0.99": Prune(sparsity=0.99),
        "low rank 10x": largest(lambda rank, _: LowRank(rank=rank), shapes, 0.1),
        "tensor train 10x": largest(
            lambda rank, shape: TensorTrain(
                rank=rank, modes=(*factors(shape[0]), *factors(shape[1]))
            ),
            shapes,
            0.1,
        ),
    }


def run(split: Split, hidden: tuple[int, ...], scheme: Any, seed: int) -> Row:
    start = perf_counter()
    network = fit_fastbcd(split, hidden, seed, scheme=scheme).network_
    seconds = perf_counter() - start
    layers = [layer.weight for layer in network.layers[:-1]]
    left = sum(w.n_params for w in layers) / sum(np.prod(w.shape) for w in layers)
    return score(network.forward(split.x_test), split.y_test), left, seconds


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", help="part of the name of a scheme")
    options = parser.parse_args()
    data = "digits" if options.quick else "mnist"
    split, hidden = load(data), HIDDEN[data]
    kept = Kept("compression", ("scheme", "seed"), ("accuracy", "left", "seconds"), options)
    lines = ["| scheme | accuracy | parameters left | s |", "|---|---|---|---|"]
    for name, scheme in schemes((split.x.shape[1], *hidden)).items():
        if options.only not in name:
            continue
        found: list[Row] = []
        for seed in range(1 if options.quick else options.seeds):
            found += kept.rows((name, seed), lambda: [run(split, hidden, scheme, seed)])  # noqa: B023  # called at once
        accuracy, left, seconds = zip(*found, strict=True)
        cells = f"{spread(accuracy, 4)} | {np.median(left):.4f} | {np.median(seconds):.1f}"
        lines.append(f"| {name} | {cells} |")
    kept.table("\n".join(lines))


if __name__ == "__main__":
    main()
