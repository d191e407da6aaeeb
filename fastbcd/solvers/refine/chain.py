"""All layers of a network during refinement: forward pass, backward pass and step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbcd.linalg import products as la
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.network import Layer, Network
from fastbcd.parallel.crew import ALONE, Crew
from fastbcd.solvers.refine import composed, factored, quantized, sparse
from fastbcd.solvers.refine.blocks import Block, block_of
from fastbcd.solvers.refine.descent import survivors
from fastbcd.solvers.refine.settings import DEFAULTS, RefineSettings
from fastbcd.solvers.refine.targets import Rows, Targets
from fastbcd.statistics.moments import Moments
from fastbcd.utils.types import Float

REGISTERED = (composed, factored, quantized, sparse)
"""The modules that register further blocks with :func:`.block_of`."""


class Chain:
    """The free parameters of all layers, and their averages.

    Parameters
    ----------
    layers : sequence of Layer
        The layers to start from.
    x : (n, d) array
        Rows that the metric of each layer is measured on.
    targets : Targets
        Targets of the outputs.
    rows : (n,) integer array
        Indices of these rows in ``targets``.
    crew : Crew
        Threads to use.
    settings : RefineSettings
        Numbers of the method.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        x: Float,
        targets: Targets,
        rows: Rows,
        crew: Crew = ALONE,
        settings: RefineSettings = DEFAULTS,
    ) -> None:
        self._targets, self._rows = targets, rows
        self.blocks: list[Block] = [
            block_of(layer.weight)(layer, index == 0, index + 1 == len(layers), crew, settings)
            for index, layer in enumerate(layers)
        ]
        self._activations = [ALL_ACTIVATIONS[layer.activation] for layer in layers]
        self._x = np.ascontiguousarray(x, np.float32)
        # The inputs of the first layer do not change.
        self._first = moments(self._x)
        self.n_averaged: int = 0
        self.input_pull: Float = self._x[:0].T

    def restart(self, layers: Sequence[Layer]) -> None:
        """Return to ``layers``, of the same formats, with zero velocities and no averages."""
        self.blocks = [b.restarted(layer) for b, layer in zip(self.blocks, layers, strict=True)]
        self.n_averaged = 0

    def used_inputs(self) -> Rows:
        """Return the indices of the inputs that the first layer uses."""
        used = self.blocks[0].used_inputs()
        return np.arange(self._x.shape[1]) if used is None else used

    def measure(self, share: float = 0.0, left: Sequence[int] = ()) -> bool:
        """Update the metric of every layer at the current weights; return whether all are finite.

        Parameters
        ----------
        share : float
            Share of every support that may move to better entries. A positive share costs a
            backward pass and the whole gradients.
        left : sequence of int
            Number of non-zeros that stay; see :func:`.descent.survivors`. By default all stay.
        """
        inputs, known, v = [], [], self._x
        for block, activation in zip(self.blocks, self._activations, strict=True):
            inputs.append(v)
            u = la.product(v, block.weight())
            u += block.intercept
            v = activation.value(u)
            known.append(v if activation.by_value else u)
        # Squares of finite numbers may overflow.
        if not all(np.isfinite(np.vdot(each, each)) for each in (*inputs[1:], v)):
            return False
        measured = [self._first, *(moments(v) for v in inputs[1:])]
        if share > 0 or left:
            pulls = self._pulls(v, known)
            if left:
                self._shrink(pulls, measured, left)
            if share > 0:
                for block, v, pull, found in zip(self.blocks, inputs, pulls, measured, strict=True):
                    block.move_support(v, pull, found, share)
        for block, found in zip(self.blocks, measured, strict=True):
            block.measure(found)
        return True

    def _pulls(self, outputs: Float, known: Sequence[Float]) -> list[Float]:
        """Return the pull (n, m) of each layer.

        ``known`` is what the derivative of each activation is computed from.
        """
        pull = self._targets.pull(outputs, self._rows)
        found = [pull]
        for index in range(len(self.blocks) - 1, 0, -1):
            pull = la.product(pull, self.blocks[index].weight(), transposed=True)
            sums = np.empty(pull.shape[1], pull.dtype)
            self._activations[index - 1].mask(pull, known[index - 1], sums)
            found.append(pull)
        return found[::-1]

    def _shrink(self, pulls: Sequence[Float], seen: Sequence[Moments], left: Sequence[int]) -> None:
        every = [
            block.costs(pull, found)
            for block, pull, found in zip(self.blocks, pulls, seen, strict=True)
        ]
        stay = iter(survivors([costs for costs in every if costs is not None], left))
        for block, costs in zip(self.blocks, every, strict=True):
            if costs is not None:
                block.shrink(next(stay))

    def step(
        self,
        v: Float,
        rows: Rows,
        rate: float,
        momentum: float,
        decay: float,
        to_inputs: bool = False,
    ) -> Float:
        """Take one step of all layers on one batch, inputs ``v`` (d, b).

        Returns the outputs (b, k) before the step. With ``to_inputs``, the pull on the inputs is
        computed as well and stored in :attr:`input_pull`.
        """
        inputs, known = [], []
        for block, activation in zip(self.blocks, self._activations, strict=True):
            inputs.append(v)
            u = block.forward(v)
            v = activation.value(u)
            known.append(v if activation.by_value else u)
        # The last activation is the identity, so v are the outputs.
        outputs = np.ascontiguousarray(v.T)
        pull = np.ascontiguousarray(self._targets.pull(outputs, rows).T)
        sums = np.empty(v.shape[1], np.float32)
        for index in range(len(self.blocks) - 1, -1, -1):
            block, here = self.blocks[index], pull
            if index > 0 or to_inputs:
                pull = block.backward(here)
            if index > 0:
                self._activations[index - 1].mask(pull, known[index - 1], sums)
            block.step(inputs[index], here, rate, momentum, decay)
        if to_inputs:
            self.input_pull = pull
        return outputs

    def average(self) -> None:
        """Add the current iterate to the average."""
        self.n_averaged += 1
        for block in self.blocks:
            block.average(1 / self.n_averaged)

    def network(self) -> Network:
        """Return the network, with averaged weights if there are any."""
        return Network([block.layer(self.n_averaged > 0) for block in self.blocks])


def thinned(network: Network, x: Float, targets: Targets, left: Sequence[int]) -> Network:
    """Return ``network`` with fewer non-zeros; the most important ones stay.

    Parameters
    ----------
    network : Network
        A network with sparse layers, which lose weights.
    x, targets
        As in :func:`.loop.refine`.
    left : sequence of int
        Number of non-zeros that stay; see :func:`.descent.survivors`.
    """
    rows = np.arange(len(x))
    chain = Chain(network.layers, x, targets.changed(1.0, np.dtype(np.float32)), rows)
    chain.measure(left=left)
    return chain.network()


def moments(v: Float) -> Moments:
    """Return the moments of inputs without targets."""
    nothing: Any = np.zeros((len(v), 0), v.dtype)
    return Moments.of(np.ascontiguousarray(v), nothing)
