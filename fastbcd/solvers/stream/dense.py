"""Learning from a stream of rows, one call at a time: ``partial_fit`` of dense networks.

A fit measures its data before it begins: the units of the inputs and targets, and their covariance.
The first rows of a stream say little about these. The stream therefore remembers its first rows.
Each time their number has doubled, it starts again with the new measurements and learns the
remembered rows once more. Later, it measures again each time the number of rows has doubled, and at
last each time it has seen as many rows as its moments reach back. A new measurement changes the
coordinates of the network, and not the network.

The network is the average of the weights, which forgets its past only slowly. On rows that are new
to both, it is compared with the weights of now. If these are much better, the data have changed,
and the average forgets at once.
"""

from __future__ import annotations

from copy import copy
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from fastbcd.formats import DenseMatrix
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.losses.losses import LOSSES
from fastbcd.network.network import Layer, Network
from fastbcd.network.scaling import Scaling, absorb, release
from fastbcd.parallel import blas_threads as blas_threads
from fastbcd.solvers.batch import settings as batch_settings
from fastbcd.solvers.batch.engine import first_bias
from fastbcd.solvers.batch.temperature import row_losses
from fastbcd.solvers.minibatch.problem import check_finite
from fastbcd.solvers.minibatch.rows import Rows
from fastbcd.solvers.minibatch.targets import RunningTargets
from fastbcd.solvers.stream.engine import Engine
from fastbcd.solvers.stream.frame import Columns, Frame
from fastbcd.solvers.stream.metric import Metric
from fastbcd.solvers.stream.settings import DEFAULTS, StreamSettings
from fastbcd.utils.types import Float, Float64

Piece = tuple[Float, NDArray[Any], Float64]
"""Inputs, targets as they came, and weights."""

MANY_ROWS = 1 << 30
"""Rows that a given network counts as having seen."""


class DenseStream:
    """A fit without an end, which learns in :meth:`learn`.

    It keeps the weights and their average, the running covariance of the inputs of each layer and
    what solves with it, and 256 rows: for d columns and layers of h units about as many numbers as
    twice the weights, 2 d^2 and 2 h^2, and 256 d.

    Parameters
    ----------
    sizes : tuple of int
        Number of columns, widths of the hidden layers, number of outputs.
    dtype : dtype
        Type of the network. The arithmetic of the steps is float32.
    activation, loss : str
        Names.
    scale_targets : bool
        Whether to learn targets in their running units.
    seed : int
        Source of all randomness.
    start : Network, optional
        Network on raw data to start from.
    alpha : float, default=0.0
        L2 penalty: ``alpha / (2 n)`` times the squared weights beside the mean loss of the ``n``
        rows seen so far.
    batch_size : int, optional
        Rows of a full batch; by default ``settings.batch_size`` the rows seen.
    settings : StreamSettings, optional
        Numbers of the method.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        activation: str,
        loss: str,
        scale_targets: bool,
        seed: int,
        start: Network | None = None,
        alpha: float = 0.0,
        batch_size: int | None = None,
        settings: StreamSettings = DEFAULTS,
    ) -> None:
        self.settings, self._numbers = settings, batch_settings.DEFAULTS
        self._sizes, self._dtype = sizes, dtype
        self._start, self._alpha, self._batch_size = start, alpha, batch_size
        self._activation, self._loss = activation, loss
        self._seed, self.rng = seed, np.random.default_rng([seed, 1])
        self._targets = RunningTargets(sizes[-1], True) if scale_targets else None
        self._scaling: Scaling | None = None
        self._known: NDArray[np.bool_] = np.zeros(sizes[-1], bool)
        self.n_seen = 0
        self._early: list[Piece] = []
        self._some: Float = np.empty((0, sizes[0]), dtype)
        self._next_measure = 0
        self._to_count = 0.0
        self._reach = max(settings.reach, settings.reach_per_column * sizes[0])
        n_weights = sum(a * b for a, b in pairwise(sizes))
        # Two flops of a row for each entry of the covariance, six for each weight.
        self._every = max(1, round(sizes[0] ** 2 / (3 * n_weights * settings.measuring)))
        self._calm, self._since = start is not None, 0.0
        self._before = 0 if start is None else MANY_ROWS
        self._worse: Float64 = np.zeros(4)
        self._to_compare = 0.0
        self._engine: Engine | None = None
        self.columns, self.frame, self.metric = self._blank()

    @property
    def engine(self) -> Engine:
        """The network and its statistics."""
        if self._engine is None:
            raise ValueError("The stream has not seen any rows yet.")
        return self._engine

    def learn(self, x: Any, y: NDArray[Any], sample_weight: NDArray[Any] | None = None) -> float:
        """Learn from some rows in one pass, in random order.

        Parameters
        ----------
        x : (n, d) array or sparse matrix
            Inputs.
        y : (n, k) array
            Targets.
        sample_weight : (n,) array, optional
            Non-negative weights; one is normal.

        Returns
        -------
        float
            Mean loss over the rows before the steps; NaN if they diverged and were undone.

        Raises
        ------
        ValueError
            If an entry is not finite. The stream is unchanged then.
        """
        rows = Rows(x, y, None, self._sizes[-1], self._dtype)
        n = rows.n
        if n == 0:
            return float("nan")
        entries: Any = x
        check_finite(entries.data if issparse(x) else x, y)
        weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)
        if self._engine is not None:
            self._engine.own_arrays()
            self.metric.own_arrays()
        order = self.rng.permutation(n)
        size = -(-n // -(-n // self.settings.piece))
        losses = 0.0
        with blas_threads.one_blas_pool():
            for lo in range(0, n, size):
                chosen = order[lo : lo + size]
                piece = rows.inputs(chosen), y[chosen], weight[chosen]
                losses += len(chosen) * self.learn_piece(piece)
        return losses / n

    def network(self) -> Network:
        """Return the averaged network on raw data."""
        frame, last = self.frame, len(self._sizes) - 2
        weights, biases = self.engine.averaged
        exact = self._targets is None or self._targets.float32_tells
        kind = self._dtype if exact else np.dtype(np.float64)
        layers = []
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            raw, intercept = weight.astype(kind), bias.astype(np.float64)
            if layer == 0:
                intercept -= (frame.origin / frame.unit) @ weight
                raw *= (1 / frame.unit)[:, None].astype(kind)
            name = "identity" if layer == last else self._activation
            layers.append(Layer(DenseMatrix(raw), intercept.astype(kind), name))
        network = Network(layers)
        if self._scaling is None:
            return network
        return absorb(network, Scaling(np.zeros(self._sizes[0]), 1.0), self._scaling)

    def learn_piece(self, piece: Piece) -> float:
        """Measure some rows and learn from them in the order in which they are."""
        early = self.n_seen < self.settings.early_rows
        self.n_seen += len(piece[0])
        if self._targets is not None:
            self._targets.add(piece[1], piece[2])
            self._targets.forget(self._reach)
        if not early:
            self._count(piece)
            return self._steps(piece, self.n_seen)
        self._early.append(piece)
        if self.n_seen >= min(self._next_measure, self.settings.early_rows) or self._differ:
            self._begin()
        loss = self._steps(piece, self.n_seen)
        if self.n_seen >= self.settings.early_rows:  # from now on a sample of the rows is enough
            every = np.concatenate([call[0] for call in self._early])
            self._some = every[self.rng.permutation(len(every))[: self.settings.early_rows]]
            self._early = []
        return loss

    # The data

    def _blank(self) -> tuple[Columns, Frame, Metric]:
        d = self._sizes[0]
        rng = np.random.default_rng([self._seed, 2])
        frame = Frame(np.zeros(d), np.ones(d), np.zeros(d, bool), np.inf)
        return Columns(d), frame, Metric(d, self._numbers.damping, rng)

    def _begin(self) -> None:
        """Start again with what the early rows say, and learn all but the last call's."""
        x, y, weight = (np.concatenate(parts) for parts in zip(*self._early, strict=True))
        self._next_measure = 2 * self.n_seen
        self.columns, _, self.metric = self._blank()
        some = x[:: max(1, len(x) // self.settings.early_rows)]  # quantiles are slow to compute
        rough = Frame.rough(some)
        self.columns.add(rough.centered(x), weight, np.inf)
        self.frame = frame = self.columns.frame(rough, some, self._numbers)
        u, share = frame.scaled(frame.centered(x)), weight.astype(np.float32)
        self.metric.turn = np.square(1 / frame.unit).astype(np.float32)
        self.metric.add(u, share, self._reach)
        try:
            self.metric.refresh()
        except np.linalg.LinAlgError as error:
            raise ValueError(
                f"The inputs are too large or too small for {self._dtype}. Divide them by their "
                "standard deviation, or pass float64."
            ) from error
        if self._targets is not None:
            self._scaling, self._known = self._targets.scaling, self._targets.known
        start = self._start
        weights, biases = self._drawn(y, weight) if start is None else self._given(start)
        averaged = 0.0 if start is None else self.settings.averaged_start
        self._engine = Engine(
            weights, biases, ALL_ACTIVATIONS[self._activation], LOSSES[self._loss], self._numbers,
            self.settings.longest, averaged,
        )  # fmt: skip
        self._engine.observe(self._engine.forward(u)[1:-1], share, whole=True)
        self._worse[:] = 0
        seen = 0
        for call in self._early[:-1]:
            seen += len(call[0])
            self._steps(call, seen)

    def _given(self, start: Network) -> tuple[list[Float], list[Float]]:
        """Return the weights and biases of a network on raw data, in the coordinates."""
        frame = self.frame
        plain = Scaling(np.zeros(self._sizes[0]), 1.0)
        weights, biases = release(start, plain, self._scaling)
        first = weights[0].astype(np.float64)
        biases[0] = biases[0] + frame.origin @ first
        weights[0] = first * frame.unit[:, None]
        return (
            [np.ascontiguousarray(w, np.float32) for w in weights],
            [np.ascontiguousarray(b, np.float32) for b in biases],
        )

    def _drawn(self, y: NDArray[Any], weight: Float64) -> tuple[list[Float], list[Float]]:
        """Return random weights, and biases of which the last are the best constant outputs."""
        weights, n_out = [], self._sizes[-1]
        for layer, (n_in, n) in enumerate(pairwise(self._sizes)):
            scale = np.sqrt(2 / (self.metric.trace or n_in if layer == 0 else n_in))
            scale *= self._numbers.small_scale if layer == len(self._sizes) - 2 else 1.0
            drawn = np.random.default_rng([self._seed, 3, layer]).standard_normal((n_in, n))
            weights.append((scale * drawn).astype(np.float32))
        weights[0][~self.frame.known] = 0  # such a column says nothing
        biases = [np.zeros(n, np.float32) for n in self._sizes[1:]]
        if self._loss in ("cross_entropy", "logistic"):
            # One row more, of all classes alike: a class may only be late.
            level = 1 / n_out if self._loss == "cross_entropy" else 0.5
            every = np.vstack([y, np.full((1, n_out), level)]).astype(np.float32)
            biases[-1] = first_bias(every, np.append(weight, 1.0), self._loss).astype(np.float32)
        return weights, biases

    def _count(self, piece: Piece) -> None:
        """Count rows in, and measure again if it is time."""
        x, _, weight = piece
        self._sample(x)
        self._to_count += len(x) / (1 if self.n_seen <= self._reach else self._every)
        few = slice(0, min(len(x), int(self._to_count)))
        self._to_count -= few.stop
        if few.stop:
            centered = self.frame.centered(x[few])
            self.columns.add(centered, weight[few], self._reach)
            u = self.frame.scaled(centered)
            self.metric.add(u, weight[few].astype(np.float32), self._reach)
        if self.n_seen >= self._next_measure:
            self._next_measure = self.n_seen + min(self.n_seen, self._reach * self._every)
            self.measure()
        if self._differ:
            self._rescale()

    def _sample(self, x: Float) -> None:
        """Keep a random sample of the rows (Vitter's algorithm R, 1985), but forget old ones."""
        seen = self.n_seen - len(x) + 1 + np.arange(len(x))
        place = self.rng.integers(0, np.minimum(seen, self._reach * self._every))
        kept = np.flatnonzero(place < len(self._some))
        self._some = np.array(self._some)  # it may be mapped from a file
        self._some[place[kept]] = x[kept]

    def measure(self) -> None:
        """Change the coordinates of the inputs to what the data ask for now."""
        old, columns, metric = self.frame, copy(self.columns), copy(self.metric)
        new = columns.frame(old, self._some, self._numbers)
        fresh = new.known & ~old.known
        shift = (new.origin - old.origin) / old.unit
        ratio = new.unit / old.unit
        variance = np.where(fresh, columns.moments[1] / np.square(new.unit), 0.0)
        metric.change(
            np.where(old.known, shift, 0.0), np.where(fresh, 1.0, ratio), variance, new.unit
        )
        try:
            metric.refresh()
        except np.linalg.LinAlgError:
            return  # of numbers that are not usable; the next measurement forgets them
        self.frame, self.columns, self.metric = new, columns, metric
        for weight, bias in self.engine.each(0):
            bias += (shift @ weight).astype(np.float32)
            weight *= ratio[:, None].astype(np.float32)

    # The targets

    @property
    def _differ(self) -> bool:
        """Whether the targets ask for other units."""
        if self._targets is None or self._scaling is None:
            return False
        return self._targets.differ(self._scaling, self._known)

    def _rescale(self) -> None:
        """Express the output layer in the present units of the targets."""
        old, targets = self._scaling, self._targets
        assert old is not None
        assert targets is not None
        new = targets.scaling
        # The weights of an output that has never varied are still random, and keep their size.
        known = self._known if self._start is None else np.ones_like(self._known)
        ratio = np.where(known, old.factor / new.factor, 1.0)
        shift = np.where(known, (old.shift - new.shift) / new.factor, 0.0)
        for weight, bias in self.engine.each(-1):
            weight *= ratio.astype(np.float32)
            bias[...] = bias * ratio + shift
        self.engine.forget_sizes()
        self._scaling, self._known = new, targets.known

    def _scaled(self, y: NDArray[Any]) -> Float:
        if self._scaling is not None:
            y = self._scaling.apply(np.asarray(y, np.float64))
        return np.ascontiguousarray(y, np.float32)

    # The steps

    def _steps(self, piece: Piece, n_seen: int) -> float:
        """Take the steps of some rows, the last of ``n_seen``; return the mean loss before."""
        engine, n = self.engine, len(piece[0])
        u = self.frame.scaled(self.frame.centered(piece[0]))
        y, weight = self._scaled(piece[1]), piece[2].astype(np.float32)
        if n_seen > n:
            self._compare(u, y, weight)
        solved = self.metric.solve_rows(u)
        l2 = self._alpha / max(self.n_seen, 1)
        kept, losses, lo = engine.kept(), 0.0, 0
        while lo < n:
            full, length = self._full_step(n_seen - n + lo)
            size = -(-(n - lo) // max(1, round((n - lo) / full)))
            part = slice(lo, lo + size)
            batch = (u[part], solved[part]), y[part], weight[part]
            loss = engine.step(batch, full, length, self.metric, l2)
            if loss > self.settings.off_limits and loss > self._most_loss(*batch[1:]):
                loss = float("nan")
            losses += loss * len(batch[1])
            lo += size
        if not np.isfinite(losses) or not engine.is_finite:
            engine.restore(kept)
            return float("nan")
        engine.brake = min(1.0, engine.brake * 1.1)  # one divergence does not slow it for ever
        return losses / n

    def _most_loss(self, y: Float, weight: Float) -> float:
        """Return the mean loss beyond which a step is taken back, for unusual rows, too."""
        blank = row_losses(np.zeros_like(y), y, self._loss)
        return self.settings.off_limits * float(weight @ blank) / len(y)

    def _full_step(self, n_seen: int) -> tuple[int, float]:
        """Return the rows of a full batch, and the relative length of its step."""
        settings, done = self.settings, self.engine.progress - self._since
        size = self._batch_size or settings.batch_size(n_seen + self._before)
        if self._calm:
            return size, self._numbers.length  # that of a fit
        return size, settings.length / max(done / settings.constant, 1.0) ** settings.decay

    def _compare(self, u: Float, y: Float, weight: Float) -> None:
        """Let the average forget if the weights of now are much better on rows new to both."""
        settings = self.settings
        self._to_compare = min(self._to_compare + len(u) / settings.one_in, settings.compared)
        if self._to_compare < min(len(u), settings.compared):
            return
        few = slice(0, int(self._to_compare))
        self._to_compare = 0.0
        losses = [
            row_losses(self.engine.outputs(u[few], averaged), y[few], self._loss)
            for averaged in (True, False)
        ]
        blank = row_losses(np.zeros_like(y[few]), y[few], self._loss)
        rows, worse = weight[few], weight[few] * (losses[0] - losses[1])
        self._worse = settings.remembers ** len(y[few]) * self._worse
        self._worse += worse.sum(), worse @ worse, rows @ losses[1], rows @ (losses[0] - blank)
        difference, square, loss, useless = self._worse
        # A given network that is worse than none is forgotten before its weights are better.
        lost = self._calm and self.n_seen >= settings.compared and useless > 0
        if lost or difference > settings.sure * np.sqrt(square) + settings.matters * loss:
            self.engine.n_averaged *= 0.0 if lost else 0.5
            self._before = -self.n_seen if lost else self._before
            self._calm, self._since = False, self.engine.progress
            self._worse[:] = 0
