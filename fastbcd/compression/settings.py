"""The measured numbers of the compression, each with its origin and its range if known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CompressionSettings:
    """Numbers of the method: one set for all networks and data.

    They were chosen on training rows held out, of MNIST, letter and watch_har. The commands
    ``bench.compress.choose_defaults`` (pruned layers) and ``bench.compress.choose_steps`` (factors
    and codes) repeat the trials of the fields that name a variant of theirs. Where a field names
    no range, none was recorded.

    Parameters
    ----------
    calibration_rows : int
        Maximum number of rows of the layer-by-layer pass. More rows change little.
    held_out : float
        Share of the rows that ``max_score_drop`` is judged on.
    judging : int
        Minimum number of rows to set aside for ``max_score_drop``. With fewer rows all of them
        judge, because one row among a handful decides by chance.
    imitating_trust, imitating_smoothing : float
        Share of the dense network in the targets, and smoothing of the labels, if rows set aside
        judge. The dense network may have memorised these rows, so a network that generalises
        instead of imitating it is at a disadvantage on them.
    steps : int
        Number of steps of an automatic refinement, if there are enough rows. Variant "half the
        steps".
    max_epochs, max_factored : int
        Maximum number of passes over the rows in an automatic refinement, in general and for
        factors. Factors have too few parameters to memorise the rows, and start farther from their
        best values. Variants "at most 40 epochs".
    few_levels : int
        Maximum number of levels of a codebook without pruning that needs a longer refinement: only
        many short steps change its codes one by one.
    longer, long : float, int
        Such a codebook is refined ``longer`` times as many epochs, up to ``long``. Variant "two
        thirds of the epochs".
    batches : int
        Minimum number of steps in an epoch, if batches of a quarter of the usual size allow it.
    times, most : float
        A refined pruned layer starts with ``times`` the wanted number of weights, up to the share
        ``most`` of all. Variants "no more weights at first" to "four times the weights at first".
    many : int
        Mean number of weights per output above which a layer starts with the wanted number: then
        the supports of the layer-by-layer pass are as good as those of a descent.
    dense_first_rows : int
        Number of labelled rows from which a classifier that is only quantised is first refined as a
        dense network. Variant "codes at once".
    dense_first_share, dense_first_rate : float
        Share of the epochs of that dense refinement, and its rate. The dense network is good
        already, and longer steps would first make it worse. Variants "dense for half of the
        epochs", "dense steps twice as long" and "dense steps half as long".
    coded : float
        Additional share of the epochs that is spent on codes after a descent.
    spent : float
        Target of a descent, relative to the byte budget: dead neurons return some bytes, and the
        rest is trimmed.
    narrowed : float
        Maximum number of neurons, relative to 256, that is cut down to 256: an index of one byte
        instead of two buys half as many more weights.
    trims, trim_rows : int
        Maximum number of passes that remove weights until the budget is met, and the maximum number
        of rows that the cost of a weight is measured on.
    full, fills : float, int
        A byte budget counts as spent at the share ``full``; at most ``fills`` passes try to reach
        it.
    later : float
        Weight of the error of a factored layer before a refinement, relative to the layer before
        it. No later layer can recover what an early layer loses, while the refinement of the early
        layers compensates for errors of a late one. Variants "late layers count 1/2" and "late
        layers count alike".
    narrower : (float, float)
        Bounds of the share of the neurons that each step towards a budget keeps, if even the
        smallest sizes of all layers exceed it.
    room : float
        Share of the budget that the smallest sizes may then take: fewer neurons with more weights
        each are more accurate.
    span : (float, float)
        Bounds of the density of a layer, relative to the density of all layers together, between
        which its error curve is measured.
    first_divisor : float
        The first size that the search for ``max_score_drop`` tries is the dense size divided by
        this. It changes the number of tries.
    stride : float
        Factor between sizes until one is good enough and one is not. It changes the number of
        tries.
    precise : float
        The search ends when it knows the necessary size up to this factor. It trades size for
        time.
    first_cut : float
        Share of the weights after the first round of a removal of inputs and neurons.
    cut : float
        The same after each later round, relative to the round before.
    between : float
        Share of the epochs of the refinement after each round but the last.
    between_rate : float
        Rate of these refinements. Long steps undo more than they repair: at the usual rate of 2,
        networks of MNIST lost a point of their training accuracy in each.
    input_worth : float
        Factor of the price of an input where neurons may go as well. Training recovers much of what
        a neuron was worth, and little of what an input was. Mean accuracies with 1, 3 and 10:
        digits .9756, .9778, .9767 and optdigits .9786, .9822, .9804 (sparsity .85, two splits);
        MNIST at 14,000 weights .979, .982, .979 (one network).
    price_rows : int
        Maximum number of rows that the prices of a round are measured on, other ones each round.
    bent, fewest_bent : int, int
        Rows times outputs, and the fewest rows, that the curvature of the loss is measured on.
    """

    calibration_rows: int = 20_000
    held_out: float = 0.2
    judging: int = 100
    imitating_trust: float = 0.9
    imitating_smoothing: float = 0.0
    steps: int = 3000
    max_epochs: int = 80
    max_factored: int = 100
    few_levels: int = 16
    longer: float = 1.5
    long: int = 40
    batches: int = 30
    times: int = 4
    most: float = 0.5
    many: int = 24
    dense_first_rows: int = 10_000
    dense_first_share: float = 0.3
    dense_first_rate: float = 0.5
    coded: float = 0.4
    spent: float = 1.02
    narrowed: float = 1.25
    trims: int = 4
    trim_rows: int = 8000
    full: float = 0.95
    fills: int = 4
    later: float = 1 / 3
    narrower: tuple[float, float] = (0.25, 0.8)
    room: float = 0.5
    span: tuple[float, float] = (0.35, 3.0)
    first_divisor: float = 30
    stride: float = 2.0
    precise: float = 1.25
    first_cut: float = 0.3
    cut: float = 0.78
    between: float = 0.1
    between_rate: float = 0.2
    input_worth: float = 3.0
    price_rows: int = 6000
    bent: int = 30_000
    fewest_bent: int = 500


DEFAULTS = CompressionSettings()
"""The settings of every compression."""
