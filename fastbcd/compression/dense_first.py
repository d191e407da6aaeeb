"""Refinements at the size that is wanted; codes alone are made of a refined dense network.

A code moves when its weight crosses an edge between two levels, so that codes learn less of labels
in the same time than the dense weights do. Where labels can tell more than the dense network, it is
refined first, and quantised then.
"""

from __future__ import annotations

from fastbcd.compression.job import Job
from fastbcd.compression.one_shot import OneShot
from fastbcd.network.network import Network
from fastbcd.schemes import Quantize
from fastbcd.solvers.reconstruct import remove_dead
from fastbcd.solvers.reconstruct.imitation import ENOUGH

FIRST = 0.3
"""Share of the epochs that the dense network takes."""

RATE = 0.5
"""Its ``rate``. It is good already, and longer steps undo what it knows before they add to it."""


def is_coded(found: OneShot) -> bool:
    """Return whether codes are all that ``found`` has been compressed by."""
    schemes = [scheme for scheme in found.schemes if scheme is not None]
    return bool(schemes) and all(isinstance(scheme, Quantize) for scheme in schemes)


def labels_tell(job: Job) -> bool:
    """Return whether there are labels of so many rows that a classifier may learn more of them."""
    _, targets = job.targets((), job.network.n_inputs)
    return targets.labels is not None and targets.classify and targets.n_rows >= ENOUGH


def refined_at_its_size(job: Job, found: OneShot) -> Network:
    """Return ``found`` refined; codes alone may be anew those of the refined dense network.

    Parameters
    ----------
    job : Job
        Network and data.
    found : OneShot
        A network of the wanted size; what an interruption before the new codes leaves.
    """
    source, share = job.network, job.length(found.network)
    dense = source
    if is_coded(found) and not source.sees_images and labels_tell(job):
        dense = job.refined(source, [None] * len(source.layers), share=FIRST, rate=RATE)
    if dense is source or job.interrupted:
        return job.refined(found.network, found.schemes, share=share)
    try:
        made = job.reconstruct("quantising", found.schemes, dense)
    except KeyboardInterrupt:
        job.interrupted = True
        return found.network
    network, _ = remove_dead(made.network)
    job.imitate(dense)
    return job.refined(network, found.schemes, share=(1 - FIRST) * share)
