"""Low-rank networks: accuracy, layer errors, seconds and bytes, ours beside the peers.

    FASTBCD_DATA=FOLDER python -m bench.compress.low_rank [--networks mnist letter watch_har wide]

The whole network becomes 5, 10 or 20 times smaller in bytes; the output layer and the intercepts
stay dense and are part of that. Peers shrink every hidden layer by the same factor, or keep the
largest singular values for their cost, whichever changes the outputs on the calibration rows less
(not timed); ours shares the bytes itself. SVD looks at the weights alone, ASVD scales the inputs by
their size, SVD-LLM whitens them: all on the activations of the dense network, with the same 20,000
training rows (fewer if there are not so many) and no labels. "SVD + Adam" trains both factors in
PyTorch and "LC" alternates SGD and truncation (SVD), each for twice the seconds of our run with
labels. Where the output layer alone is larger than the whole may be, the row is left out.
"""

from __future__ import annotations

from argparse import Namespace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from bench.compress.contestants import (
    TIMES_OURS,
    has_torch,
    ours,
    peer,
    rows_of,
    trained_peer,
    warm_up,
)
from bench.compress.networks import Matrix, Problem, assemble, dense_network, problem
from bench.compress.tables import Table, options_of
from bench.peers import low_rank
from bench.peers.sequential import through_layers
from fastbcd.formats import DenseMatrix, Format, LowRankMatrix
from fastbcd.schemes import LowRank

RATIOS = (5, 10, 20)

METHODS = {
    "SVD": low_rank.plain,
    "ASVD": low_rank.activation_aware,
    "SVD-LLM": low_rank.whitened,
}


def numbers_left(of: Problem, ratio: float) -> int:
    """Return how many numbers the factors may have for a network ``ratio`` times smaller."""
    whole, hidden = dense_network(of).n_bytes, 4 * sum(of.hidden_sizes)
    return int(whole / ratio - (whole - hidden)) // 4


def even_ranks(shapes: list[tuple[int, int]], budget: int) -> list[int]:
    """Return ranks that make all layers smaller by the same factor."""
    share = budget / sum(d * m for d, m in shapes)
    return [max(1, int(share * d * m / (d + m))) for d, m in shapes]


def energy_ranks(weights: list[Matrix], budget: int) -> list[int]:
    """Return ranks that keep the largest squared singular values for their cost.

    They are relative to the norm of their layer, and a rank costs n_in + n_out numbers.
    """
    offers = []
    for index, weight in enumerate(weights):
        energy = np.square(np.linalg.svd(weight, compute_uv=False))
        offers += [(e / energy.sum() / sum(weight.shape), index) for e in energy[1:]]
    chosen = [1] * len(weights)
    left = budget - sum(sum(weight.shape) for weight in weights)
    for _, index in sorted(offers, reverse=True):
        cost = sum(weights[index].shape)
        if cost > left:
            break
        chosen[index] += 1
        left -= cost
    return chosen


def best_ranks(of: Problem, name: str, ratio: float) -> list[int]:
    """Return the ranks, even or by energy, of the smaller output error on the calibration rows."""
    weights, budget = of.weights[:-1], numbers_left(of, ratio)
    dense = dense_network(of).forward(of.x)

    def error(chosen: list[int]) -> float:
        network = assemble(
            [*one_shot(of, name, chosen)[0], DenseMatrix(of.weights[-1])], of.intercepts
        )
        return float(np.linalg.norm(network.forward(of.x) - dense))

    return min(
        even_ranks([w.shape for w in weights], budget), energy_ranks(weights, budget), key=error
    )


def one_shot(of: Problem, name: str, chosen: list[int]) -> tuple[list[LowRankMatrix], float]:
    """Run a one-shot method; return the layers and seconds."""
    start = perf_counter()
    found = through_layers(
        lambda w, gram, index: METHODS[name](w, gram, chosen[index]),
        of.weights, of.intercepts, of.x, "dense", lambda factors: factors[0] @ factors[1],
    )  # fmt: skip
    seconds = perf_counter() - start
    return [LowRankMatrix(a.astype("f4"), b.astype("f4")) for a, b in found], seconds


def truncated(matrix: Matrix, rank: int) -> Matrix:
    """Return the nearest matrix of that rank."""
    left, right = low_rank.plain(matrix, matrix, rank)
    return np.asarray(left @ right, np.float32)


def trained(of: Problem, name: str, chosen: list[int], seconds: float) -> Any:
    """Run a method that trains; return matrices and intercepts."""
    from bench.peers import finetune

    rows = rows_of(of)
    if name == "LC":
        return finetune.learning_compression(
            of.weights,
            of.intercepts,
            rows,
            lambda hidden: [truncated(w, r) for w, r in zip(hidden, chosen, strict=True)],
            seconds,
        )
    start = perf_counter()
    method = name.removesuffix(" + Adam")
    parts: list[finetune.Part] = [
        finetune.Product(layer.left, layer.right) for layer in one_shot(of, method, chosen)[0]
    ]
    parts.append(finetune.Masked(of.weights[-1]))
    left = seconds - (perf_counter() - start)
    return finetune.fine_tune(parts, of.intercepts, rows, left)


TRAINED = ("SVD + Adam", "SVD-LLM + Adam", "LC")


def measure(of: Problem, table: Table, ratio: float, training: bool) -> None:
    """Add all rows of one size."""
    amount = f"{ratio:g}x"
    try:
        seconds = ours(of, table, amount, training, scheme=LowRank(), ratio=ratio)
    except ValueError as error:
        print(f"{amount}: left out, {error}", flush=True)
        return
    for name in METHODS:
        run = partial(one_shot, of, name, best_ranks(of, name, ratio))
        table.add(of.name, amount, name, peer(of, amount, name, run))
    for name in TRAINED if training and has_torch() else ():
        chosen = best_ranks(of, name.removesuffix(" + Adam").replace("LC", "SVD"), ratio)
        work = partial(trained, of, name, chosen, TIMES_OURS * seconds)

        def store(index: int, matrix: Matrix, chosen: list[int] = chosen) -> Format:
            left, right = low_rank.plain(matrix, matrix, chosen[index])
            return LowRankMatrix(left.astype("f4"), right.astype("f4"))

        table.add(of.name, amount, name, trained_peer(of, amount, name, work, store))


def run(options: Namespace) -> Table:
    """Measure what is missing, print and return the table."""
    table = Table("low_rank", options)
    ratios = (3,) if options.quick else RATIOS
    for name in options.networks:
        of = problem(name)
        print(f"{name}: dense {of.model.score(of.data.x_test, of.data.y_test):.4f}", flush=True)
        warm_up(of, scheme=LowRank(), ratio=2)
        for ratio in ratios:
            measure(of, table, ratio, not options.no_training)
    table.show(options.networks, [f"{ratio:g}x" for ratio in ratios])
    return table


if __name__ == "__main__":
    run(options_of(__doc__))
