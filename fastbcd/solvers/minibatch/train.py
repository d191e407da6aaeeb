"""Train a network by mini-batches; the estimators call these functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.layers.patches import Shape3
from fastbcd.network.layers.specs import LayerSize
from fastbcd.network.losses.losses import LOSSES
from fastbcd.network.network import Network
from fastbcd.network.scaling import Scaling
from fastbcd.parallel import blas_threads as blas_threads
from fastbcd.schemes.by_layer import SchemeChoice, schemes_by_layer
from fastbcd.solvers.convergence import ConvergenceRecord
from fastbcd.solvers.loop import Monitor, Outcome, run
from fastbcd.solvers.minibatch.factored import plan, split
from fastbcd.solvers.minibatch.problem import MiniBatchProblem, Shift
from fastbcd.solvers.minibatch.rows import Rows
from fastbcd.solvers.minibatch.schedule import Schedule, batch_size_for, epochs_for, noise_for
from fastbcd.solvers.minibatch.settings import DEFAULTS, CompressionSchedule, Settings
from fastbcd.solvers.minibatch.solver import MiniBatchSolver
from fastbcd.solvers.minibatch.stream import Stream
from fastbcd.solvers.minibatch.targets import RunningTargets
from fastbcd.utils.types import Float, Float64


@dataclass(frozen=True)
class Fitted:
    """Result of :func:`train_minibatch`.

    Parameters
    ----------
    network : Network
        Network on raw data; layers with a scheme are compressed.
    record : ConvergenceRecord
        The mean loss at the start and in each epoch.
    outcome : Outcome
        How the fit ended.
    n_step_backs : int
        Number of times the fit returned from a divergence.
    """

    network: Network
    record: ConvergenceRecord
    outcome: Outcome
    n_step_backs: int


def train_minibatch(
    x: Any,
    y: NDArray[Any],
    sample_weight: NDArray[Any] | None,
    *,
    n_out: int,
    hidden_layer_sizes: tuple[LayerSize, ...],
    random_state: np.random.RandomState,
    make_monitor: Callable[[Callable[[Network], Network]], Monitor],
    activation: str = "relu",
    loss: str = "cross_entropy",
    scale_targets: bool = False,
    scheme: SchemeChoice = None,
    batch_size: int | None = None,
    start: Network | None = None,
    settings: Settings | None = None,
    copies: CompressionSchedule | None = None,
    dtype: Any = None,
    input_shape: Shape3 | None = None,
    random_shift: int = 0,
    alpha: float = 0.0,
) -> Fitted:
    """Train a network by mini-batches; with a scheme, train and compress it together.

    Parameters
    ----------
    x : (n, d) array, memory map, SciPy sparse array, or object with ``shape`` and row slices
        Inputs. If they are not in memory, they are read block by block.
    y : (n,) integer array or (n, k) array
        Class numbers below ``n_out``, or targets.
    sample_weight : (n,) array or None
        Non-negative weights.
    n_out : int
        Number of classes, or k.
    hidden_layer_sizes : tuple
        Widths of the hidden layers, or layers of :mod:`fastbcd.network.layers.specs`.
    random_state : RandomState
        Source of all randomness.
    make_monitor : callable
        Returns the monitor, as for the full solver. ``max_iter`` bounds the epochs; the schedule
        is fitted to them, so a fit always runs to the end of its schedule.
    activation : str, default="relu"
        Activation of the hidden layers.
    loss : {"cross_entropy", "squared", "hinge", "logistic"}
        The loss; "logistic" is for multilabel targets.
    scale_targets : bool, default=False
        Whether to fit standardised targets and then scale the outputs of the network back.
    scheme : Scheme, dict or None
        Compression of all hidden layers, or by layer.
    batch_size : int, optional
        Number of rows of a step, at most n; by default :func:`batch_size_for` the data.
    start : Network, optional
        Network to start from.
    settings, copies : optional
        Numbers of the method and schedule of the compression.
    dtype : dtype, optional
        Type of the fit; by default that of ``x``, if it is float32 or float64.
    input_shape : (h, w, c), optional
        Height, width and channels of the images in the rows.
    random_shift : int, default=0
        Maximum random shift of images, in pixels, drawn anew each time an image is used.
    alpha : float, default=0.0
        L2 penalty: ``alpha / (2 n)`` times the sum of the squared weights beside the mean loss.

    Returns
    -------
    Fitted
    """
    kept = None if dtype is None and not hasattr(x, "dtype") else np.dtype(dtype or x.dtype)
    kind = kept if kept in (np.float32, np.float64) else np.dtype(np.float64)
    assert kind is not None
    layout = Architecture.of(hidden_layer_sizes, int(x.shape[1]), n_out, input_shape)
    schemes = schemes_by_layer(scheme, layout.shapes, layout.images)
    rng = np.random.default_rng(random_state.randint(2**31 - 1))
    monitor = make_monitor(lambda network: network)
    if monitor.score is None and loss == "squared" and start is None:
        numbers = settings or DEFAULTS
        x, y, sample_weight, monitor = _hold_out(x, y, sample_weight, monitor, rng, numbers)
    n = int(x.shape[0])
    scaling = None
    if scale_targets:
        weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)
        scaling = Scaling.of(np.asarray(y), weight, by_column=schemes[-1] is None)
    thin, thin_schemes, linear = plan(layout, schemes)
    if settings is None:
        # A compressed network has too few weights to afford noise.
        noise = 0.0 if any(schemes) else noise_for(n, sum(k * m for k, m in layout.shapes))
        settings = Settings(noise=noise)
        if linear:
            settings = replace(settings, learning_rate=settings.thin_rate)
    size = min(batch_size or batch_size_for(n), n)
    epochs = min(monitor.max_iter, epochs_for(n, settings))
    unit = sample_weight is None or bool(np.all(np.asarray(sample_weight) == sample_weight[0]))
    problem = MiniBatchProblem(
        Rows(x, y, None if unit else sample_weight, n_out, kind, scaling),
        thin,
        LOSSES[loss],
        ALL_ACTIVATIONS[activation],
        thin_schemes,
        size,
        settings,
        Schedule(epochs * (n // size), settings),
        copies or CompressionSchedule(),
        linear,
        Shift(random_shift, input_shape) if random_shift and input_shape else None,
        alpha / (n if sample_weight is None else float(np.sum(sample_weight))),
    )
    if start is not None:
        start = split(start, schemes, linear)
    solver = MiniBatchSolver()
    with blas_threads.one_blas_pool():
        state = solver.init(problem, rng, start)
        outcome = run(solver, problem, state, replace(monitor, max_iter=epochs))
    return Fitted(outcome.network, state.record, outcome, state.n_step_backs)


def start_stream(
    x: Float,
    y: NDArray[Any],
    *,
    n_out: int,
    hidden_layer_sizes: tuple[LayerSize, ...],
    random_state: np.random.RandomState,
    activation: str = "relu",
    loss: str = "cross_entropy",
    scale_targets: bool = False,
    scheme: SchemeChoice = None,
    start: Network | None = None,
    settings: Settings | None = None,
    input_shape: Shape3 | None = None,
    alpha: float = 0.0,
    batch_size: int | None = None,
) -> Stream:
    """Return a stream, a fit that learns batch by batch; it has not learnt anything yet.

    Parameters
    ----------
    x, y : arrays
        Rows as for :func:`train_minibatch`; they only determine the type.
    alpha : float, default=0.0
        L2 penalty as for :func:`train_minibatch`; n is the number of rows seen so far.
    batch_size : int, optional
        Most rows of a step; by default ``settings.stream_batch``.
    n_out, hidden_layer_sizes, random_state, activation, loss, scheme, start, settings, input_shape
        As for :func:`train_minibatch`. With a scheme the returned network is compressed exactly at
        any time. The weights that the steps use approach it more and more, and pruned weights can
        always return.

    Returns
    -------
    Stream
        Its ``learn(x, y, sample_weight)`` takes the same ``y``.
    """
    layout = Architecture.of(hidden_layer_sizes, int(x.shape[1]), n_out, input_shape)
    schemes = schemes_by_layer(scheme, layout.shapes, layout.images)
    # A stream uses each row once, and noise would only hide it.
    settings = settings or Settings(noise=0.0)
    if batch_size is not None:
        settings = replace(settings, stream_batch=batch_size)
    targets = RunningTargets(n_out, schemes[-1] is None, settings) if scale_targets else None
    kind = x.dtype if x.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    # No rows, but weights: the sample weights of a stream may differ from one.
    rows = Rows(np.empty((0, int(x.shape[1])), kind), y[:0], np.ones(1), n_out, kind)
    problem = MiniBatchProblem(
        rows,
        layout,
        LOSSES[loss],
        ALL_ACTIVATIONS[activation],
        schemes,
        settings.stream_batch,
        settings,
        Schedule(0, settings),
        CompressionSchedule.endless(),
    )
    rng = np.random.default_rng(random_state.randint(2**31 - 1))
    return Stream(problem, rng, start, targets, alpha)


def _hold_out(
    x: Any,
    y: NDArray[Any],
    sample_weight: NDArray[Any] | None,
    monitor: Monitor,
    rng: np.random.Generator,
    settings: Settings,
) -> tuple[Any, NDArray[Any], NDArray[Any] | None, Monitor]:
    """Hold rows of a small problem out, to keep the epoch with the smallest error on them."""
    n = int(x.shape[0])
    in_memory = isinstance(x, np.ndarray) or issparse(x)
    if not 50 <= n < settings.hold_out_below or not in_memory or y.ndim != 2:
        return x, y, sample_weight, monitor
    order = rng.permutation(n)
    n_held = int(n * settings.hold_out)
    held, left = order[:n_held], np.sort(order[n_held:])
    rows: Any = x
    if issparse(x):
        rows = rows.tocsr()
    held_rows: Any = rows[held]
    x_held = held_rows.toarray() if issparse(x) else held_rows
    y_held = np.asarray(y[held], np.float64)
    weight: Float64 = np.ones(held.size)
    if sample_weight is not None:
        weight = np.asarray(sample_weight, np.float64)[held]
    if not weight.any():
        return x, y, sample_weight, monitor
    spread = np.asarray(y, np.float64).std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)

    def score(network: Network) -> float:
        dtype = network.layers[0].weight.dtype
        error = (network.forward(x_held.astype(dtype)) - y_held) / scale
        return -float(weight @ np.square(error).sum(axis=1))

    patience = max(10, min(monitor.max_iter, epochs_for(n, settings)) // 5)
    watching = replace(monitor, score=score, n_iter_no_change=patience)
    kept_weight = None if sample_weight is None else sample_weight[left]
    return rows[left], y[left], kept_weight, watching
