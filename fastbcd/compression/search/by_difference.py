"""The smallest network whose certified difference from the dense one stays below a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastbcd.compression.allocation.by_bytes import Sizes
from fastbcd.compression.certified import Certifier
from fastbcd.compression.job import Job
from fastbcd.compression.one_shot import OneShot
from fastbcd.compression.search.bisection import tries_left
from fastbcd.exceptions import BudgetError
from fastbcd.network.network import Network


@dataclass(frozen=True)
class Certified:
    """A compressed network and how far it can be from the dense one.

    Parameters
    ----------
    found : OneShot
        Its schemes and the errors of its layers.
    network : Network
        The network.
    error : float
        Its certified difference.
    n_bytes : int
        Its bytes, with what is left of an encoding.
    """

    found: OneShot
    network: Network
    error: float
    n_bytes: int


def smallest_certified(job: Job, sizes: Sizes, max_error: float, certifier: Certifier) -> Certified:
    """Return the smallest network found whose certified difference is at most ``max_error``.

    Sizes are tried in strides, then between the largest that failed and the smallest that did not.
    Of each size the refined network is certified, and the result of the layer-by-layer pass if
    that fails: labels can take a refinement away from the dense network.

    Raises
    ------
    BudgetError
        If no size suffices, not even that of the dense network in float32.
    KeyboardInterrupt
        If interrupted before any network sufficed.
    """
    settings = job.settings
    low, high = float(sizes.smallest), float(sizes.largest)
    passed: Certified | None = None
    least: Certified | None = None
    failed = False
    size = min(max(low, high / settings.first_divisor), high)
    while True:
        try:
            now = _certified(job, sizes, size, max_error, certifier)
        except KeyboardInterrupt:
            if passed is None:
                raise
            job.interrupted = True
            return passed
        if now.error <= max_error:
            high = size
            if passed is None or now.n_bytes < passed.n_bytes:
                passed = now
        else:
            low, failed = size, True
            if least is None or now.error < least.error:
                least = now
        job.progress.say(
            f"{now.n_bytes:,} bytes: outputs differ by at most {now.error:.4g}; "
            f"{'no' if passed is None else f'{passed.n_bytes:,}'} bytes are good enough so far"
        )
        if passed is None and size >= sizes.largest:
            break
        enough = passed is not None and not tries_left(low, high, True, failed, settings)
        if enough or job.interrupted:
            break
        if not failed:
            size = max(high / settings.stride, low)
        elif passed is None:
            size = min(low * settings.stride, float(sizes.largest))
        else:
            size = math.sqrt(low * high)
    if passed is not None:
        return passed
    if job.interrupted:
        raise KeyboardInterrupt
    assert least is not None
    raise BudgetError(
        f"max_error={max_error:g}: the least certified difference of {certifier.name} is "
        f"{least.error:.4g}, of a network of {least.n_bytes:,} bytes. Allow at least that, or "
        "certify a smaller region: the bound grows with it, faster than the difference itself."
    )


def _certified(
    job: Job, sizes: Sizes, size: float, max_error: float, certifier: Certifier
) -> Certified:
    found = sizes.spending(math.ceil(size))
    assert found is not None  # the search stays above sizes.smallest
    best: Certified | None = None
    for network in (job.refined(found.network, found.schemes), found.network):
        if best is not None and network is best.network:
            break  # the refinement found nothing better
        whole = job.whole(job.in_original_units(network), found.schemes)
        error = certifier.largest_difference(whole)
        if best is None or error < best.error:
            best = Certified(found, network, error, job.n_bytes(network, found.schemes))
        if error <= max_error:
            break
    assert best is not None
    return best
