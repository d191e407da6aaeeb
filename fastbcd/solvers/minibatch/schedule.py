"""What is derived from the data: batch size, number of epochs, step lengths over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_STEPS = 1500
"""Steps of a fit that takes more than 30 epochs."""

NOISE = 0.15
"""Standard deviation of the noise on whitened inputs where there are more weights than rows."""

NOISE_RISE = 0.1
"""Share of a fit over which the noise grows: at first there is nothing yet that fits single rows,
and noise only hides what there is to learn."""

LEAST_NOISE = 0.01
"""Less noise than this is not worth its time."""

RECENT = 0.75
"""Share of an epoch after which its weights are averaged, for the network at its end."""

STREAM_STEPS = 200
"""Steps of a stream after which the ties of compressed copies are half of the way."""

THIN_RATE = 0.02
"""Length of a step in networks of thin layers: they are more, and all of them move at once."""

WARM_UP = 20
"""Steps over which the first step lengths grow."""


def batch_size_for(n: int) -> int:
    """Return the power of two nearest to the square root of ``n``, within [16, 256]."""
    return int(2 ** np.clip(np.round(np.log2(np.sqrt(max(n, 1)))), 4, 8))


def epochs_for(n: int) -> int:
    """Return how often to pass over ``n`` rows: a million visits, but 4 to 30 passes.

    The fewest rows are passed over up to 100 times, for 1500 steps in all.
    """
    most = np.clip(MOST_STEPS * batch_size_for(n) / max(n, 1), 30, 100)
    return int(np.clip(1e6 / max(n, 1), 4, most))


def noise_for(n: int, n_weights: int) -> float:
    """Return the noise on the inputs of a fit of ``n`` rows and ``n_weights`` weights.

    Noise keeps weights from fitting single rows. With more rows than weights they cannot, and the
    bias that noise brings is all that is left of it.
    """
    noise = NOISE * min(1.0, float(np.sqrt(n_weights / max(n, 1))))
    return noise if noise > LEAST_NOISE else 0.0


@dataclass(frozen=True)
class Settings:
    """Numbers of the method. The defaults are one rule for all data; few need another.

    Parameters
    ----------
    learning_rate : float, default=0.03
        Length of a step relative to the layer's weights, at its largest.
    momentum : float, default=0.5
        Share of the previous direction that is kept.
    damping : float, default=0.5
        Ridge of the hidden layers' solves, relative to tr(G^2) / tr(G) of their inputs.
    gain : float, default=1.0
        rho / gamma of the backward targets.
    noise : float, default=0.15
        Standard deviation of what is added to the whitened inputs; see :func:`noise_for`.
    smoothing : float, default=0.1
        Share of a class indicator that is spread over all classes.
    weight_decay : float, default=0.0005
        Shrinkage of the weights per step, times the course of the step length.
    average : float, default=0.3
        Share of the last steps whose weights are averaged.
    refresh : int, default=20
        Steps between two inversions of the small matrices.
    """

    learning_rate: float = 0.03
    momentum: float = 0.5
    damping: float = 0.5
    gain: float = 1.0
    noise: float = NOISE
    smoothing: float = 0.1
    weight_decay: float = 0.0005
    average: float = 0.3
    refresh: int = 20


@dataclass(frozen=True)
class Schedule:
    """The course of a fit of known length; of an endless stream if ``n_steps`` is zero.

    Parameters
    ----------
    n_steps : int
        Steps of the whole fit.
    """

    n_steps: int

    def fraction(self, step: int) -> float:
        """Return the share of the fit that lies behind ``step``; of a stream, it tends to one."""
        return step / (self.n_steps or step + STREAM_STEPS)

    def noise(self, step: int) -> float:
        """Return the noise on the inputs in units of the largest: a slow rise."""
        return min(1.0, self.fraction(step) / NOISE_RISE) ** 2

    def length(self, step: int) -> float:
        """Return the step length in units of the largest: a short rise, then a cosine to 0.

        On a stream it stays at one third after the rise, and the running average of the weights
        does what the decay would.
        """
        rise = min(1.0, (step + 1) / WARM_UP)
        if not self.n_steps:
            return rise / 3
        return rise * 0.5 * (1 + float(np.cos(np.pi * min(self.fraction(step), 1.0))))


@dataclass(frozen=True)
class CompressionSchedule:
    """When the compressed copies are renewed, and how firmly the network is tied to them.

    Parameters
    ----------
    start, full, fixed : float
        Shares of the fit at which the tie sets in, is complete, and the structure of the copies
        stands: until then a weight that was pruned may come back.
    period : int
        Steps between two projections.
    forget : float
        Share of what pruned weights have learnt that is forgotten at each projection.
    """

    start: float = 0.05
    full: float = 0.5
    fixed: float = 0.6
    period: int = 10
    forget: float = 0.1

    @classmethod
    def endless(cls) -> CompressionSchedule:
        """Return the course for streams: the tie grows without end, and nothing is ever fixed.

        Pruned weights may come back whenever the data change.
        """
        return cls(start=0.0, full=1.0, fixed=2.0)

    def tie(self, fraction: float) -> float:
        """Return the share of the way from the weights to the copy that the network uses.

        It is tau / (1 + tau) for a penalty tau that grows without bound; it rises fast at first,
        when the least important part goes, and slowly at the end.
        """
        x = float(np.clip((fraction - self.start) / (self.full - self.start), 0.0, 1.0))
        return 1 - (1 - x) ** 3


THIN = CompressionSchedule(start=-2.0, full=-1.0, fixed=0.0, period=5)
"""Of the thin layers that stand for factored ones: trains from the first step to the last. Their
steps stay in the tangent space, so that projections may be some steps apart."""
