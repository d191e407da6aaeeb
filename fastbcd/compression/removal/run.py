"""Remove inputs and neurons within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from fastbcd.compression.budget import Budget
from fastbcd.compression.job import Compressed, Job
from fastbcd.compression.notes import dense_bytes
from fastbcd.compression.one_shot import OneShot
from fastbcd.compression.removal.goal import bytes_of, goal_of, open_goal
from fastbcd.compression.removal.path import Path, features_by_input, widths_of
from fastbcd.compression.removal.search import smallest_on
from fastbcd.exceptions import BudgetError
from fastbcd.formats import DenseMatrix
from fastbcd.network.network import Network
from fastbcd.schemes import Prune
from fastbcd.schemes.protocol import Scheme

Score = Callable[[Network], float]
"""The score of a network of the job on rows held out."""


def run_removal(job: Job, budget: Budget, score: Score) -> Compressed:
    """Remove units of the network of ``job`` within ``budget``.

    Parameters
    ----------
    job : Job
        Network of dense layers, task and rows.
    budget : Budget
        Its scheme is a ``Prune`` of units.
    score : callable
        For ``max_score_drop``.
    """
    scheme = budget.scheme
    assert isinstance(scheme, Prune)
    if budget.kind == "max_error":
        raise ValueError(
            f"max_error={budget.amount:g} cannot choose the amount of {scheme}. Set its amount, or "
            "max_bytes, ratio or max_score_drop, and read the difference from certify=."
        )
    job.drop_inputs()
    n_layers = len(job.network.layers)
    schemes: list[Scheme | None] = [scheme] * n_layers
    if budget.kind == "scheme":
        goal = goal_of(scheme, widths_of(job.network), len(features_by_input(job)))
        network = Path(job, goal).walk()
        return _finished(job, job.refined(network, schemes), network, schemes)
    limit = budget.amount
    if budget.kind == "ratio":
        limit = dense_bytes(job.original) / budget.amount
    job.use(_in_single_precision(job.network))
    size = _bytes(job)
    if budget.kind == "max_score_drop":
        path = Path(job, open_goal(scheme, n_layers, size))
        judged, before = smallest_on(job, path, budget.amount, score)
        return _finished(job, judged.network, judged.start, schemes, (before, judged.score))
    goal = open_goal(scheme, n_layers, size, float(int(limit)))
    network = Path(job, goal).walk()
    made = job.n_bytes(network, schemes)
    if made > limit:
        raise BudgetError(
            f"{budget.kind}={budget.amount:g} asks for {int(limit)} bytes; without all that "
            f"{scheme} may remove, {made} bytes are left. Ask for at least that, or name "
            "other schemes."
        )
    return _finished(job, job.refined(network, schemes), network, schemes)


def _finished(
    job: Job,
    network: Network,
    start: Network,
    schemes: list[Scheme | None],
    scores: tuple[float, float] | None = None,
) -> Compressed:
    made = job.finish(network, OneShot(start, schemes, []), scores=scores)
    # A later fit trains the slim network as it is: nothing is left to remove.
    return replace(made, scheme=None)


def _in_single_precision(network: Network) -> Network:
    """Return the network of a byte budget: numbers are stored as float32."""
    return Network(
        [
            replace(
                layer,
                weight=DenseMatrix(layer.weight.to_dense().astype(np.float32)),
                intercept=layer.intercept.astype(np.float32),
            )
            for layer in network.layers
        ]
    )


def _bytes(job: Job) -> Callable[[Sequence[int]], float]:
    """Return the bytes of networks of given widths, at least those that they turn out to have."""
    encoding = job.encoding
    assert encoding is not None
    per_ramp = 2 * 4 if len(encoding.columns) else 0
    return bytes_of(4, encoding.n_columns, per_ramp)
