"""The measured numbers of the full solver, each with its origin and its flat range if known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FullSettings:
    """Numbers of the method that neither the theorem nor the machine determines.

    None of them can make F rise: an extrapolation or a restart that does not lower F is discarded,
    and within a sweep all penalties are constant.

    Parameters
    ----------
    extrapolation_start : float
        Length beta of the first extrapolation, in units of the sweep's own change. No other
        value is on record.
    extrapolation_growth : float
        Factor of beta after a success; a failure halves beta. No other value is
        on record.
    extrapolation_smallest, extrapolation_largest : float
        Bounds of beta. No other values are on record.
    restart_every : int
        Sweeps between two trials of the forward pass. No other value is on record.
    growth_sweeps : int
        Sweeps over which rho, gamma and proximal grow to the given values in an accelerated fit
        from random weights, at most half of ``max_iter``. Chosen on held-out training rows of the
        data sets of ``bench.paper.mlp``; the range was not recorded.
    growth_start : float
        First value of rho, gamma and proximal in such a fit. One balances all terms of F.
    ramp_sweeps : int
        Sweeps over which an automatic tau grows, at most half of ``max_iter``. The range was
        not recorded.
    ramp_start : float
        First value of an automatic tau, relative to the curvature that the data give to a weight.
        Chosen on held-out training rows of the data sets of ``bench.paper.mlp``; the range was
        not recorded.
    ramp_most : float
        Maximum of that first value, relative to the last tau. The range was not recorded.
    """

    extrapolation_start: float = 1.0
    extrapolation_growth: float = 1.3
    extrapolation_smallest: float = 0.1
    extrapolation_largest: float = 20.0
    restart_every: int = 10
    growth_sweeps: int = 30
    growth_start: float = 1.0
    ramp_sweeps: int = 200
    ramp_start: float = 0.3
    ramp_most: float = 0.03


DEFAULTS = FullSettings()
"""The settings of every fit."""
