"""Pruned networks: accuracy, layer errors, seconds and bytes, ours beside the peers.

    FASTBCD_DATA=FOLDER python -m bench.compress.pruning [--networks mnist letter watch_har wide]

The hidden layers keep 10, 5, 2 and 1 % of their weights, the output layer stays dense. One-shot
methods see the same 20,000 training rows (fewer if there are not so many) and no labels. Peers
give every layer the same share, as published; "magnitude, global" and ours do not, and with
``--our-shares`` ALPS and ExactOBS get our shares, too. SparseGPT, Wanda, ADMM-Grad and ALPS take
the inputs from the layers pruned before, ExactOBS from the dense network, each as published.
"refined" and all that train see all training rows. What trains in PyTorch gets twice the seconds of
our run with labels, and trains intercepts and output layer, too. The rates and penalties of what
trains were chosen on held-out training rows of MNIST. One run each.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from bench.compress.contestants import (
    BRIEFLY,
    IMITATED,
    OURS,
    REFINED,
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
from bench.peers import exact_obs, oneshot
from bench.peers.sequential import through_layers
from fastbcd import compress
from fastbcd.formats import Format, SparseMatrix
from fastbcd.schemes import Prune

DENSITIES = (0.1, 0.05, 0.02, 0.01)

METHODS = {
    "magnitude, per layer": (oneshot.magnitude, "dense"),
    "Wanda": (oneshot.wanda, "compressed"),
    "SparseGPT": (oneshot.sparse_gpt, "compressed"),
    "ADMM-Grad": (oneshot.admm_grad, "compressed"),
    "ALPS": (oneshot.alps, "compressed"),
}


def global_magnitude(hidden: list[Matrix], k: int) -> list[Matrix]:
    """Keep the k largest weights of all layers together."""
    sizes = np.concatenate([np.abs(w).ravel() for w in hidden])
    keep = oneshot.keep_largest(sizes, k)
    parts = np.split(keep, np.cumsum([w.size for w in hidden])[:-1])
    return [w * part.reshape(w.shape) for w, part in zip(hidden, parts, strict=True)]


def store(index: int, matrix: Matrix) -> Format:
    """Store a pruned layer."""
    return SparseMatrix.from_dense(np.asarray(matrix, np.float32))


class Peers:
    """The peers on one network; the traces of ExactOBS serve all densities."""

    def __init__(self, of: Problem) -> None:
        self.of = of
        self._traces: tuple[list[exact_obs.Trace], float] | None = None

    def counts(self, density: float) -> list[int]:
        """Return how many weights each layer keeps."""
        return [round(density * size) for size in self.of.hidden_sizes]

    def _through(self, method: Callable[..., Any], inputs: str, dense: Any = np.asarray) -> Any:
        of = self.of
        return through_layers(method, of.weights, of.intercepts, of.x, inputs, dense)

    def one_shot(self, name: str, counts: list[int]) -> tuple[list[Format], float]:
        """Run a one-shot method; return the layers and seconds."""
        method, inputs = METHODS[name]
        start = perf_counter()
        found = self._through(lambda w, gram, index: method(w, gram, counts[index]), inputs)
        seconds = perf_counter() - start
        return [store(index, matrix) for index, matrix in enumerate(found)], seconds

    def magnitude(self, total: int) -> tuple[list[Format], float]:
        """Prune by magnitude over all layers."""
        start = perf_counter()
        found = global_magnitude(self.of.weights[:-1], total)
        seconds = perf_counter() - start
        return [store(index, matrix) for index, matrix in enumerate(found)], seconds

    def exact_obs(self, counts: list[int]) -> tuple[list[Format], float]:
        """Run ExactOBS; the seconds of the traces count in full at every density."""
        if self._traces is None:
            exact_obs.trace(np.eye(3), np.eye(3))  # compiles
            start = perf_counter()
            found = self._through(
                lambda w, gram, index: exact_obs.trace(w, gram), "dense", lambda t: t.weight
            )
            self._traces = found, perf_counter() - start
        traces, seconds = self._traces
        start = perf_counter()
        layers = [trace.prune(k) for trace, k in zip(traces, counts, strict=True)]
        seconds += perf_counter() - start
        return [store(index, matrix) for index, matrix in enumerate(layers)], seconds

    def trained(self, name: str, total: int, seconds: float) -> tuple[list[Matrix], list[Matrix]]:
        """Run a method that trains."""
        from bench.peers import finetune

        of, rows = self.of, rows_of(self.of)
        if name == "gradual magnitude + Adam":
            return finetune.gradual_magnitude(of.weights, of.intercepts, rows, total, seconds)
        if name == "LC":
            return finetune.learning_compression(
                of.weights, of.intercepts, rows, lambda w: global_magnitude(w, total), seconds
            )
        start = perf_counter()
        if name == "magnitude + Adam":
            hidden = global_magnitude(of.weights[:-1], total)
        else:
            counts = [round(total * size / sum(of.hidden_sizes)) for size in of.hidden_sizes]
            hidden = [layer.to_dense() for layer in self.one_shot("ALPS", counts)[0]]
        parts: list[finetune.Part] = [finetune.Masked(w, w != 0) for w in hidden]
        parts.append(finetune.Masked(of.weights[-1]))
        left = seconds - (perf_counter() - start)
        return finetune.fine_tune(parts, of.intercepts, rows, left)


TRAINED = ("magnitude + Adam", "gradual magnitude + Adam", "LC", "ALPS + Adam")


def our_counts(of: Problem, density: float) -> list[int]:
    """Return how many weights our one-shot run leaves to each layer, the same number in all."""
    small = compress(of.model, of.x, scheme=Prune(density=density), epochs=0, random_state=0)
    left = [layer.weight.n_params for layer in small.network_.layers[:-1]]
    total = round(density * sum(of.hidden_sizes))
    return [round(total * n / sum(left)) for n in left]


def measure(
    of: Problem, table: Table, density: float, peers: Peers, training: bool, shared: bool
) -> None:
    """Add all rows of one density."""
    amount, counts = f"{density:.0%}", peers.counts(density)
    total = round(density * sum(of.hidden_sizes))
    every = OURS, BRIEFLY, IMITATED, REFINED
    seconds = ours(of, table, amount, training, every, scheme=Prune(density=density))

    def add(name: str, run: Callable[[], tuple[list[Format], float]]) -> None:
        table.add(of.name, amount, name, peer(of, amount, name, run))

    add("magnitude, global", lambda: peers.magnitude(total))
    for name in METHODS:
        add(name, partial(peers.one_shot, name, counts))
    add("ExactOBS", partial(peers.exact_obs, counts))
    if shared:
        counts = our_counts(of, density)
        add("ALPS, our shares", partial(peers.one_shot, "ALPS", counts))
        add("ExactOBS, our shares", partial(peers.exact_obs, counts))
    for name in TRAINED if training and has_torch() else ():
        run = partial(peers.trained, name, total, TIMES_OURS * seconds)
        table.add(of.name, amount, name, trained_peer(of, amount, name, run, store))


def run(options: Namespace) -> Table:
    """Measure what is missing, print and return the table."""
    table = Table("pruning", options)
    densities = (0.2,) if options.quick else DENSITIES
    for name in options.networks:
        of = problem(name)
        print(f"{name}: dense {of.model.score(of.data.x_test, of.data.y_test):.4f}", flush=True)
        warm_up(of, scheme=Prune(density=0.1))
        peers = Peers(of)
        for density in densities:
            measure(of, table, density, peers, not options.no_training, options.our_shares)
    table.show(options.networks, [f"{density:.0%}" for density in densities])
    return table


if __name__ == "__main__":
    run(options_of(__doc__))
