r"""Low-rank matrices during training: each is trained as two thin layers.

A layer of rank r is :math:`W = A B` with A (n_in, r) and B (r, n_out): one layer without an
activation and a second with it. Their steps keep the rank, so no projection discards a part of a
step, and they cost r (n_in + n_out) instead of n_in n_out. A tensor train whose modes can be cut
between inputs and outputs is such a product of two shorter trains: A and B keep a scheme each, with
smaller projections.

The returned network has one layer for each pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

import numpy as np

from fastbcd.formats import DenseMatrix, Format, LowRankMatrix, TensorTrainMatrix
from fastbcd.formats.operations import cores_of
from fastbcd.formats.tensor_train import chain
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.layers.patches import WHOLE_ROW, View
from fastbcd.network.layers.pooling import MaxPool
from fastbcd.network.network import Layer, Network
from fastbcd.schemes import LowRank, Scheme, TensorTrain
from fastbcd.schemes.nearest.trains import default_modes, train_ranks
from fastbcd.utils.types import Float


class Pair(NamedTuple):
    """The thin layers of one factored layer: their common width and their schemes.

    The first ``cut`` cores of a train make up the first layer.
    """

    rank: int
    left: Scheme | None = None
    right: Scheme | None = None
    cut: int = 0


class Plan(NamedTuple):
    """The layers of a fit.

    Parameters
    ----------
    layout : Architecture
        Layout with two layers for each factored layer.
    schemes : list of Scheme or None
        One per layer of ``layout``.
    linear : frozenset of int
        The first layers of the pairs, which have no activation.
    """

    layout: Architecture
    schemes: list[Scheme | None]
    linear: frozenset[int]


def pair_of(scheme: Scheme | None, shape: tuple[int, int]) -> Pair | None:
    """Return the pair of thin layers for a layer with ``scheme``; None if there is none.

    Parameters
    ----------
    scheme : Scheme or None
        A :class:`LowRank` of given rank, or a :class:`TensorTrain` with a cut between the sides.
    shape : (n_in, n_out)
        Shape of the layer. Two layers that are not smaller than the one do not count.
    """
    found = None
    if isinstance(scheme, TensorTrain):
        modes = scheme.modes or default_modes(shape[0]) + default_modes(shape[1])
        modes = tuple(int(mode) for mode in modes)
        cut = next((k for k in range(1, len(modes)) if prod(modes[:k]) == shape[0]), None)
        if cut is not None:
            rank = train_ranks(modes, scheme.rank)[cut]
            found = Pair(
                rank,
                TensorTrain(scheme.rank, (*modes[:cut], rank)),
                TensorTrain(scheme.rank, (rank, *modes[cut:])),
                cut,
            )
    elif isinstance(scheme, LowRank) and scheme.rank is not None:
        found = Pair(min(scheme.rank, *shape))
    return found if found and found.rank * sum(shape) < prod(shape) else None


def plan(layout: Architecture, schemes: Sequence[Scheme | None]) -> Plan:
    """Return the layers to train: those of ``layout``, with a pair for each factored layer.

    There are pairs only in networks of images, whose first dense layer is large. In other networks,
    dense weights tied to their projection were observed to be as accurate or slightly better. The
    first layer is never a pair, because its inputs have their own coordinates, and neither are
    convolutions, because they are small.
    """
    shapes: list[tuple[int, int]] = []
    views: list[View] = []
    pools: list[MaxPool | None] = []
    kept: list[Scheme | None] = []
    linear = set()
    for index, shape in enumerate(layout.shapes):
        thin = index > 0 and layout.has_images and layout.views[index].positions == 1
        pair = pair_of(schemes[index], shape) if thin else None
        if pair is not None:
            linear.add(len(shapes))
            shapes.append((shape[0], pair.rank))
            views.append(layout.views[index])
            pools.append(None)
            kept.append(pair.left)
        first = shape[0] if pair is None else pair.rank
        shapes.append((first, shape[1]))
        views.append(layout.views[index] if pair is None else WHOLE_ROW)
        pools.append(layout.pools[index])
        kept.append(schemes[index] if pair is None else pair.right)
    return Plan(Architecture(tuple(shapes), tuple(views), tuple(pools)), kept, frozenset(linear))


def split(network: Network, schemes: Sequence[Scheme | None], linear: frozenset[int]) -> Network:
    """Return ``network`` with its factored layers as pairs.

    Parameters
    ----------
    network : Network
        Network with one layer for each pair.
    schemes : sequence of Scheme or None
        One per layer of ``network``.
    linear : frozenset of int
        As in :class:`Plan`.
    """
    layers: list[Layer] = []
    for layer, scheme in zip(network.layers, schemes, strict=True):
        pair = pair_of(scheme, layer.weight.shape) if len(layers) in linear else None
        if pair is None or scheme is None:
            layers.append(layer)
            continue
        left, right = _factors(scheme.project(layer.weight.to_dense(), layer.weight), pair)
        none = np.zeros(pair.rank, layer.intercept.dtype)
        layers.append(Layer(DenseMatrix(left), none, "identity", layer.view))
        layers.append(replace(layer, weight=DenseMatrix(right), view=WHOLE_ROW))
    return Network(layers)


def _factors(made: Format, pair: Pair) -> tuple[Float, Float]:
    """Return factors A and B of equal norm whose product is ``made``."""
    cores = cores_of(made)
    if cores is None:
        left, right = made.parameters()
    else:
        left = chain(cores[: pair.cut])
        right = chain(cores[pair.cut :]).reshape(pair.rank, -1)
    norms = [float(np.linalg.norm(factor)) for factor in (left, right)]
    even = made.dtype.type(np.sqrt(norms[1] / norms[0]) if min(norms) > 0 else 1.0)
    return left * even, right / even


def merged(layers: Sequence[Layer], linear: frozenset[int]) -> list[Layer]:
    """Return the layers with each pair merged into one."""
    out: list[Layer] = []
    for index, layer in enumerate(layers):
        if index - 1 not in linear:
            if index not in linear:
                out.append(layer)
            continue
        before = layers[index - 1]
        weight = _product(before.weight, layer.weight)
        intercept = layer.weight.matmul(before.intercept[None])[0] + layer.intercept
        out.append(replace(layer, weight=weight, intercept=intercept, view=before.view))
    return out


def _product(left: Format, right: Format) -> Format:
    """Return the factored matrix ``left @ right``."""
    before, after = cores_of(left), cores_of(right)
    if before is not None and after is not None:
        # The mode between the two is the rank of the cut, so its cores are matrices.
        *first, inner = before
        outer, *last = after
        first[-1] = first[-1] @ (inner[:, :, 0] @ outer[0])
        return TensorTrainMatrix([*first, *last], (left.shape[0], right.shape[1]))
    return LowRankMatrix(left.to_dense(), right.to_dense())
