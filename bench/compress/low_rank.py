"""Low-rank networks: accuracy, layer errors, seconds and bytes, ours beside the peers.

    FASTBCD_DATA=FOLDER python -m bench.compress.low_rank [--networks mnist letter watch_har wide]

The whole network becomes 5, 10 or 20 times smaller in bytes; the output layer and the intercepts
stay dense and are part of that. Peers shrink every hidden layer by the same factor; ours shares
the bytes itself. SVD looks at the weights alone, ASVD scales the inputs by their size, SVD-LLM
whitens them: all on the activations of the dense network, with the same 20,000 training rows (fewer
if there are not so many) and no labels. "SVD + Adam" trains both factors in PyTorch and "LC"
alternates SGD and truncation (SVD), each for twice the seconds of our run with labels.
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
from bench.compress.networks import Matrix, Problem, dense_network, problem
from bench.compress.tables import Table, options_of
from bench.peers import low_rank
from bench.peers.sequential import through_layers
from fastbcd.formats import Format, LowRankMatrix
from fastbcd.schemes import LowRank

RATIOS = (5, 10, 20)

METHODS = {
    "SVD": low_rank.plain,
    "ASVD": low_rank.activation_aware,
    "SVD-LLM": low_rank.whitened,
}


def ranks(of: Problem, ratio: float) -> list[int]:
    """Return the ranks that make the network ``ratio`` times smaller, all layers by one factor."""
    shapes = [w.shape for w in of.weights[:-1]]
    whole, hidden = dense_network(of).n_bytes, 4 * sum(of.hidden_sizes)
    share = (whole / ratio - (whole - hidden)) / hidden
    return [max(1, int(share * d * m / (d + m))) for d, m in shapes]


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
    amount, chosen = f"{ratio:g}x", ranks(of, ratio)
    try:
        seconds = ours(of, table, amount, training, scheme=LowRank(), ratio=ratio)
    except ValueError as error:
        print(f"{amount}: left out, {error}", flush=True)
        return
    for name in METHODS:
        run = partial(one_shot, of, name, chosen)
        table.add(of.name, amount, name, peer(of, amount, name, run))

    def store(index: int, matrix: Matrix) -> Format:
        left, right = low_rank.plain(matrix, matrix, chosen[index])
        return LowRankMatrix(left.astype("f4"), right.astype("f4"))

    for name in TRAINED if training and has_torch() else ():
        work = partial(trained, of, name, chosen, TIMES_OURS * seconds)
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
