"""The smallest network whose score drops by at most a given amount."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastbcd.compression.allocation.by_bytes import Sizes
from fastbcd.compression.coarse_to_fine import refined_within
from fastbcd.compression.job import Job
from fastbcd.compression.one_shot import OneShot
from fastbcd.compression.settings import DEFAULTS, CompressionSettings
from fastbcd.exceptions import BudgetWarning
from fastbcd.network.network import Network
from fastbcd.utils.progress import duration
from fastbcd.utils.warnings import warn


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
    n_bytes : int
        Its bytes, with what is left of an encoding.
    """

    found: OneShot
    network: Network
    score: float
    n_bytes: int


def smallest_within(
    job: Job, sizes: Sizes, max_drop: float, score: Callable[[Network], float]
) -> tuple[Judged, float]:
    """Return the smallest sufficient network found, and the score of the dense network.

    The search tries sizes in strides, then between the largest size that failed and the smallest
    that did not. The bytes of dead neurons are not spent again, so the network is smaller. These
    tries refine the network of their size. If there are separate validation data, a last try at the
    largest size that failed starts with more weights, which takes longer and generalises better.

    Warns
    -----
    BudgetWarning
        If no network met the bound; the network with the best score is returned.

    Raises
    ------
    KeyboardInterrupt
        If interrupted before there is any network.
    """
    settings = job.settings
    reference = score(job.network)
    if not math.isfinite(reference):
        raise ValueError(
            f"max_score_drop={max_drop:g}: the score of the dense network on {job.n_judging} rows "
            f"is {reference}. Pass validation_data, or a scoring that is finite on these rows."
        )
    tells = max_drop * job.n_judging >= 1 if max_drop > 0 else job.n_judging >= settings.judging
    if not tells:
        warn(
            f"max_score_drop={max_drop:g} is judged on {job.n_judging} rows, one of which changes "
            f"the score by up to {1 / job.n_judging:.2g}. Pass validation_data with more rows.",
            BudgetWarning,
        )
    start, n_tried, last = time.perf_counter(), 0, False
    # The dense network may have memorised rows held out of X, which favours networks near it.
    one_more = job.epochs > 0 and not job.sets_aside
    job.progress.say(f"dense network: {job.original.n_bytes:,} bytes, score {reference:.4f}")
    low, high = float(sizes.smallest), float(sizes.largest)
    passed: Judged | None = None
    nearest: Judged | None = None
    size = min(max(low, high / settings.first_divisor), high)
    while not job.interrupted:
        try:
            judged = _judge(job, sizes, size, score, last)
        except KeyboardInterrupt:
            if passed is None and nearest is None:
                raise
            job.interrupted = True
            break
        if reference - judged.score <= max_drop:
            high = size
            if passed is None or judged.n_bytes < passed.n_bytes:
                passed = judged
        else:
            low = size
            if nearest is None or not judged.score <= nearest.score:  # NaN gives way
                nearest = judged
        n_tried += 1
        n_left = tries_left(low, high, passed is not None, nearest is not None, settings)
        if one_more:
            n_left = 0 if last else n_left + 1
        best = "no" if passed is None else f"{passed.n_bytes:,}"
        line = f"try {n_tried}: {judged.n_bytes:,} bytes, score {judged.score:.4f}"
        line += f"; {best} bytes are good enough so far"
        if n_left and not job.interrupted:
            seconds = (time.perf_counter() - start) / n_tried * n_left
            line += f"; at most {n_left} more tries, about {duration(seconds)}"
        job.progress.say(line)
        if not n_left:
            break
        # One stride beyond the known sizes, or halfway between failure and success.
        last = one_more and n_left == 1
        if last:
            size = low
        elif nearest is None:
            size = max(high / settings.stride, low)
        elif passed is None:
            size = min(low * settings.stride, high)
        else:
            size = math.sqrt(low * high)
    if passed is not None:
        return passed, reference
    assert nearest is not None
    warn(
        f"No smaller network was found whose score drops by at most {max_drop:g}; the best one "
        f"drops by {reference - nearest.score:.4g}. Allow more, or give more rows or epochs.",
        BudgetWarning,
    )
    return nearest, reference


def tries_left(
    low: float,
    high: float,
    passed: bool,
    failed: bool,
    settings: CompressionSettings = DEFAULTS,
) -> int:
    """Return the maximum number of sizes that the search still tries.

    Parameters
    ----------
    low, high : float
        Largest size that failed and smallest size that did not; without such a size, the bounds.
    passed, failed : bool
        Whether any size was sufficient, and whether any failed.
    settings : CompressionSettings
        Stride and precision.
    """
    stride, precise = settings.stride, settings.precise
    if high <= precise * low:
        return 0
    between = math.ceil(math.log2(math.log(high / low) / math.log(precise)))
    if passed and failed:
        return between
    halvings = math.ceil(math.log2(math.log(stride) / math.log(precise)))
    return math.ceil(math.log(high / low) / math.log(stride)) + halvings


def _judge(
    job: Job, sizes: Sizes, size: float, score: Callable[[Network], float], last: bool
) -> Judged:
    n_bytes = math.ceil(size)
    found = sizes.spending(n_bytes)
    assert found is not None  # the search stays above sizes.smallest
    if last:
        network = refined_within(job, found, n_bytes)
    else:
        network = job.refined(found.network, found.schemes)
    return Judged(found, network, score(network), job.n_bytes(network, found.schemes))
