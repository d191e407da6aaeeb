"""The problem of a mini-batch fit, and its rows prepared for the first layer, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from fastbcd.network.layers.activations import ACTIVATIONS, Activation
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.layers.patches import Shape3
from fastbcd.network.losses.losses import Loss
from fastbcd.schemes import Scheme
from fastbcd.solvers.minibatch.rows import Block, Rows, shuffled_indices
from fastbcd.solvers.minibatch.schedule import Schedule
from fastbcd.solvers.minibatch.settings import CompressionSchedule, Settings
from fastbcd.solvers.minibatch.state import State
from fastbcd.utils.types import Float
from fastbcd_kernels import minibatch_step as kernel
from fastbcd_kernels import patches

BLOCK_SIZE = 1 << 20
"""Approximate number of entries in a block of prepared inputs. A number of the machine: a block
fits in its caches."""

Prepared: TypeAlias = tuple[Float, Float | None, Float, Float]
"""Inputs of the first layer, the whitened inputs if the first are not whitened, targets, weights.

The inputs of a convolution are patches: for each row, one per position."""


class Shift(NamedTuple):
    """Random shifts of images.

    Parameters
    ----------
    pixels : int
        Maximum shift of an image, vertically and horizontally.
    shape : (h, w, c)
        Height, width and channels of the images in the rows.
    """

    pixels: int
    shape: Shape3

    def moved(self, x: Float, rng: np.random.Generator) -> Float:
        """Return the images ``x`` (n, h * w * c), each with its own random shift."""
        moves = rng.integers(-self.pixels, self.pixels, (len(x), 2), endpoint=True)
        out = np.empty_like(x)
        patches.move_images(x, self.shape, moves, out)
        return out


@dataclass(frozen=True)
class MiniBatchProblem:
    """The constant part of a fit: data, network, loss and settings.

    Parameters
    ----------
    rows : Rows
        The data.
    layout : Architecture
        Shapes of the layers and views of their inputs.
    loss : Loss
        The loss R.
    activation : Activation
        Activation of the hidden layers.
    schemes : list of Scheme or None
        One per layer.
    batch_size : int
        Number of rows of a step.
    settings : Settings
        Numbers of the method.
    schedule : Schedule
        Schedule of the step lengths.
    copies : CompressionSchedule
        Schedule of the compression.
    linear : frozenset of int
        Layers without an activation, each the first of a pair that stands for a factored layer:
        see :mod:`fastbcd.solvers.minibatch.factored`.
    shift : Shift, optional
        Random shifts of the images, drawn anew each time an image is used.
    l2 : float, default=0.0
        Weight of half the squared weights, beside the mean loss of the rows.
    """

    rows: Rows
    layout: Architecture
    loss: Loss
    activation: Activation
    schemes: list[Scheme | None]
    batch_size: int
    settings: Settings
    schedule: Schedule
    copies: CompressionSchedule
    linear: frozenset[int] = frozenset()
    shift: Shift | None = None
    l2: float = 0.0

    @property
    def activations(self) -> list[Activation]:
        """The activation of each layer; the last one is not used."""
        return [
            ACTIVATIONS["identity"] if index in self.linear else self.activation
            for index in range(len(self.schemes))
        ]

    def copies_of(self, index: int) -> CompressionSchedule:
        """Return the compression schedule of a layer."""
        return self.settings.thin_copies if self.is_thin(index) else self.copies

    def is_thin(self, index: int) -> bool:
        """Whether a layer is one of a pair that stands for a factored layer."""
        return index in self.linear or index - 1 in self.linear

    def is_wide(self, index: int) -> bool:
        """Whether a layer above the first is solved against each batch alone."""
        most = self.settings.wide_of_thin if self.linear else self.settings.wide
        return index > 0 and self.layout.shapes[index][0] > most

    @property
    def unit_weights(self) -> bool:
        """Whether no sample weights were given."""
        return self.rows.sample_weight is None

    def noise_at(self, step: int) -> float:
        """Return the standard deviation of the noise on the whitened inputs."""
        return self.settings.noise * self.schedule.noise(step)

    @property
    def positions(self) -> int:
        """Number of inputs of the first layer for each row."""
        return self.layout.views[0].positions


def block_rows(problem: MiniBatchProblem, state: State) -> int:
    """Return the number of rows prepared at once: some batches, about BLOCK_SIZE entries."""
    width = max(problem.positions * state.inputs.width, problem.rows.d)
    batches = np.clip(BLOCK_SIZE // (problem.batch_size * width), 1, 16)
    return problem.batch_size * int(batches)


def blocks(problem: MiniBatchProblem, state: State) -> Iterator[Prepared]:
    """Yield all rows in random order, prepared for the first layer."""
    rows, size = problem.rows, block_rows(problem, state)
    if state.cache is None:
        for block in rows.shuffled(state.rng, size):
            yield prepare(problem, state, block)
        return
    for chosen in shuffled_indices(rows.n, state.rng, size):
        z = state.buffer("block", 0, chosen.size, state.inputs.width)
        offset = int(state.rng.integers(max(1, state.noise.size - z.size)))
        scale = problem.noise_at(state.step)
        kernel.gather_rows(state.cache, chosen, state.noise, offset, scale, z)
        yield z, None, rows.targets(chosen), rows.weights(chosen)


def prepare(problem: MiniBatchProblem, state: State, block: Block, noisy: bool = True) -> Prepared:
    """Return a block of inputs centred and whitened; if ``noisy``, shifted and with noise.

    Overwrites the inputs if the first layer reads whole rows.
    """
    x, y, weight = block
    if noisy and problem.shift is not None:
        x = problem.shift.moved(x, state.rng)
    x = problem.layout.views[0].rows(x)
    centered = state.inputs.centered(x)
    scale = problem.noise_at(state.step)
    if problem.schemes[0] is not None:
        # The noise is the same as in the whitened coordinates: of covariance S + lambda I.
        if noisy and state.noise.size > x.size:
            offset, first, second = state.rng.integers([state.noise.size - x.size, len(x), len(x)])
            floor, x = state.inputs.floor, np.empty_like(centered)
            kernel.add_spread(centered, scale, first, second, state.noise, offset, floor, x)
            centered = x
        return centered, state.inputs.whitened(centered), y, weight
    whitened = state.inputs.whitened(centered)
    if noisy and state.noise.size > whitened.size:
        offset = int(state.rng.integers(state.noise.size - whitened.size))
        kernel.add_noise(whitened, state.noise, offset, scale)
    return whitened, None, y, weight


def batches(block: Prepared, size: int, whole: bool) -> Iterator[Prepared]:
    """Yield the batches of a block; ``whole`` leaves out a last, shorter batch."""
    first, whitened, y, weight = block
    stop = len(y) - len(y) % size if whole else len(y)
    positions = len(first) // len(y)
    for lo in range(0, stop, size):
        part, inputs = slice(lo, lo + size), slice(lo * positions, (lo + size) * positions)
        z = None if whitened is None else whitened[inputs]
        yield first[inputs], z, y[part], weight[part]


def whiten_all(problem: MiniBatchProblem, state: State) -> Float:
    """Return the whitened inputs of all rows."""
    rows = problem.rows
    cache = np.empty((rows.n, state.inputs.width), rows.dtype)
    for lo in range(0, rows.n, 4096):
        part = slice(lo, min(lo + 4096, rows.n))
        x = rows.inputs(part)
        check_finite(x, x)
        cache[part] = state.inputs.whitened(state.inputs.centered(x))
    return cache


def check_finite(x: Float, y: Float) -> None:
    """Raise ValueError if inputs or targets hold a NaN or an infinity."""
    for name, array in (("inputs", x), ("targets", y)):
        # If an entry is not finite, the sum is not; only then are the entries checked.
        if not np.isfinite(array.sum(dtype=np.float64)) and not np.isfinite(array).all():
            raise ValueError(f"The {name} contain NaN or infinity; remove or impute such rows.")
