"""The numbers of the batch solver: each with where it comes from, and how flat it is there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BatchSettings:
    """Numbers of the method. None was chosen on one data set.

    ``python -m bench.choose_batch`` measures what they matter: the mean accuracy, and the geometric
    mean of the log loss over that of these defaults (lower is better), on the training rows of the
    22 classifications of ``bench.tables``, a quarter of them set aside, on three splits. The
    figures below are such ratios, with standard errors of .005 to .04. Those of ``patience``,
    ``leave_ahead`` and ``halve_folds_at`` were measured one after the other, at the default length:
    the first when line-ups left earlier, the second with all folds. The others were measured with
    steps of twice the default length and an earlier race. Numbers without a figure were not varied.

    Parameters
    ----------
    n_blocks : int
        Networks side by side that share the width. One of them: 1.051; two: 1.011.
    block_width : int
        Units that each of them has at least in each hidden layer.
    few_bins, many_bins, rows_per_bin : int, int, float
        Intervals of a column: sqrt(n) / ``rows_per_bin``, within the bounds. At most 4: 1.002; at
        most 16: .990, with a first layer twice as large.
    fewest_edges : int
        Distinct quantiles below which a column has no intervals.
    reach : float
        A ramp over the whole column reaches so many standard deviations from the mean.
    most_features : int
        Features up to which columns are encoded. It bounds the seconds: the eigenvectors of their
        covariance take their third power. Without an encoding: 1.106.
    tail : float
        Columns of a larger fourth moment than this, that of a normal distribution, have a larger
        unit: a column that is one in a thousand rows and zero elsewhere would else have entries of
        31.
    alike, alike_share, reach_rows : float, float, int
        Columns are in one unit, as pixels are, if the ranges of such a share of them differ from
        their median by less than this factor; measured on about so many rows.
    damping : float
        Ridge of the first layer's solves, relative to tr(S^2) / tr(S) of the covariance S of the
        inputs. With .1: 1.009; with 1.5: 1.032.
    smoothing : float
        Share of a class indicator that is spread over all classes. Without: 1.015; with .1: .983.
    length : float
        Length of a step relative to the weights of its layer. Constant: the averaging does what
        a decay would, and each length of a fit has a finished network. Twice the default takes .6
        of the seconds and is as good on average (.995), but the larger tables are behind: the log
        loss of magic was .3028 instead of .2965, that of phoneme .2688 instead of .2545. With .08:
        1.033.
    warm_up : int
        Steps over which the length grows.
    weight_decay : float
        Shrinkage of the weights per step. Without: .995; with .001: .989.
    hidden_damping : float
        Ridge of the hidden layers' solves, relative to tr(G^2) / tr(G) of their inputs.
    gain : float
        Ridge of the backward targets, relative to the weights: (W'W + gain I)^-1 W'.
    refresh : int
        Steps between two inversions of the hidden layers' matrices.
    early_refresh : tuple of int
        Steps before which they are inverted besides: the first ones are of a single batch.
    observe : int
        Steps between two updates of the running covariances of the hidden layers.
    measure : int
        Steps between two measurements of norms, which set the lengths.
    average_every : int
        Steps between two updates of the averaged weights.
    average_power : float
        Degree of the polynomial by which the average forgets (Shamir, Zhang, ICML 2013).
    first_check, check_growth : float
        The first check, as a share of the fit, and how much later each next one is.
    leave_after, leave_behind, leave_ahead : int, float, float
        After so many checks, a line-up leaves the race if the best one leads by more than so many
        standard errors of the difference, and by more than so many times what the best one gained
        since the check before. Networks on ramps learn faster at first than networks on columns
        that end below them, so an early lead means little while the leader still improves. Four
        times: .998, with a tenth more seconds; any lead beyond noise: 1.024; after eight checks
        instead, any such lead: .998.
    patience, untempered_patience : int, int
        Checks without a lower held-out loss that end a line-up's race. The first one takes 1.4 and
        the second 2 times the steps of the network that is returned. One: 1.003; four: 1.001, in
        1.5 times the seconds. Losses without a temperature get one more: they depend on the size
        of the outputs, and may stand still before they fall on.
    halve_folds_at : tuple of int
        Checks after which half of the folds goes on. Early ones are cheap and decide the most; the
        later ones of a long fit take nearly all of its seconds. Never: .985, at twice the
        seconds of the longest fits; after 11 only: .987. Losses without a temperature keep all
        folds.
    n_folds : int
        Folds of small data. Two: 1.031; four: 1.006.
    folds_below : int
        Rows from which one fifth is held out instead.
    held_out : float
        That share.
    temperature_spread : float
        Standard deviation of the prior of the logarithm of the temperature.
    small_scale : float
        Factor of the starting weights of the output layer. One: 1.035.
    compiled_from : int
        Rows from which the steps are compiled: a fit then takes longer than a compilation.
    """

    n_blocks: int = 4
    block_width: int = 8
    few_bins: int = 4
    many_bins: int = 8
    rows_per_bin: float = 4.0
    fewest_edges: int = 4
    reach: float = 3.0
    most_features: int = 1024
    tail: float = 3.0
    alike: float = 3.0
    alike_share: float = 0.7
    reach_rows: int = 2048
    damping: float = 0.5
    smoothing: float = 0.03
    length: float = 0.027
    warm_up: int = 20
    weight_decay: float = 0.0005 / 3
    hidden_damping: float = 0.5
    gain: float = 1.0
    refresh: int = 40
    early_refresh: tuple[int, ...] = (2, 6)
    observe: int = 4
    measure: int = 4
    average_every: int = 6
    average_power: float = 3.0
    first_check: float = 0.008
    check_growth: float = 1.4
    leave_after: int = 3
    leave_behind: float = 0.5
    leave_ahead: float = 2.0
    patience: int = 2
    untempered_patience: int = 3
    halve_folds_at: tuple[int, ...] = (8, 11)
    n_folds: int = 8
    folds_below: int = 2500
    held_out: float = 0.2
    temperature_spread: float = 0.5
    small_scale: float = 0.1
    compiled_from: int = 2000


DEFAULTS = BatchSettings()
"""What fits use."""


def batch_size_for(n: int) -> int:
    """Return the power of two nearest to n / 40, within [16, 256].

    From 2500 rows on that is about twice the square root of n. On six large tables the loss was
    as low as with the root, at half the seconds; with steps as much longer it was higher. Below,
    the root was better.
    """
    return int(2 ** np.clip(np.round(np.log2(max(n, 1) / 40)), 4, 8))


def epochs_for(n: int) -> int:
    """Return the most passes over ``n`` rows.

    Checks end nearly all fits before: a few epochs are enough for some tables, others of the
    same size gain up to the last one.
    """
    base = np.clip(1500 / np.sqrt(max(n, 1)), 30, 100)
    base = np.clip(1e6 / max(n, 1), 4, base)
    return int(base * (2 if n < 1000 else 4))


def checks_for(n_steps: int, settings: BatchSettings) -> list[int]:
    """Return the steps after which the networks are judged, in geometric distances."""
    found, at = set(), settings.first_check * n_steps
    while at < n_steps / settings.check_growth**0.5:
        found.add(max(1, round(at)))
        at *= settings.check_growth
    return sorted(found | {n_steps})
