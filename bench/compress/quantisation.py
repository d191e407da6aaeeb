"""Weights of few bits: accuracy, layer errors, seconds and bytes, ours beside the peers.

    FASTBCD_DATA=FOLDER python -m bench.compress.quantisation [--networks mnist letter watch_har]

Each weight of the hidden layers is a code of 4, 2 or 1 bits; the output layer and the intercepts
stay float32. Bytes count packed codes and the numbers that they stand for. k-means clusters the
weights of a layer, or of each output; GPTQ rounds one input after the other, in the metric of the
inputs from the layers rounded before, to the k-means levels of each output or, as published, to an
even grid. All see the same 20,000 training rows (fewer if there are not so many) and no labels.
"+ Adam" trains the levels in PyTorch, "LC" alternates SGD and k-means, each for twice the seconds
of our run with labels.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

import fastbcd.schemes
from bench.compress.contestants import (
    TIMES_OURS,
    has_torch,
    ours,
    peer,
    rows_of,
    trained_peer,
    warm_up,
)
from bench.compress.networks import Matrix, Problem, problem
from bench.compress.tables import Table, options_of
from bench.peers import codebook
from bench.peers.sequential import through_layers
from fastbcd.formats import DenseMatrix, Format

BITS = (4, 2, 1)

Method = Callable[[Matrix, Matrix, int], codebook.Coded]

METHODS: dict[str, Method] = {
    "k-means, per layer": codebook.k_means,
    "k-means, per output": lambda w, gram, bits: codebook.k_means(w, gram, bits, True),
    "GPTQ, even grid": codebook.gptq_uniform,
    "GPTQ, k-means": codebook.gptq_k_means,
}

USUAL_SECONDS = 15.0
"""Seconds of the peers that train where ours cannot be run, doubled."""


def one_shot(of: Problem, name: str, bits: int) -> tuple[list[codebook.Coded], float]:
    """Run a one-shot method; return the layers and seconds."""
    start = perf_counter()
    found = through_layers(
        lambda w, gram, index: METHODS[name](w, gram, bits),
        of.weights, of.intercepts, of.x, "compressed", codebook.Coded.to_dense,
    )  # fmt: skip
    return found, perf_counter() - start


def n_bytes(of: Problem, bits: int, levels: int) -> int:
    """Return the bytes of the network with ``levels`` numbers in all codebooks."""
    codes = sum(-(-size * bits // 8) for size in of.hidden_sizes)
    return codes + 4 * (levels + of.weights[-1].size + sum(b.size for b in of.intercepts))


def dense(index: int, matrix: Matrix) -> Format:
    """Predict by the matrix itself; bytes are counted apart."""
    return DenseMatrix(np.asarray(matrix, np.float32))


def trained(of: Problem, name: str, bits: int, seconds: float) -> Any:
    """Run a method that trains; return matrices and intercepts."""
    from bench.peers import finetune

    rows = rows_of(of)
    if name == "LC":
        return finetune.learning_compression(
            of.weights,
            of.intercepts,
            rows,
            lambda hidden: [codebook.k_means(w, w, bits).to_dense() for w in hidden],
            seconds,
        )
    start = perf_counter()
    method = "k-means, per layer" if name == "k-means + Adam" else "GPTQ, k-means"
    parts: list[finetune.Part] = [
        finetune.Shared(layer.levels, layer.codes) for layer in one_shot(of, method, bits)[0]
    ]
    parts.append(finetune.Masked(of.weights[-1]))
    left = seconds - (perf_counter() - start)
    return finetune.fine_tune(parts, of.intercepts, rows, left)


def named(bits: int) -> str:
    """Return the amount as text."""
    return "1 bit" if bits == 1 else f"{bits} bits"


def measure(of: Problem, table: Table, bits: int, training: bool) -> None:
    """Add all rows of one number of bits."""
    amount = named(bits)
    seconds = USUAL_SECONDS
    if hasattr(fastbcd.schemes, "Quantize"):
        scheme = fastbcd.schemes.Quantize(bits=bits)
        warm_up(of, scheme=scheme)
        seconds = ours(of, table, amount, training, scheme=scheme) or seconds
        scheme = fastbcd.schemes.Quantize(bits=bits, per="column")
        ours(of, table, amount, training, suffix=", per output", scheme=scheme)
    per_layer = n_bytes(of, bits, 2**bits * len(of.hidden_sizes))
    outputs = sum(w.shape[1] for w in of.weights[:-1])
    per_grid = n_bytes(of, bits, 2 * outputs)
    per_output = n_bytes(of, bits, 2**bits * outputs)
    for name in METHODS:

        def run(name: str = name) -> tuple[list[Format], float]:
            found, seconds = one_shot(of, name, bits)
            return [dense(0, layer.to_dense()) for layer in found], seconds

        # An even grid is two numbers for each output: where it starts, and its step.
        size = {"layer": per_layer, "grid": per_grid}.get(name.split()[-1], per_output)
        table.add(of.name, amount, name, peer(of, amount, name, run, size))
    for name, levels in TRAINED.items() if training and has_torch() else ():
        work = partial(trained, of, name, bits, TIMES_OURS * seconds)
        total = per_layer if levels == "layer" else per_output
        table.add(of.name, amount, name, trained_peer(of, amount, name, work, dense, total))


TRAINED = {"k-means + Adam": "layer", "GPTQ, k-means + Adam": "output", "LC": "layer"}


def run(options: Namespace) -> Table:
    """Measure what is missing, print and return the table."""
    table = Table("quantisation", options)
    choice = (2,) if options.quick else BITS
    for name in options.networks:
        of = problem(name)
        print(f"{name}: dense {of.model.score(of.data.x_test, of.data.y_test):.4f}", flush=True)
        for bits in choice:
            measure(of, table, bits, not options.no_training)
    table.show(options.networks, [named(bits) for bits in choice])
    return table


if __name__ == "__main__":
    run(options_of(__doc__))
