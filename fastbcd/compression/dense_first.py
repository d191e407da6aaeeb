"""Refinements at the wanted size; a network that is only quantised may be refined densely first.

A code changes when its weight crosses the boundary between two levels, so codes learn less from
labels in the same time than dense weights. If labels contain more information than the dense
network, the dense network is refined first and quantised afterwards.
"""

from __future__ import annotations

from fastbcd.compression.job import Job
from fastbcd.compression.one_shot import OneShot
from fastbcd.network.network import Network
from fastbcd.schemes import Quantize
from fastbcd.solvers.reconstruct import remove_dead


def is_coded(found: OneShot) -> bool:
    """Return whether ``found`` is only quantised."""
    schemes = [scheme for scheme in found.schemes if scheme is not None]
    return bool(schemes) and all(isinstance(scheme, Quantize) for scheme in schemes)


def labels_tell(job: Job) -> bool:
    """Return whether there are enough labels to learn more than the dense network knows."""
    _, targets = job.targets((), job.network.n_inputs)
    enough = targets.n_rows >= job.settings.dense_first_rows
    return targets.labels is not None and targets.classify and enough


def refined_at_its_size(job: Job, found: OneShot) -> Network:
    """Return ``found`` refined; if it is only quantised, perhaps from a refined dense network.

    Parameters
    ----------
    job : Job
        Network and data.
    found : OneShot
        A network of the wanted size; it is returned after an early interruption.
    """
    source, share = job.network, job.length(found.network)
    first, rate = job.settings.dense_first_share, job.settings.dense_first_rate
    dense = source
    if is_coded(found) and not source.sees_images and labels_tell(job):
        dense = job.refined(source, [None] * len(source.layers), share=first, rate=rate)
    if dense is source or job.interrupted:
        return job.refined(found.network, found.schemes, share=share)
    try:
        made = job.reconstruct("quantising", found.schemes, dense)
    except KeyboardInterrupt:
        job.interrupted = True
        return found.network
    network, _ = remove_dead(made.network)
    job.imitate(dense)
    return job.refined(network, found.schemes, share=(1 - first) * share)
