"""Compress a network within a budget."""

from __future__ import annotations

from dataclasses import replace

from fastbcd.compression.allocation.by_bytes import Sizes
from fastbcd.compression.allocation.sparsity import fixed_schemes
from fastbcd.compression.budget import Budget
from fastbcd.compression.certified import Certifier
from fastbcd.compression.coarse_to_fine import refined, refined_within
from fastbcd.compression.job import Compressed, Job, Scorer
from fastbcd.compression.removal import run_removal
from fastbcd.compression.search.bisection import smallest_within
from fastbcd.compression.search.by_difference import smallest_certified
from fastbcd.compression.structures import removes_units
from fastbcd.exceptions import BudgetError
from fastbcd.network.network import Network
from fastbcd.schemes.protocol import Scheme


def run(
    job: Job,
    budget: Budget,
    scorer: Scorer | None = None,
    certifier: Certifier | None = None,
) -> Compressed:
    """Compress the network of ``job`` within ``budget``.

    Parameters
    ----------
    job : Job
        Network, task and rows.
    budget : Budget
        Required size or score.
    scorer : callable, optional
        Score of networks for ``max_score_drop``; by default the score of the task.
    certifier : Certifier, optional
        Compares networks with the dense one for ``max_error``, and for the report.
    """
    with job.progress:
        made = _run(job, budget, scorer, certifier)
        if certifier is None:
            return made
        job.progress.say("certifying")
        change = certifier.change_to(made.network)
    return replace(made, report=replace(made.report, certified=change))


def _run(
    job: Job, budget: Budget, scorer: Scorer | None, certifier: Certifier | None
) -> Compressed:
    def score(network: Network) -> float:
        return job.held_out_score(network, scorer)

    if removes_units(budget.scheme, job.network):
        return run_removal(job, budget, score)
    if budget.kind == "scheme":
        found = job.one_shot(fixed_schemes(budget, job.calibration, job.settings))
        together = isinstance(budget.scheme, Scheme) and budget.allocation == "global"
        return job.finish(refined(job, found, together), found, choice=budget.scheme)
    sizes = Sizes(job, budget.scheme)
    if budget.kind == "max_score_drop":
        judged, before = smallest_within(job, sizes, budget.amount, score)
        return job.finish(judged.network, judged.found, scores=(before, judged.score))
    if budget.kind == "max_error":
        assert certifier is not None
        one_of = smallest_certified(job, sizes, budget.amount, certifier)
        return job.finish(one_of.network, one_of.found)
    limit = budget.amount if budget.kind == "max_bytes" else sizes.dense_bytes / budget.amount
    one = sizes.one_shot(int(limit))
    if one is None:
        least = sizes.smallest if sizes.made is None else sizes.made
        raise BudgetError(
            f"{budget.kind}={budget.amount:g} asks for {int(limit)} bytes; the smallest this "
            f"network can be made is {least} bytes. Ask for at least that, or name other schemes."
        )
    network = refined_within(job, one, int(limit))
    if job.n_bytes(network, one.schemes) > limit:  # features came back that one does without
        network = one.network
    return job.finish(network, one)
