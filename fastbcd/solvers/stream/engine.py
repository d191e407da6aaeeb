r"""One network that learns from batch after batch.

The steps are those of :class:`fastbcd.solvers.batch.engine.LockStep`, with two differences. The
first layer is solved with a running covariance, as the hidden layers are, because a stream cannot
rotate its rows beforehand. And a batch may have fewer rows m than the B rows of a full one: its
step is shorter by :math:`\sqrt{m / B}`, so that the noise and the progress of m rows are the same,
however they are divided into calls.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastbcd.linalg import batch_products as blas
from fastbcd.network.layers.activations import Activation
from fastbcd.network.layers.row_step import activation_gain
from fastbcd.network.losses.losses import Loss
from fastbcd.solvers.batch.settings import BatchSettings
from fastbcd.solvers.stream.metric import Metric
from fastbcd.utils.types import Float
from fastbcd_kernels import minibatch_weights

NOWHERE = np.empty((0, 0), bool)
"""The support of a layer without a compressed copy."""

SMOOTH = 0.1
"""Weight of the newest step in the running length of steps, as in the mini-batch solver."""


class Engine:
    """A network in coordinates of float32, its statistics and its average.

    Parameters
    ----------
    weights, biases : lists of float32 arrays
        Where it starts; taken over.
    activation : Activation
        Of the hidden layers.
    loss : Loss
        The loss.
    settings : BatchSettings
        The numbers of the method.
    longest : float
        Number of steps by which the average forgets at most as slowly.
    averaged : float
        Number of steps that the start already is an average of.
    """

    def __init__(
        self,
        weights: Sequence[Float],
        biases: Sequence[Float],
        activation: Activation,
        loss: Loss,
        settings: BatchSettings,
        longest: float,
        averaged: float = 0.0,
    ) -> None:
        self.weights: list[Float] = list(weights)
        self.biases: list[Float] = list(biases)
        self.activation, self.loss, self.settings = activation, loss, settings
        self.longest = longest
        self.averages: list[Float] = [a.copy() for a in (*self.weights, *self.biases)]
        self.n_averaged = averaged
        self.steps = 0
        self.progress = 0.0
        self.brake = 1.0
        widths = [len(w) for w in self.weights[1:]]
        self.grams: list[Float] = [np.zeros((n, n), np.float32) for n in widths]
        self.means: list[Float] = [np.zeros(n, np.float32) for n in widths]
        self._observed = 0.0
        self.inverses: list[Float] = []
        self.gains: list[Float] = []
        self.passed: list[float] = []
        self._size = [-1.0] * len(self.weights)
        self._square = [max(blas.squared_norm(w), 1e-20) for w in self.weights]
        self._longer = 1.0

    def forward(self, u: Float, averaged: bool = False) -> list[Float]:
        """Return the inputs of each layer, and last the outputs without their bias."""
        n = len(self.weights)
        weights = self.averages[:n] if averaged else self.weights
        biases = self.averages[n:] if averaged else self.biases
        found = [u]
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            out = np.empty((len(u), weight.shape[1]), np.float32)
            blas.product(found[-1], weight, out)
            if layer < n - 1:
                self.activation.add_bias(out, bias)
            found.append(out)
        return found

    def step(
        self,
        batch: tuple[tuple[Float, Float], Float, Float],
        full: int,
        length: float,
        metric: Metric,
        l2: float = 0.0,
    ) -> float:
        """Take one step; return the mean loss before it.

        Parameters
        ----------
        u : two (m, d) arrays
            Inputs, and what :meth:`Metric.solve_rows` makes of them.
        y : (m, k) array
            Targets.
        weight : (m,) array
            Weights of the rows.
        full : int
            Rows of a full batch.
        metric : Metric
            Of the first layer.
        l2 : float, default=0.0
            Weight of half the squared weights of raw rows beside the mean loss.
        """
        u, y, weight = batch
        settings, t, n = self.settings, self.steps, len(y)
        last = len(self.weights) - 1
        inputs = self.forward(u[0])
        d = inputs.pop()
        mean = np.empty(d.shape[1], np.float32)
        loss = self.loss.descend(d, self.biases[-1], y, weight, settings.smoothing, mean)
        if not np.isfinite(loss):
            return float("nan")
        if t % settings.observe == 0 and last:
            self.observe(inputs[1:], weight)
        if t % settings.refresh == 0 or t in (2, 6) or not self.gains:
            try:
                self.refresh()
            except np.linalg.LinAlgError:
                return float("nan")
        done = min(1.0, n / full)
        self.progress += done
        part = min(1.0, self.progress / settings.warm_up) * np.sqrt(done) * self.brake
        # Norms in the metric take time, and change slowly once the weights are not random any more.
        every = settings.measure if self.progress < settings.warm_up else 4 * settings.measure
        measure = t % every == 0 or self._size[0] < 0
        keep = 1 - settings.weight_decay * part * np.sqrt(done)
        for layer in range(last, -1, -1):
            v = inputs[layer]
            s = np.empty_like(self.weights[layer])
            blas.cross_product(v if layer else u[1], d, 1 / n, s)
            b = mean
            if layer:
                back = np.empty((n, len(self.weights[layer])), np.float32)
                blas.product(d, self.gains[layer - 1], back)
                d, mean = back, np.empty(back.shape[1], np.float32)
                self.activation.mask(d, v, mean)
            share = l2 * self.passed[layer] if l2 else 0.0
            self.move(layer, s, b, metric, share, part * length, measure, keep)
        self.steps = t + 1
        self._average(done)
        return loss

    def move(
        self,
        layer: int,
        s: Float,
        b: Float,
        metric: Metric,
        l2: float,
        length: float,
        measure: bool,
        keep: float,
    ) -> None:
        """Move one layer along the solution of its ridge problem, by a set relative length."""
        weight = self.weights[layer]
        if layer:
            center = self.means[layer - 1]
            blas.subtract_outer(s, center, b)
            if l2:
                s -= np.float32(l2) * weight
            s = blas.product(self.inverses[layer - 1], s, np.empty_like(s))
        else:
            center = metric.mean
            if l2:
                s -= np.float32(l2) * metric.solve(weight * metric.turn[:, None])
        square = blas.squared_norm(s)
        if measure and layer == 0:  # how much longer a step is in the metric than in plain norm
            self._square[0] = max(metric.norm(weight), 1e-20)
            self._longer = metric.norm(s) / max(square, 1e-30)
        # A batch with an outlier may ask for a much longer step, so none is longer than it should.
        size = np.sqrt(square * (1.0 if layer else self._longer) / self._square[layer])
        old = self._size[layer]
        self._size[layer] = size if old < 0 else old + SMOOTH * (size - old)
        rate = length / max(self._size[layer], size, 1e-12)
        self.biases[layer] += np.float32(rate) * (b - center @ s)
        after = minibatch_weights.momentum_update(
            weight, weight[:0], s, s, NOWHERE, rate, 0.0, keep
        )
        if layer:
            self._square[layer] = max(after, 1e-20)

    def observe(self, hidden: Sequence[Float], weight: Float, whole: bool = False) -> None:
        """Count a batch in to the running moments of the hidden layers; ``whole`` forgets all."""
        n = len(weight)
        share = 1.0 if whole else min(0.1, n / 5000) * self.settings.observe / 2
        self._observed = 1 - (1 - self._observed) * (1 - share)
        share /= self._observed
        total = float(weight.sum(dtype=np.float64))
        if total <= 0:
            return
        even = bool(np.all(weight == weight[0]))
        for v, gram, mean in zip(hidden, self.grams, self.means, strict=True):
            left = v if even else v * np.sqrt(weight)[:, None]
            blas.decay_and_add_gram(gram, 1 - share, left, share / (n if even else total))
            mean *= np.float32(1 - share)
            mean += np.float32(share) * (weight @ v / np.float32(total))

    def refresh(self) -> None:
        """Invert the damped covariances of the hidden layers, and renew the backward gains."""
        settings = self.settings
        inverses: list[Float] = []
        gains: list[Float] = []
        for gram, mean, weight in zip(self.grams, self.means, self.weights[1:], strict=True):
            c = blas.symmetric(gram)
            c -= np.outer(mean, mean.astype(np.float64))
            trace = float(np.trace(c))
            ridge = settings.hidden_damping * float(np.vdot(c, c)) / max(trace, 1e-20)
            if not np.isfinite(ridge):
                raise np.linalg.LinAlgError("The statistics of a hidden layer are not finite.")
            c[np.diag_indices_from(c)] += ridge + 1e-6 * max(trace, 0.0) + 1e-12
            inverses.append(blas.spd_inverse(c).astype(np.float32))
            gains.append(activation_gain(weight, settings.gain).astype(np.float32, copy=False))
        self.inverses, self.gains = inverses, gains
        self.passed = [1.0]
        for weight, gain in zip(self.weights[:0:-1], gains[::-1], strict=True):
            share = float(np.vdot(weight.T, gain)) / max(blas.squared_norm(weight), 1e-30)
            self.passed.insert(0, self.passed[0] * share)

    def _average(self, done: float) -> None:
        """Move the average towards the weights: old ones are forgotten polynomially."""
        power = self.settings.average_power
        self.n_averaged = min(self.n_averaged + done, self.longest)
        share = min(1.0, (power + 1) * done / (self.n_averaged + power))
        for mean, now in zip(self.averages, (*self.weights, *self.biases), strict=True):
            minibatch_weights.average(mean.reshape(-1), now.reshape(-1), share)

    @property
    def averaged(self) -> tuple[list[Float], list[Float]]:
        """The averaged weights and biases."""
        n = len(self.weights)
        return self.averages[:n], self.averages[n:]

    def outputs(self, u: Float, averaged: bool) -> Float:
        """Return the outputs of the averaged network, or of that of now."""
        bias = self.averages[-1] if averaged else self.biases[-1]
        found: Float = self.forward(u, averaged)[-1] + bias
        return found

    def each(self, layer: int) -> list[tuple[Float, Float]]:
        """Return weights and bias of a layer, and the averages of both, to be changed."""
        weights, biases = self.averaged
        return [(self.weights[layer], self.biases[layer]), (weights[layer], biases[layer])]

    def forget_sizes(self) -> None:
        """Measure the steps anew, because the unit of the outputs is another."""
        self._size = [-1.0] * len(self.weights)
        self._square = [max(blas.squared_norm(w), 1e-20) for w in self.weights]
        self.gains = []  # the next step renews them

    def kept(self) -> list[list[Float]]:
        """Return copies of all that a step changes, for :meth:`restore`."""
        groups = self.weights, self.biases, self.averages, self.grams, self.means
        return [[a.copy() for a in group] for group in groups]

    def restore(self, kept: list[list[Float]]) -> None:
        """Go back to what :meth:`kept` returned, with steps half as long."""
        self.weights, self.biases, self.averages, self.grams, self.means = kept
        self.forget_sizes()
        self.brake *= 0.5

    def own_arrays(self) -> None:
        """Replace read-only arrays, such as joblib's memory maps, by copies."""
        for group in (self.weights, self.biases, self.averages, self.grams, self.means):
            group[:] = [a if a.flags.writeable else a.copy() for a in group]

    @property
    def is_finite(self) -> bool:
        """Whether all weights are."""
        return all(np.isfinite(a.sum(dtype=np.float64)) for a in (*self.weights, *self.biases))
