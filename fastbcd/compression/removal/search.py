"""The smallest network on a path whose score drops by at most a given amount."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from fastbcd.compression.job import Job
from fastbcd.compression.removal.path import Path
from fastbcd.exceptions import BudgetWarning
from fastbcd.network.network import Network
from fastbcd.utils.warnings import warn


@dataclass(frozen=True)
class Judged:
    """A network of the path after its final refinement, and its score.

    Parameters
    ----------
    network, start : Network
        After and before the refinement.
    score : float
        On the rows held out.
    """

    network: Network
    start: Network
    score: float


def smallest_on(
    job: Job,
    path: Path,
    max_drop: float,
    score: Callable[[Network], float],
) -> tuple[Judged, float]:
    """Return the smallest sufficient network of ``path``, and the score of the dense network.

    All rounds of the path are gone through first, with their short refinements. The smallest one
    that is then good enough starts a bisection, each try with a whole refinement.

    Warns
    -----
    BudgetWarning
        If no network met the bound; that with the best score is returned.
    """
    before = score(job.network)
    if not math.isfinite(before):
        raise ValueError(
            f"max_score_drop={max_drop:g}: the score of the dense network on {job.n_judging} rows "
            f"is {before}. Pass validation_data, or a scoring that is finite on these rows."
        )
    path.walk()
    steps = path.steps
    passed: Judged | None = None
    nearest: Judged | None = None
    low, high = -1, len(steps)  # the last that is good enough, the first that is not
    raw = [n for n, step in enumerate(steps) if before - score(step.network) <= max_drop]
    at = min(len(steps) - 1, max(raw, default=-1) + 1)
    while high - low > 1:
        step = steps[at]
        network = job.refined(step.network, [None] * len(step.network.layers))
        judged = Judged(network, step.network, score(network))
        job.progress.say(f"{step.size:,.0f} bytes: score {judged.score:.4f}")
        if before - judged.score <= max_drop:
            low, passed = at, judged
        else:
            high = at
            if nearest is None or not judged.score <= nearest.score:
                nearest = judged
        if job.interrupted:
            break
        at = (low + high) // 2 if passed is not None or low + 1 == high else (high - 1) // 2
        if nearest is None:
            at = min(len(steps) - 1, low + 2)
    if passed is not None:
        return passed, before
    assert nearest is not None
    warn(
        f"No smaller network was found whose score drops by at most {max_drop:g}; the best one "
        f"drops by {before - nearest.score:.4g}. Allow more, or give more rows or epochs.",
        BudgetWarning,
    )
    return nearest, before
