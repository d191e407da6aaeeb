"""From a budget to a fitted estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastbcd.compression.allocation.by_bytes import Sizes
from fastbcd.compression.allocation.sparsity import fixed_schemes
from fastbcd.compression.budget import Budget
from fastbcd.compression.coarse_to_fine import refined, refined_within
from fastbcd.compression.job import Job
from fastbcd.compression.search.bisection import smallest_within
from fastbcd.exceptions import BudgetError
from fastbcd.network.network import Network
from fastbcd.schemes.protocol import Scheme

Scorer = Callable[..., float]


def run(job: Job, budget: Budget, scorer: Scorer | None) -> Any:
    """Compress within ``budget``; return the estimator."""
    with job.progress:
        return _run(job, budget, scorer)


def _run(job: Job, budget: Budget, scorer: Scorer | None) -> Any:
    if budget.kind == "scheme":
        found = job.one_shot(fixed_schemes(budget, job.calibration))
        together = isinstance(budget.scheme, Scheme) and budget.allocation == "global"
        return job.finish(refined(job, found, together), found, choice=budget.scheme)
    sizes = Sizes(job, budget.scheme)
    if budget.kind == "max_score_drop":

        def score(network: Network) -> float:
            return job.held_out_score(network, scorer)

        judged, before = smallest_within(job, sizes, budget.amount, score)
        return job.finish(judged.network, judged.found, scores=(before, judged.score))
    limit = budget.amount if budget.kind == "max_bytes" else sizes.dense_bytes / budget.amount
    one = sizes.one_shot(int(limit))
    if one is None:
        raise BudgetError(
            f"{budget.kind}={budget.amount:g} asks for {int(limit)} bytes; the smallest this "
            f"network can be made is {sizes.smallest} bytes. Ask for no less, "
            "or name other schemes."
        )
    return job.finish(refined_within(job, one, int(limit)), one)
