"""The state of a mini-batch fit: weights, running statistics, work arrays."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import Format
from fastbcd.schemes import Scheme
from fastbcd.schemes.nearest.train_tangent import TangentSpace
from fastbcd.solvers.convergence import ConvergenceRecord
from fastbcd.solvers.loop import Ending
from fastbcd.statistics.inputs import InputMap
from fastbcd.utils.types import Float
from fastbcd_kernels import minibatch_weights


@dataclass
class LayerState:
    """One layer.

    Parameters
    ----------
    weight : (n_in, n_out) array
        W; in the first layer in whitened coordinates, unless it has a scheme.
    bias : (n_out,) array
        b.
    momentum, bias_momentum : arrays
        Running directions of both.
    tied : (n_in, n_out) array or None
        A copy of ``weight`` that approaches its projection, if the layer has a scheme.
    scheme : Scheme or None
        Compression of the layer.
    support : (n_in, n_out) boolean array or None
        Non-zeros of the compressed copy.
    fixed : bool
        Whether the zeros of the copy are fixed.
    gram : (n_in, n_in) array
        Running second moment of the inputs V, lower triangle; empty in the first layer.
    mean : (n_in,) array
        Running mean of V.
    inverse : (n_in, n_in) array
        (covariance of V + lambda I)^-1.
    gain : (n_out, n_in) array
        R of the backward targets, dV = dU R.
    step_size : float
        Running ratio of the norms of step and weights; negative before the first step.
    square : float
        Squared norm of the weights.
    compressed : Format or None
        The last projection, where the next one starts.
    metric_square : float
        tr W'(S + lambda I) W, for a first layer that is not whitened.
    wide : bool
        Whether the layer has too many inputs for a Gram matrix, so that it is solved against each
        batch alone.
    thin : bool
        Whether the layer is one of a pair that stands for a factored layer.
    tangent : TangentSpace or None
        Tangent space of a thin layer that is a tensor train; its steps stay in it.
    passed : float
        By how much the layers above shrink the targets on their way down, relative to gradients;
        an L2 penalty is multiplied by it. See :mod:`.l2`.
    """

    weight: Float
    bias: Float
    momentum: Float
    bias_momentum: Float
    tied: Float | None
    scheme: Scheme | None
    gram: Float
    mean: Float
    inverse: Float
    gain: Float
    support: NDArray[np.bool_] | None = None
    fixed: bool = False
    step_size: float = -1.0
    square: float = 0.0
    compressed: Format | None = None
    metric_square: float = 0.0
    wide: bool = False
    thin: bool = False
    tangent: TangentSpace | None = None
    passed: float = 1.0

    @property
    def used(self) -> Float:
        """The weights of the forward pass."""
        return self.weight if self.tied is None else self.tied

    @classmethod
    def start(
        cls,
        weight: Float,
        bias: Float,
        scheme: Scheme | None,
        first: bool,
        wide: bool = False,
        thin: bool = False,
    ) -> LayerState:
        """Return a layer at ``weight``, which is kept, with empty statistics."""
        n = 0 if first else weight.shape[0]
        square_size = 0 if wide else n
        square = float(np.vdot(weight, weight))
        return cls(
            weight=weight,
            bias=bias,
            momentum=np.zeros_like(weight),
            bias_momentum=np.zeros_like(bias),
            tied=None if scheme is None else weight.copy(),
            scheme=scheme,
            gram=np.zeros((square_size, square_size), weight.dtype),
            mean=np.zeros(n, weight.dtype),
            inverse=np.zeros((square_size, square_size), weight.dtype),
            gain=np.zeros((0, 0), weight.dtype),
            support=None if scheme is None else np.ones(weight.shape, bool),
            square=square,
            metric_square=square,
            wide=wide,
            thin=thin,
        )


@dataclass
class Average:
    """A running mean of weights and biases.

    Parameters
    ----------
    arrays : list of arrays
        One flat array per weight and bias.
    count : int
        Number of averaged arrays.
    """

    arrays: list[Float]
    count: int = 0

    def add(self, values: list[Float]) -> None:
        """Add ``values`` to the mean."""
        self.count += 1
        for mean, value in zip(self.arrays, values, strict=True):
            minibatch_weights.average(mean, value, 1 / self.count)


@dataclass
class State:
    """The changing part of a fit.

    Parameters
    ----------
    layers : list of LayerState
        From the input to the output.
    inputs : InputMap
        Coordinates of the first layer.
    rng : Generator
        Source of the order of the rows and of the noise.
    noise : (p,) array
        Pool of standard normal numbers.
    buffers : dict
        Work arrays, by name and layer.
    step : int
        Number of batches so far.
    epoch : int
        Number of passes over the data so far.
    brake : float
        Factor of the step lengths; halved at each sign of divergence.
    first_loss : float
        Mean loss at the start; later losses are compared with it.
    n_step_backs : int
        Number of returns to a snapshot.
    losses : list of float
        Losses of the last steps, until they are checked.
    snapshot : list of arrays
        Weights and statistics to return to.
    tail, recent : Average
        Means of the weights over the last steps of the fit, and over the current epoch.
    cache : (n, k) array or None
        Whitened inputs of all rows, if they are small enough to keep.
    record : ConvergenceRecord
        The mean loss of each epoch.
    ending : Ending or None
        Reason for the end of the fit; None while it runs.
    settled : bool
        Always False, so that the loop does not stop before the schedule ends.
    """

    layers: list[LayerState]
    inputs: InputMap
    rng: np.random.Generator
    noise: Float
    buffers: dict[tuple[str, int], Float]
    tail: Average
    recent: Average
    step: int = 0
    epoch: int = 0
    brake: float = 1.0
    first_loss: float = np.nan
    n_step_backs: int = 0
    losses: list[float] = field(default_factory=list)
    snapshot: list[Any] = field(default_factory=list)
    cache: Float | None = None
    record: ConvergenceRecord = field(default_factory=ConvergenceRecord)
    ending: Ending | None = None
    settled: bool = False
    _ones: Float = field(default_factory=lambda: np.zeros(0))

    def buffer(self, name: str, layer: int, rows: int, columns: int) -> Float:
        """Return a work array of that shape in the same memory each time."""
        key = (name, layer)
        found = self.buffers.get(key)
        if found is None or found.shape[0] < rows or found.shape[1] != columns:
            found = np.empty((rows, columns), self.layers[0].weight.dtype)
            self.buffers[key] = found
        return found[:rows]

    def ones(self, n: int) -> Float:
        """Return ``n`` ones."""
        if self._ones.size < n:
            self._ones = np.ones(n, self.layers[0].weight.dtype)
        return self._ones[:n]

    def trainables(self) -> list[Float]:
        """Return all weights and biases, flat, without copying."""
        return [array.reshape(-1) for layer in self.layers for array in (layer.weight, layer.bias)]

    def end_at_snapshot(self) -> None:
        """End the fit, as diverging, with the weights of the snapshot."""
        self.step_back()
        self.tail.count = self.recent.count = 0  # means of diverged weights
        self.ending = Ending.DIVERGING

    def own_arrays(self) -> None:
        """Replace read-only arrays, such as joblib's memory maps, by copies.

        The kernels that write to them do not check.
        """
        self.noise, self._ones = _own(self.noise), _own(self._ones)
        self.buffers.clear()
        for average in (self.tail, self.recent):
            average.arrays[:] = map(_own, average.arrays)
        for layer in self.layers:
            for part in fields(layer):
                value = getattr(layer, part.name)
                if isinstance(value, np.ndarray):
                    setattr(layer, part.name, _own(value))

    @property
    def is_finite(self) -> bool:
        """Whether all weights are finite, as in every snapshot."""
        return all(np.isfinite(layer.square + layer.bias.sum()) for layer in self.layers)

    def take_snapshot(self) -> None:
        """Copy the weights and statistics."""
        self.snapshot = [
            tuple(
                array.copy()
                for array in (layer.weight, layer.bias, layer.used, layer.gram, layer.mean)
            )
            for layer in self.layers
        ]

    def step_back(self) -> None:
        """Return to the snapshot with zero momentum and half the step lengths."""
        for layer, saved in zip(self.layers, self.snapshot, strict=True):
            now = (layer.weight, layer.bias, layer.used, layer.gram, layer.mean)
            for array, old in zip(now, saved, strict=True):
                array[...] = old
            layer.momentum[:] = 0
            layer.bias_momentum[:] = 0
            layer.step_size = -1.0
            layer.tangent = None  # the train may be far from the snapshot
            layer.square = float(np.vdot(layer.weight, layer.weight))
        self.losses.clear()
        self.brake *= 0.5
        self.n_step_backs += 1


def _own(array: Float) -> Float:
    return array if array.flags.writeable else array.copy()
