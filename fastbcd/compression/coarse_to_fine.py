"""Refinements that start with more weights than are wanted, and the quantisation of their results.

Pruned layers of a byte budget are first refined without codes. They lose weights until their bytes,
with the future codes, meet the budget. The layers are then quantised one after another, on their
supports and in the metric of the data, and refined with their codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from fastbcd.compression.coarse_start import are_many, denser, quantizing_of
from fastbcd.compression.dense_first import refined_at_its_size
from fastbcd.compression.job import Job
from fastbcd.compression.one_shot import OneShot
from fastbcd.compression.settings import DEFAULTS, CompressionSettings
from fastbcd.formats import CodebookMatrix, Format, SparseMatrix
from fastbcd.network.network import Network
from fastbcd.schemes import Quantize
from fastbcd.schemes.curves import coded_bytes
from fastbcd.schemes.nearest.support import refit
from fastbcd.schemes.protocol import Scheme
from fastbcd.solvers.reconstruct import remove_dead
from fastbcd.solvers.refine import Descent, thinned
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float, Float64

BYTE = 256
"""Number of columns that an index of one byte can address."""


def descent(job: Job, found: OneShot, together: bool) -> Descent | None:
    """Return the start of a refinement with more weights than ``found`` has.

    Parameters
    ----------
    job : Job
        Network and data.
    found : OneShot
        The network of the wanted size.
    together : bool
        Whether layers may exchange weights, so that only their total number is fixed.

    Returns
    -------
    Descent or None
        None for convolutions, if no layer is pruned without structure, and after an interruption.
    """
    network = job.network
    shapes = [layer.weight.shape for layer in network.layers]
    more = denser(found.schemes, shapes, job.settings)
    if more is None or network.sees_images or job.epochs == 0 or job.interrupted:
        return None
    schemes, left = more
    try:
        start = job.reconstruct("preparing the refinement", schemes)
    except KeyboardInterrupt:
        job.interrupted = True
        return None
    return Descent(start.network, (sum(left),) if together else tuple(left))


def refined(job: Job, found: OneShot, together: bool) -> Network:
    """Return ``found`` refined, from a start with more weights if it has few.

    Parameters
    ----------
    job, found, together
        As in :func:`descent`.
    """
    shapes = [layer.weight.shape for layer in job.network.layers]
    many = are_many(found.schemes, shapes, job.settings)
    way = None if many else descent(job, found, together)
    if way is None:
        return refined_at_its_size(job, found)
    few = job.refined(found.network, found.schemes, way)
    return _finished(job, found, few, None)


def refined_within(job: Job, found: OneShot, n_bytes: int) -> Network:
    """Return ``found`` refined, from a start with more weights if it is pruned.

    Parameters
    ----------
    job : Job
        Network and data.
    found : OneShot
        A network within the bound.
    n_bytes : int
        Maximum number of bytes; the bytes of dead neurons are spent again.
    """
    way = descent(job, found, together=False)
    if way is None:
        return refined_at_its_size(job, found)
    # What is left of an encoding is known in the end. It is less than in the network of the wanted
    # size, as few weights gather at few features; what half of that lacks is trimmed.
    n_free = n_bytes - job.encoding_bytes(found.network, found.schemes) // 2
    way = _spending(way, found.schemes, n_free, job.settings)
    few = job.refined(found.network, found.schemes, way)
    return _finished(job, found, few, n_bytes)


def _finished(job: Job, found: OneShot, few: Network, n_bytes: int | None) -> Network:
    """Return ``few``, which was refined without codes, quantised and within the bound."""
    bound = np.inf if n_bytes is None else n_bytes
    wanted = any(map(quantizing_of, found.schemes))
    weights = [layer.weight for layer in few.layers]
    coded = any(w.n_levels is not None and not w.is_factored for w in weights)
    if job.interrupted or coded:
        # It has codes, so it is still ``found``: the refinement was too short.
        within = job.n_bytes(few, found.schemes) <= bound
        return few if coded == wanted and within else found.network
    try:
        small = few if n_bytes is None else trimmed(job, few, found.schemes, n_bytes)
        if wanted:
            small = _coded(job, small, found.schemes)
    except KeyboardInterrupt:
        job.interrupted = True
        return found.network
    if small is few:
        return few
    if job.n_bytes(small, found.schemes) > bound:
        return job.refined(found.network, found.schemes)
    return job.refined(small, found.schemes, share=job.settings.coded)


def _spending(
    way: Descent, schemes: Sequence[Scheme | None], n_bytes: int, settings: CompressionSettings
) -> Descent:
    """Return a descent to the number of weights that ``n_bytes`` allow, in proportion."""
    start = remove_dead(narrowed(way.start, settings))[0]
    fixed, free = bytes_of(start, schemes)
    stored = [layer.weight.n_params for layer in start.layers if layer.weight.is_pruned]
    asked = sum(size * left / k for size, left, k in zip(free, way.left, stored, strict=True))
    times = settings.spent * max(0, n_bytes - sum(fixed)) / asked
    left = (min(k, max(1, round(times * n))) for k, n in zip(stored, way.left, strict=True))
    return Descent(start, tuple(left))


def narrowed(network: Network, settings: CompressionSettings = DEFAULTS) -> Network:
    """Return ``network`` with one-byte indices of columns in sparse layers with few excess neurons.

    The removed neurons have the smallest products of the norms of their incoming and outgoing
    weights.
    """
    layers = list(network.layers)
    for index in range(len(layers) - 1):
        weight, after = layers[index].weight, layers[index + 1].weight.to_dense()
        if weight.is_pruned and BYTE < weight.shape[1] <= settings.narrowed * BYTE:
            dense = weight.to_dense()
            passing = np.linalg.norm(dense, axis=0) * np.linalg.norm(after, axis=1)
            dense[:, np.argsort(-passing, kind="stable")[BYTE:]] = 0
            layers[index] = replace(layers[index], weight=SparseMatrix.from_dense(dense))
    return Network(layers)


@dataclass
class Settled(Scheme):
    """A layer that was refined, as it is or with its numbers quantised.

    Parameters
    ----------
    stored : Format
        The layer's weights.
    quantize : Quantize or None
        What the numbers become.
    """

    stored: Format
    quantize: Quantize | None

    def check(self, shape: tuple[int, int]) -> None:
        """Do nothing: the layer is there."""

    def project(self, weight: Float, warm: Format | None = None) -> Format:
        """Return the stored weights."""
        return self.stored

    def project_in_metric(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        warm: Format | None = None,
    ) -> Format:
        """Return the weights nearest to ``target`` on the stored support, quantised."""
        if self.quantize is None:
            return self.stored
        weight = refit(self.stored.to_dense() != 0, target, metric)
        return self.quantize.nonzeros_in_metric(weight, metric, dtype)


def _coded(job: Job, network: Network, schemes: Sequence[Scheme | None]) -> Network:
    """Return ``network`` quantised as ``schemes`` define."""
    settled: list[Scheme | None] = [
        scheme
        if scheme is None or isinstance(scheme, Quantize)
        else Settled(layer.weight, quantizing_of(scheme))
        for scheme, layer in zip(schemes, network.layers, strict=True)
    ]
    return remove_dead(job.reconstruct("quantising", settled, network).network)[0]


def trimmed(job: Job, network: Network, schemes: Sequence[Scheme | None], n_bytes: int) -> Network:
    """Return ``network`` with few enough weights to be within the bound after quantisation."""
    x, targets = job.targets((), network.n_inputs)
    rows = slice(min(job.settings.trim_rows, len(x)))
    targets = replace(
        targets,
        dense=targets.dense[rows],
        labels=None if targets.labels is None else targets.labels[rows],
        trust=targets.alpha,
        smoothing=targets.spread,
    )
    trims = job.settings.trims
    for _ in range(trims if job.encoding is None else 2 * trims):
        fixed, free = (sum(sizes) for sizes in bytes_of(network, schemes))
        # The features of an encoding go with their weights, if a little later.
        free += job.encoding_bytes(network, schemes)
        if fixed + free <= n_bytes:
            break
        share = max(0.0, n_bytes - fixed) / free
        left = [
            max(1, int(share * layer.weight.n_params))
            for layer in network.layers
            if layer.weight.is_pruned
        ]
        network = remove_dead(thinned(network, x[rows], targets, left))[0]
    return network


def bytes_of(network: Network, schemes: Sequence[Scheme | None]) -> tuple[list[int], list[int]]:
    """Return the fixed bytes of each layer, and the bytes of each pruned layer that depend on the
    number of its weights.
    """
    fixed, free = [], []
    for layer, scheme in zip(network.layers, schemes, strict=True):
        weight, quantize = layer.weight, quantizing_of(scheme)
        fixed.append(layer.intercept.nbytes)
        if weight.is_pruned:
            empty = SparseMatrix.from_dense(np.zeros(weight.shape, weight.dtype))
            both = [
                places.n_bits // 8 if quantize is None else coded_bytes(places, quantize.n_levels)
                for places in (empty, cast(SparseMatrix, weight))
            ]
            fixed.append(both[0])
            free.append(both[1] - both[0])
        elif quantize is not None:
            codes = np.zeros(weight.shape, np.uint8)
            made = CodebookMatrix(codes, np.zeros(quantize.n_levels, np.float32))
            fixed.append(made.n_bits // 8)
        else:
            fixed.append(weight.n_bits // 8)
    return fixed, free
