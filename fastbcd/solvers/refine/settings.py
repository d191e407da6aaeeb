"""The measured numbers of the refinement, each with its origin and its range if known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RefineSettings:
    """Length and numbers of a refinement. The defaults are one set for all data.

    They were chosen on training rows held out: of writers (MNIST), letters (letter) and people
    (watch_har) of whom the network has seen no other rows. The commands
    ``bench.compress.choose_defaults`` (pruned layers) and ``bench.compress.choose_steps`` (factors
    and codes) repeat the trials of the fields that name a variant of theirs. Where a field names
    no range, none was recorded.

    Parameters
    ----------
    epochs : float
        Passes over the rows; a batch that is used again, moved, counts twice.
    batch_size : int
        Rows per step. Variant "batches of 100".
    rate : float
        eta at the start; it falls to zero along a cosine. Variants "rate 0.5" to "rate 4".
    momentum, decay : float
        mu, and the pull of the weights towards zero relative to m. Variants "momentum 0.7",
        "momentum 0.9" and "decay 7e-4".
    drop : float
        Share of the inputs that are set to zero in each batch of a classification. The dense
        network still answers for the whole row. The share shrinks with the redundancy of the
        inputs, to zero if they are independent; ``decay`` follows it. Variants "no dropping" and
        "drop 0.15, decay 7e-4".
    radius : float
        Distance by which every second batch is moved to where the network does worst, relative to
        the root of the inputs' total variance, in a classification with plenty of weights of which
        the dense network is certain; see :mod:`.adversary`. Variants "no row moved", "rows moved
        half as far" and "rows moved half as far again".
    momentum_undropped : float
        mu if no inputs are dropped from many rows: their pulls are less noisy. Variants
        "momentum 0.7" and "momentum 0.9".
    averaged : float
        Share of the steps, at the end, whose iterates are averaged.
    moving : float
        Share of the steps, at the start, during which the supports of pruned layers may move, in a
        classification. There the squared pulls estimate the curvature of the loss. Variant
        "supports fixed".
    moved : float
        Share of a support that may move at a time at first; it falls to zero.
    shrinking : float
        Share of the steps, at the start, during which supports shrink to the wanted size.
    redundant_from, redundant_to : float
        Share of an input's variance that the other inputs explain. Below the first nothing is
        dropped; above the second, all of ``drop``.
    careful : float
        Factor of the rate of pruned layers for few rows of the most redundant inputs. A batch says
        nothing but noise about directions in which inputs hardly differ, and with few rows batches
        are small. It applies gradually from halfway between the two shares on. Chosen on MNIST with
        3000 rows, where it gained 0.012 of accuracy at a sparsity of 0.98.
    scarce, plenty : float
        Weights per row below which no row is moved, and above which rows are moved by the whole
        ``radius``; in between, by the logarithm. Chosen on held-out writers.
    certain : float
        Minimum mean certainty of the dense network for its rows to be moved.
    held_out : float
        Share of the rows, up to 3000, that only judge.
    early : int
        Steps until the loss is first checked, also after a return; later it is checked once per
        epoch.
    wild, wild_descent, wild_smoothing : float
        If the running mean of the batch losses exceeds ``wild`` times the first one within
        ``early`` steps, the steps are too long and are taken back. The newest loss has the weight
        ``wild_smoothing``, because single losses of a good network differ by as much. A descent can
        recover from more, and a restart costs it more, so its factor is larger.
    diverged : float
        A held-out loss above this multiple of the smallest one means that the steps are too long.
    descents : int
        Number of restarts, with half the steps, of a descent whose steps are too long.
    most_halvings : int
        Number of halvings after which no step length can help.
    gram_rows : int
        Maximum number of rows that the metric of each layer is measured on, once per epoch.
    move_every : int
        Steps between two chances of the supports to move or to shrink.
    far : float
        Minimum distance, in standard deviations, between zero and the mean of an input for dropped
        entries to become that mean. Zero would then be an unusual value, and would move the units
        farther than any row does.
    centre_rows : int
        Maximum number of rows that these means are measured on.
    rate_hidden, rate_output, rate_intercept : float
        eta of the weights of hidden layers, of the output layer, and of intercepts, at a rate
        of one.
    forget : float
        Weight of the newest batch in the running mean of the inputs.
    ridge : float
        lambda, relative to the mean variance of the inputs.
    factor_step : float
        Length of a step of factors at a rate of one, relative to the size of the factors. Variants
        "half steps" and "twice the steps".
    factor_decay : float
        Minimum share of a factor that is removed in each step at a rate of one. Steps of one length
        for large and small pulls let factors grow where nothing holds them, most of all with few
        rows. Variants "no decay" and "ten times the decay".
    factor_momentum : float
        Minimum mu of factors.
    factor_memory : float
        nu, the share that the running mean square of the pulls keeps; the value of Adam's paper is
        0.999 (Kingma, Ba, arXiv:1412.6980).
    caution_sparse, caution_dense : float
        Factors of the steps of quantised layers with and without pruning: a code that changes is a
        jump. A layer that is not pruned has many weights of little effect each, so its codes change
        more often. Variants "a third of the steps" and "three times the steps" of the second.
    leading : int
        Number of input directions with their own variance in the step of quantised layers; the
        others share their mean variance. Variants "8 directions", "64 directions" and "all
        directions".
    trust : float
        alpha, the share of the dense network in the targets of a regression.
    least_trust, most_trust : float
        Bounds of that share in a classification with labels. It falls with the number of rows, and
        reaches the lower bound at about ``enough`` rows. Variants "labels count 0.6" and "labels
        alone".
    smoothed : float
        Share of a label that is spread over all classes, with ``enough`` rows; with fewer rows it
        is proportional to their number. Variants "labels not smoothed" to "labels smoothed by 0.1".
    """

    epochs: float = 6.0
    batch_size: int = 200
    rate: float = 2.0
    momentum: float = 0.7
    decay: float = 2e-4
    drop: float = 0.1
    radius: float = 0.1
    momentum_undropped: float = 0.9
    averaged: float = 0.3
    moving: float = 0.4
    moved: float = 0.1
    shrinking: float = 0.5
    redundant_from: float = 0.6
    redundant_to: float = 0.9
    careful: float = 0.25
    scarce: float = 0.5
    plenty: float = 2.0
    certain: float = 0.5
    held_out: float = 0.05
    early: int = 40
    wild: float = 3.0
    wild_descent: float = 10.0
    wild_smoothing: float = 0.2
    diverged: float = 1.5
    descents: int = 2
    most_halvings: int = 20
    gram_rows: int = 8000
    move_every: int = 100
    far: float = 2.0
    centre_rows: int = 8000
    rate_hidden: float = 0.25
    rate_output: float = 0.5
    rate_intercept: float = 0.03
    forget: float = 0.05
    ridge: float = 0.5
    factor_step: float = 0.4
    factor_decay: float = 1e-3
    factor_momentum: float = 0.9
    factor_memory: float = 0.999
    caution_sparse: float = 0.1
    caution_dense: float = 0.03
    leading: int = 16
    trust: float = 0.3
    least_trust: float = 0.1
    most_trust: float = 0.9
    smoothed: float = 0.03


DEFAULTS = RefineSettings()
"""The settings of a refinement that is given none."""
