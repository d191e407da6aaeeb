"""The measured numbers of the layer-by-layer reconstruction, with their origin and range."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReconstructSettings:
    """Numbers of the method. The refinement shares ``temperature`` and ``enough``.

    They were chosen on held-out training rows. The variant "one-shot" of
    ``bench.compress.choose_defaults`` measures the result on MNIST, letter and watch_har.

    Parameters
    ----------
    temperature : float
        T, by which outputs are divided before the softmax. Flatter probabilities carry more
        information about the other classes (Hinton et al., arXiv:1503.02531). No other value is on
        record.
    enough : int
        Number of rows from which the rows of a classification are weighted by uncertainty, labels
        get their full weight, and labels are smoothed fully. The range was not recorded.
    uncertain : float
        Share of the weight of a row that depends on its uncertainty if there are ``enough`` rows;
        zero otherwise. The range was not recorded.
    constant : float
        Inputs whose standard deviation is below this share of their mean count as constant: their
        variation is rounding. No other value is on record.
    steps : int
        Number of steps of :func:`.imitation.imitate`. More steps change little.
    """

    temperature: float = 2.0
    enough: int = 10_000
    uncertain: float = 0.75
    constant: float = 1e-5
    steps: int = 50


DEFAULTS = ReconstructSettings()
"""The settings of every reconstruction."""
