"""From data and settings to a trained network: what the estimators call.

Everything here is functions of arrays; the estimators add scikit-learn's conventions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastbcd.exceptions import IgnoredParameterWarning
from fastbcd.network.chunks import as_dense
from fastbcd.network.layers.activations import ACTIVATIONS, ExactActivation
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.layers.patches import WHOLE_ROW
from fastbcd.network.layers.pooled import MaxPooled
from fastbcd.network.losses.losses import LOSSES
from fastbcd.network.network import Network
from fastbcd.network.scaling import Scaling, absorb, float32_tells, release
from fastbcd.objective.terms import Penalties, Problem
from fastbcd.schemes.by_layer import schemes_by_layer
from fastbcd.solvers import ConvergenceRecord, FullSolver, Monitor, run
from fastbcd.solvers.batch import train_batch
from fastbcd.solvers.batch.fit import HeldOut
from fastbcd.solvers.choice import Settings as Settings
from fastbcd.solvers.choice import choose_solver
from fastbcd.solvers.full.schedule import Growth, TauRamp
from fastbcd.solvers.full.settings import DEFAULTS
from fastbcd.solvers.loop import Outcome
from fastbcd.solvers.minibatch import train_minibatch
from fastbcd.solvers.starts import initial_weights
from fastbcd.statistics.units import units_of
from fastbcd.utils.types import Float, Float64
from fastbcd.utils.warnings import warn


@dataclass(frozen=True)
class Trained:
    """Result of :func:`train`.

    Parameters
    ----------
    network : Network
        On raw data, compressed where a scheme said so.
    record : ConvergenceRecord
        The training history, in the units of the scaled data.
    outcome : Outcome
        How the fit ended.
    solver : {"batch", "full", "minibatch"}
        What trained it.
    """

    network: Network
    record: ConvergenceRecord
    outcome: Outcome
    solver: str


def relative(sample_weight: Float64) -> Float64:
    """Return weights whose mean is not below one.

    The proximal terms of the objective do not know the unit of the weights. Weights that only
    say how rows compare, such as inverse variances, shall not vanish beside them. Larger ones
    stay, for weight k is k repetitions.
    """
    mean = float(sample_weight.mean())
    return sample_weight / mean if 0 < mean < 1 else sample_weight


def type_for(dtype: np.dtype[Any], y: Float, sample_weight: Float64) -> np.dtype[Any]:
    """Return the type of the fit: that of the inputs, or float64 where float32 cannot tell ``y``.

    See :func:`fastbcd.network.scaling.float32_tells`.
    """
    if dtype != np.float32:
        return dtype
    spread = np.sqrt(sample_weight @ np.square(y - y.mean(axis=0)) / sample_weight.sum())
    enough = float32_tells(np.abs(y).max(axis=0, initial=0.0), spread)
    return dtype if enough else np.dtype(np.float64)


def train(
    x: Any,
    y: Float,
    sample_weight: Float64,
    settings: Settings,
    random_state: np.random.RandomState,
    make_monitor: Callable[[Callable[[Network], Network]], Monitor],
    start: Network | None = None,
    held_out: HeldOut | None = None,
) -> Trained:
    """Train a network, compressing it on the way if a scheme is given.

    Parameters
    ----------
    x : (n, d) array or sparse matrix
        Inputs, float32 or float64. The full solver makes a sparse matrix dense.
    y : (n, k) array
        Targets: float64 values, or class indicators of any type.
    sample_weight : (n,) array
        Positive weights.
    settings : Settings
        Everything else.
    random_state : RandomState
        For the starting weights.
    make_monitor : callable
        Returns the monitor; it is handed the function that turns a network on scaled data
        into the one on raw data.
    start : Network, optional
        Where to start from instead of random weights. If it reads columns through an encoding, so
        does the result.
    held_out : (x, y, weight or None), optional
        Rows that the monitor's score is measured on; "batch" chooses by their loss, too.
    """
    if start is not None and start.encoding is not None:
        return _train_on_features(
            x, y, sample_weight, settings, random_state, make_monitor, start, held_out
        )
    sample_weight = relative(sample_weight)
    kind = type_for(x.dtype, y, sample_weight) if settings.scale_targets else x.dtype
    n, d = x.shape
    chosen = choose_solver(settings, n, d, None if start else float(sample_weight.sum()))
    if chosen == "batch":
        if start is not None:
            raise ValueError(
                'solver="batch" always starts afresh: set warm_start=False, or solver="minibatch".'
            )
        return Trained(
            *train_batch(
                as_dense(x),
                y,
                sample_weight,
                hidden_layer_sizes=settings.widths,
                random_state=random_state,
                make_monitor=make_monitor,
                activation=settings.activation,
                loss=settings.loss,
                scale_targets=settings.scale_targets,
                dtype=kind,
                encoded=settings.encoding is not None,
                alpha=settings.alpha,
                batch_size=_batch_size(settings, n),
                held_out=None if held_out is None else (as_dense(held_out[0]), *held_out[1:]),
            ),
            solver=chosen,
        )
    if chosen == "minibatch":
        fitted = train_minibatch(
            x,
            y,
            None if np.all(sample_weight == 1) else sample_weight,
            n_out=y.shape[1],
            hidden_layer_sizes=settings.hidden_layer_sizes,
            input_shape=settings.input_shape,
            random_shift=settings.random_shift,
            random_state=random_state,
            make_monitor=make_monitor,
            activation=settings.activation,
            loss=settings.loss,
            scale_targets=settings.scale_targets,
            scheme=settings.scheme,
            start=start,
            dtype=kind,
            alpha=settings.alpha,
            batch_size=_batch_size(settings, n),
        )
        return Trained(fitted.network, fitted.record, fitted.outcome, chosen)
    x = as_dense(x).astype(kind, copy=False)
    layout = Architecture.of(
        settings.hidden_layer_sizes, x.shape[1], y.shape[1], settings.input_shape
    )
    schemes = schemes_by_layer(settings.scheme, layout.shapes, layout.images)
    plain = layout.views[0] == WHOLE_ROW
    if plain:
        # Rows and columns of formats cannot be multiplied one by one.
        unit = np.ones(x.shape[1]) if schemes[0] else units_of(x)
        inputs = Scaling.of(x / unit.astype(kind), sample_weight)
        inputs = Scaling(inputs.shift * unit, inputs.factor).in_units(unit)
    else:
        inputs = Scaling.of_images(x)
    outputs = None
    if settings.scale_targets:
        outputs = Scaling.of(y, sample_weight, by_column=schemes[-1] is None)
    scaled = inputs.apply(x)
    targets = outputs.apply(y, kind) if outputs is not None else np.ascontiguousarray(y, x.dtype)
    if start is not None:
        old = release(start, inputs, outputs)  # maybe fitted to data of another type
        weights, intercepts = ([part.astype(x.dtype) for part in parts] for parts in old)
    else:
        drawn = initial_weights(settings.init, layout.shapes, random_state)
        weights = [w.astype(x.dtype) for w in drawn]
        if plain:
            weights[0][~scaled.any(axis=0)] = 0  # a constant feature says nothing
        intercepts = [np.zeros(m, x.dtype) for _, m in layout.shapes]
    hidden = ACTIVATIONS[settings.activation]
    activations: list[ExactActivation] = [
        hidden if pool is None else MaxPooled(hidden, pool) for pool in layout.pools[:-1]
    ]
    problem = Problem(
        scaled,
        targets,
        sample_weight,
        LOSSES[settings.loss],
        [*activations, ACTIVATIONS["identity"]],
        layout.views,
        schemes,
        Penalties(settings.rho, settings.gamma, 0.0, settings.proximal),
        _l2(settings.alpha, inputs, len(layout.shapes)),
    )
    monitor = make_monitor(lambda network: absorb(network, inputs, outputs))
    solver = FullSolver(
        _ramp(settings, sample_weight.sum(), monitor.max_iter) if any(schemes) else None,
        settings.accelerate,
        settings.certificate,
        _growth(settings, monitor.max_iter) if settings.accelerate and start is None else None,
    )
    state = solver.init(problem, weights, intercepts)
    outcome = run(solver, problem, state, monitor)
    return Trained(absorb(outcome.network, inputs, outputs), state.record, outcome, chosen)


def _train_on_features(
    x: Any,
    y: Float,
    sample_weight: Float64,
    settings: Settings,
    random_state: np.random.RandomState,
    make_monitor: Callable[[Callable[[Network], Network]], Monitor],
    start: Network,
    held_out: HeldOut | None,
) -> Trained:
    """Train what follows the encoding of ``start``, which stays as it is; see :func:`train`.

    The features of all rows are held in memory.
    """
    encoding = start.encoding
    assert encoding is not None
    if held_out is not None:
        held_out = (encoding.rows(as_dense(held_out[0])), *held_out[1:])

    def monitor(on_raw_data: Callable[[Network], Network]) -> Monitor:
        return make_monitor(lambda network: on_raw_data(network).encoded(encoding, keep=True))

    features = encoding.rows(as_dense(x))
    trained = train(
        features, y, sample_weight, settings, random_state, monitor, start.on_features, held_out
    )
    return replace(trained, network=trained.network.encoded(encoding, keep=True))


def _batch_size(settings: Settings, n: int) -> int | None:
    """Return the rows of a step, clipped to ``n``; None leaves them to the solver."""
    size = settings.batch_size
    if isinstance(size, str):
        return None
    if size > n:
        warn(
            f"batch_size={size} is more than the {n} rows of the fit, and was clipped to them. "
            f'Set at most {n}, or "auto".',
            IgnoredParameterWarning,
        )
    return min(size, n)


def _l2(alpha: float, inputs: Scaling, n_layers: int) -> list[float | Float64]:
    """Return the L2 penalty of each layer, that of the first turned to the scaled inputs."""
    if alpha == 0:
        return []
    first: float | Float64 = alpha / np.square(inputs.factor)
    return [first, *[alpha] * (n_layers - 1)]


def _growth(settings: Settings, max_iter: int) -> Growth | None:
    """Return the schedule of rho, gamma and proximal; None if they start at the given values."""
    start, n_sweeps = DEFAULTS.growth_start, DEFAULTS.growth_sweeps
    if settings.rho == settings.gamma == settings.proximal == start:
        return None
    return Growth(start, min(n_sweeps, max_iter // 2))


def _ramp(settings: Settings, n_weighted: float, max_iter: int) -> TauRamp:
    """Return the schedule of tau, which is constant if tau is a number.

    With "auto", tau starts at a fraction of rho times the mean diagonal entry of the Gram matrix of
    each layer's inputs: the curvature that the data give to a weight. It ends at rho times the
    total sample weight, which is that curvature for inputs of unit mean square. The weights and
    their copies then agree at the end, and the copies can change until then.
    """
    if not isinstance(settings.tau, str):
        return TauRamp(settings.tau, settings.tau, 0)
    end = settings.rho * n_weighted
    n_sweeps = min(DEFAULTS.ramp_sweeps, max_iter // 2)
    most = DEFAULTS.ramp_most * end
    return TauRamp(DEFAULTS.ramp_start, end, n_sweeps, relative=True, most=most)
