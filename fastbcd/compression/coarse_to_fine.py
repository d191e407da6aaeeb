"""Refinements that start with more weights than are wanted, and what is made of their ends.

Pruned layers of a byte budget are refined without codes first: they lose weights on the way until
the bytes, codes counted, are what is wanted. Then the layers are quantised one after the other, on
the supports found, in the metric of the data, and refined with their codes.
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

CODED = 0.4
"""Share of the epochs, added to them, that is spent on codes."""

SPENT = 1.02
"""So much of the bytes are aimed at; neurons that die give some back, and the rest is trimmed."""

BYTE, NARROWED = 256, 1.25
"""Columns that a byte can tell apart, and how many times as many neurons are cut down to that: an
index of one byte instead of two buys half as many weights again."""

TRIMS = 4
"""At most so often weights are taken away until the bytes are met."""

TRIM_ROWS = 8000
"""Rows that tell what a weight costs."""


def descent(job: Job, found: OneShot, together: bool) -> Descent | None:
    """Return a start of a refinement with more weights than ``found`` has.

    Parameters
    ----------
    job : Job
        Network and data.
    found : OneShot
        The network of the wanted size.
    together : bool
        Whether layers may exchange weights, so that only their sum is what is wanted.

    Returns
    -------
    Descent or None
        None for convolutions, where nothing is pruned, or in a structure, and if interrupted.
    """
    network = job.network
    more = denser(found.schemes, [layer.weight.shape for layer in network.layers])
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
    """Return ``found`` refined, starting with more weights where few are left of it.

    Parameters
    ----------
    job, found, together
        As in :func:`descent`.
    """
    many = are_many(found.schemes, [layer.weight.shape for layer in job.network.layers])
    way = None if many else descent(job, found, together)
    if way is None:
        return refined_at_its_size(job, found)
    few = job.refined(found.network, found.schemes, way)
    return _finished(job, found, few, None)


def refined_within(job: Job, found: OneShot, n_bytes: int) -> Network:
    """Return ``found`` refined, starting with more weights where it is pruned.

    Parameters
    ----------
    job : Job
        Network and data.
    found : OneShot
        A network that keeps the bound.
    n_bytes : int
        Bound of the bytes; what dead neurons give back is spent.
    """
    way = descent(job, found, together=False)
    if way is None:
        return refined_at_its_size(job, found)
    # What is left of an encoding is known in the end. It is less than in the network of the wanted
    # size, as few weights gather at few features; what half of that lacks is trimmed.
    n_free = n_bytes - job.encoding_bytes(found.network, found.schemes) // 2
    way = _spending(way, found.schemes, n_free)
    few = job.refined(found.network, found.schemes, way)
    return _finished(job, found, few, n_bytes)


def _finished(job: Job, found: OneShot, few: Network, n_bytes: int | None) -> Network:
    """Return ``few``, refined without codes, with those of ``found`` and within the bound."""
    bound = np.inf if n_bytes is None else n_bytes
    wanted = any(map(quantizing_of, found.schemes))
    weights = [layer.weight for layer in few.layers]
    coded = any(w.n_levels is not None and not w.is_factored for w in weights)
    if job.interrupted or coded:
        # With codes it never left ``found``: the course was too short.
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
    return job.refined(small, found.schemes, share=CODED)


def _spending(way: Descent, schemes: Sequence[Scheme | None], n_bytes: int) -> Descent:
    """Return a descent to as many weights as ``n_bytes`` buy, in the proportions of ``way``."""
    start = remove_dead(narrowed(way.start))[0]
    fixed, free = bytes_of(start, schemes)
    stored = [layer.weight.n_params for layer in start.layers if layer.weight.is_pruned]
    asked = sum(size * left / k for size, left, k in zip(free, way.left, stored, strict=True))
    times = SPENT * max(0, n_bytes - sum(fixed)) / asked
    left = (min(k, max(1, round(times * n))) for k, n in zip(stored, way.left, strict=True))
    return Descent(start, tuple(left))


def narrowed(network: Network) -> Network:
    """Return ``network`` with sparse layers whose columns fit a byte, where few have to go.

    The neurons go through which the least passes: by the product of the norms of what comes in and
    what goes out.
    """
    layers = list(network.layers)
    for index in range(len(layers) - 1):
        weight, after = layers[index].weight, layers[index + 1].weight.to_dense()
        if weight.is_pruned and BYTE < weight.shape[1] <= NARROWED * BYTE:
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
    """Return ``network`` with the numbers quantised that ``schemes`` say."""
    settled: list[Scheme | None] = [
        scheme
        if scheme is None or isinstance(scheme, Quantize)
        else Settled(layer.weight, quantizing_of(scheme))
        for scheme, layer in zip(schemes, network.layers, strict=True)
    ]
    return remove_dead(job.reconstruct("quantising", settled, network).network)[0]


def trimmed(job: Job, network: Network, schemes: Sequence[Scheme | None], n_bytes: int) -> Network:
    """Return ``network`` with so few weights that it keeps the bound when it is quantised."""
    x, targets = job.targets((), network.n_inputs)
    rows = slice(min(TRIM_ROWS, len(x)))
    targets = replace(
        targets,
        dense=targets.dense[rows],
        labels=None if targets.labels is None else targets.labels[rows],
        trust=targets.alpha,
        smoothing=targets.spread,
    )
    for _ in range(TRIMS if job.encoding is None else 2 * TRIMS):
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
    """Return the bytes of each layer that do not depend on how many weights there are, and the
    others of each pruned layer.
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
