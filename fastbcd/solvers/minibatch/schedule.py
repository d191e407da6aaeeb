"""Numbers derived from the data: batch size, number of epochs, noise, step lengths over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastbcd.solvers.minibatch.settings import DEFAULTS, Settings


def batch_size_for(n: int) -> int:
    """Return the power of two nearest to the square root of ``n``, within [16, 256]."""
    return int(2 ** np.clip(np.round(np.log2(np.sqrt(max(n, 1)))), 4, 8))


def epochs_for(n: int, settings: Settings = DEFAULTS) -> int:
    """Return the number of passes over ``n`` rows: a million rows in total, but 4 to 30 passes.

    A data set of very few rows gets up to 100 passes, for ``most_steps`` steps in total.
    """
    most = np.clip(settings.most_steps * batch_size_for(n) / max(n, 1), 30, 100)
    return int(np.clip(1e6 / max(n, 1), 4, most))


def noise_for(n: int, n_weights: int, settings: Settings = DEFAULTS) -> float:
    """Return the noise on the inputs of a fit of ``n`` rows and ``n_weights`` weights.

    Noise keeps weights from fitting single rows. If there are more rows than weights, they cannot
    fit single rows anyway, and noise would only add a bias.
    """
    noise = settings.noise * min(1.0, float(np.sqrt(n_weights / max(n, 1))))
    return noise if noise > settings.least_noise else 0.0


@dataclass(frozen=True)
class Schedule:
    """Step lengths and noise of a fit of known length, or of an endless stream.

    Parameters
    ----------
    n_steps : int
        Number of steps of the whole fit; zero for a stream.
    settings : Settings
        Numbers of the method.
    """

    n_steps: int
    settings: Settings = DEFAULTS

    def fraction(self, step: int) -> float:
        """Return the fraction of the fit that is done at ``step``; for a stream, it tends to 1."""
        return step / (self.n_steps or step + self.settings.stream_steps)

    def noise(self, step: int) -> float:
        """Return the noise on the inputs relative to its maximum: a slow rise."""
        return min(1.0, self.fraction(step) / self.settings.noise_rise) ** 2

    def length(self, step: int) -> float:
        """Return the step length relative to its maximum: a short rise, then a cosine to zero.

        For a stream it stays at one third after the rise, and the running average of the weights
        replaces the decay.
        """
        rise = min(1.0, (step + 1) / self.settings.warm_up)
        if not self.n_steps:
            return rise / 3
        return rise * 0.5 * (1 + float(np.cos(np.pi * min(self.fraction(step), 1.0))))
