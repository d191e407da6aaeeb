"""What a fit works on: the problem, and its rows prepared for the first layer, block by block."""

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
from fastbcd.solvers.minibatch.schedule import (
    THIN,
    CompressionSchedule,
    Schedule,
    Settings,
)
from fastbcd.solvers.minibatch.state import State
from fastbcd.utils.types import Float
from fastbcd_kernels import minibatch_step as kernel
from fastbcd_kernels import patches

BLOCK_SIZE = 1 << 20
"""Numbers in a block of prepared inputs, about."""

WIDE = 2048
"""Inputs beyond which a layer is solved against each batch alone: no Gram matrix is kept."""

WIDE_OF_THIN = 512
"""The same in networks of thin layers, where such a matrix costs more than all other products."""

Prepared: TypeAlias = tuple[Float, Float | None, Float, Float]
"""Inputs of the first layer, the same whitened if they are not, targets, weights.

Of a convolution the inputs are patches, as many for each row as it has positions."""


class Shift(NamedTuple):
    """Random shifts of images.

    Parameters
    ----------
    pixels : int
        The most by which an image moves, up or down and to the left or right.
    shape : (h, w, c)
        What images the rows are.
    """

    pixels: int
    shape: Shape3

    def moved(self, x: Float, rng: np.random.Generator) -> Float:
        """Return the images ``x`` (n, h * w * c), each moved by its own number of pixels."""
        moves = rng.integers(-self.pixels, self.pixels, (len(x), 2), endpoint=True)
        out = np.empty_like(x)
        patches.move_images(x, self.shape, moves, out)
        return out


@dataclass(frozen=True)
class MiniBatchProblem:
    """What stays fixed during a fit.

    Parameters
    ----------
    rows : Rows
        The data.
    layout : Architecture
        Shapes of the layers and how they see their inputs.
    loss : Loss
        R.
    activation : Activation
        Of the hidden layers.
    schemes : list of Scheme or None
        One per layer.
    batch_size : int
        Rows of a step.
    settings : Settings
        Numbers of the method.
    schedule : Schedule
        Course of the step lengths.
    copies : CompressionSchedule
        Course of the compression.
    linear : frozenset of int
        Layers without an activation, each the first of a pair that stands for a factored layer:
        see :mod:`fastbcd.solvers.minibatch.factored`.
    shift : Shift, optional
        How far images are moved at random each time that they are seen.
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

    @property
    def activations(self) -> list[Activation]:
        """The activation of each layer; the last one's is not used."""
        return [
            ACTIVATIONS["identity"] if index in self.linear else self.activation
            for index in range(len(self.schemes))
        ]

    def course(self, index: int) -> CompressionSchedule:
        """Return the course of the compression of a layer."""
        return THIN if self.is_thin(index) else self.copies

    def is_thin(self, index: int) -> bool:
        """Whether a layer is one of a pair that stands for a factored layer."""
        return index in self.linear or index - 1 in self.linear

    def is_wide(self, index: int) -> bool:
        """Whether a layer, not the first, is solved against each batch alone."""
        most = WIDE_OF_THIN if self.linear else WIDE
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
        """Inputs of the first layer for each row."""
        return self.layout.views[0].positions


def block_rows(problem: MiniBatchProblem, state: State) -> int:
    """Return how many rows are prepared at once: some batches, about BLOCK_SIZE numbers."""
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
    """Centre a block of inputs and whiten it, moved and with noise if asked for.

    Overwrites plain rows.
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
    """Yield the batches of a block; with ``whole`` a last, shorter one is left out."""
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
        # The sum is not finite if an entry is not; only then is it worth looking closer.
        if not np.isfinite(array.sum(dtype=np.float64)) and not np.isfinite(array).all():
            raise ValueError(f"The {name} contain NaN or infinity; remove or impute such rows.")
