"""The numbers of the batch solver: each with where it comes from, and how flat it is there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Entrant:
    """One way to train, which races against others on rows held out.

    Parameters
    ----------
    damping : float
        Ridge of the first layer's solves, relative to tr(S^2) / tr(S) of the covariance S of the
        inputs. Between .1 and .5 the 22 tables of ``bench.tables`` do not tell the difference.
    smoothing : float
        Share of a class indicator that is spread over all classes. Flat from .03 to .1.
    dropout : float
        Share of the hidden units that each row leaves out.
    """

    damping: float = 0.5
    smoothing: float = 0.03
    dropout: float = 0.0


@dataclass(frozen=True)
class BatchSettings:
    """Numbers of the method. None was chosen on one data set.

    Most were measured by the geometric mean of the log loss over that of scikit-learn's
    MLPClassifier on the 22 classifications of ``bench.tables``; lower is better. With these
    numbers it is .856 on three splits. Those without a figure are those of the first trial, and
    other values were not compared.

    Parameters
    ----------
    entrants : tuple of Entrant
        What races. A strong damping with dropout is for rows that are few or noisy. A third one,
        damping .1 and dropout .1, made no difference (.859).
    length : float
        Length of a step relative to the weights of its layer. Constant: the averaging does what
        a decay would, and each length of a fit has a finished network. .05 instead of .027: .911
        against .861, at 0.7 of the seconds.
    warm_up : int
        Steps over which the length grows.
    weight_decay : float
        Shrinkage of the weights per step. Above .001 it costs accuracy.
    hidden_damping : float
        Ridge of the hidden layers' solves, relative to tr(G^2) / tr(G) of their inputs.
    gain : float
        Ridge of the backward targets, relative to the weights: (W'W + gain I)^-1 W'.
    refresh : int
        Steps between two inversions of the hidden layers' matrices.
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
    patience : int
        Checks without a better held-out loss that end an entrant's race. Flat: 3, with the later
        leave of 4 checks and 1 standard error, is .862 against .861, at 1.3 times the seconds.
    leave_after, leave_behind : int, float
        An entrant leaves the race after so many checks if its loss is so many standard errors of
        the difference behind the best.
    n_folds : int
        Folds of small data. Four instead of one held-out quarter: .821 against .856.
    folds_below : int
        Rows from which one fifth is held out instead.
    held_out : float
        That share.
    temperature_spread : float
        Standard deviation of the prior of the logarithm of the temperature. Flat.
    small_scale : float
        Factor of the starting weights of the output layer.
    """

    entrants: tuple[Entrant, ...] = (
        Entrant(damping=0.5, smoothing=0.03),
        Entrant(damping=1.5, smoothing=0.0, dropout=0.4),
    )
    length: float = 0.027
    warm_up: int = 20
    weight_decay: float = 0.0005 / 3
    hidden_damping: float = 0.5
    gain: float = 1.0
    refresh: int = 40
    observe: int = 4
    measure: int = 4
    average_every: int = 6
    average_power: float = 3.0
    first_check: float = 0.008
    check_growth: float = 1.4
    patience: int = 2
    leave_after: int = 3
    leave_behind: float = 0.5
    n_folds: int = 4
    folds_below: int = 2500
    held_out: float = 0.2
    temperature_spread: float = 0.5
    small_scale: float = 0.1


def batch_size_for(n: int) -> int:
    """Return the power of two nearest to the square root of ``n``, within [16, 256]."""
    return int(2 ** np.clip(np.round(np.log2(np.sqrt(max(n, 1)))), 4, 8))


def epochs_for(n: int) -> int:
    """Return the most passes over ``n`` rows.

    Checks end nearly all fits before: a few epochs are enough for some tables, others of the
    same size gain up to the last one.
    """
    base = np.clip(1500 * batch_size_for(n) / max(n, 1), 30, 100)
    base = np.clip(1e6 / max(n, 1), 4, base)
    return int(base * (2 if n < 1000 else 3))


def checks_for(n_steps: int, settings: BatchSettings) -> list[int]:
    """Return the steps after which the networks are judged, in geometric distances."""
    found, at = set(), settings.first_check * n_steps
    while at < n_steps / settings.check_growth**0.5:
        found.add(max(1, round(at)))
        at *= settings.check_growth
    return sorted(found | {n_steps})
