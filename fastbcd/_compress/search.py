"""The smallest network whose score drops by no more than is allowed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from fastbcd._compress.job import Job, OneShot
from fastbcd._compress.sizes import Sizes
from fastbcd._network import Network
from fastbcd.exceptions import BudgetWarning

FIRST = 30
"""The first size that is tried is the dense one divided by this."""

STRIDE = 2.0
"""Factor between sizes until one is good enough and one is not."""

PRECISE = 1.25
"""The search ends when it knows up to this factor what must be spent."""


@dataclass(frozen=True)
class Judged:
    """A compressed network and its score on the rows held out.

    Parameters
    ----------
    found : OneShot
        Its schemes and the errors of its layers.
    network : Network
        The network after refinement.
    score : float
        Its score.
    """

    found: OneShot
    network: Network
    score: float


def smallest_within(
    job: Job, sizes: Sizes, max_drop: float, score: Callable[[Network], float]
) -> tuple[Judged, float]:
    """Return the smallest network found whose score is near enough, and the dense network's score.

    What is spent is tried in strides, then between the most that failed and the least that did
    not. What dead neurons give back is not spent again: it makes the network smaller.

    Warns
    -----
    BudgetWarning
        If no network met the bound; the one with the best score is returned.

    Raises
    ------
    KeyboardInterrupt
        If interrupted before there is any network.
    """
    reference = score(job.source.network)
    job.say(f"dense network: score {reference:.4f}")
    low, high = float(sizes.smallest), float(sizes.largest)
    passed: Judged | None = None
    nearest: Judged | None = None
    size = min(max(low, high / FIRST), high)
    while not job.interrupted:
        try:
            judged = _judge(job, sizes, size, score)
        except KeyboardInterrupt:
            if passed is None and nearest is None:
                raise
            job.interrupted = True
            break
        job.say(f"{judged.network.n_bytes} bytes: score {judged.score:.4f} of {reference:.4f}")
        if reference - judged.score <= max_drop:
            high = size
            if passed is None or judged.network.n_bytes < passed.network.n_bytes:
                passed = judged
        else:
            low = size
            if nearest is None or judged.score > nearest.score:
                nearest = judged
        if high <= PRECISE * low:
            break
        # One stride beyond what is known, or half way between what failed and what did not.
        middle = math.sqrt(low * high)
        if nearest is None:
            size = max(high / STRIDE, low)
        elif passed is None:
            size = min(low * STRIDE, high)
        else:
            size = middle
    if passed is not None:
        return passed, reference
    assert nearest is not None
    warnings.warn(
        f"No smaller network was found whose score drops by at most {max_drop:g}; the best one "
        f"drops by {reference - nearest.score:.4g}. Allow more, or give more rows or epochs.",
        BudgetWarning,
        stacklevel=5,
    )
    return nearest, reference


def _judge(job: Job, sizes: Sizes, size: float, score: Callable[[Network], float]) -> Judged:
    found = sizes.spending(math.ceil(size))
    assert found is not None  # nothing below sizes.smallest is asked for
    network = job.refined(found.network)
    return Judged(found, network, score(network))
