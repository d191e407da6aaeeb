"""The measured numbers of the mini-batch solver, with their origin and flat range if known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CompressionSchedule:
    """When the compressed copies are renewed, and how firmly the network is tied to them.

    No trials of other values are on record; ``bench.minibatch.compression`` measures the result on
    MNIST.

    Parameters
    ----------
    start, full, fixed : float
        Fractions of the fit at which the tie begins, is complete, and the structure of the copies
        becomes fixed. Until then a pruned weight can return.
    period : int
        Steps between two projections.
    forget : float
        Share of what pruned weights have learnt that each projection removes.
    sparse : float
        Maximum share of non-zeros of a projection whose zeros count as its structure. No other
        value is on record.
    """

    start: float = 0.05
    full: float = 0.5
    fixed: float = 0.6
    period: int = 10
    forget: float = 0.1
    sparse: float = 0.5

    @classmethod
    def endless(cls) -> CompressionSchedule:
        """Return the schedule for streams: the tie always grows, and no structure is ever fixed.

        Pruned weights can return whenever the data change.
        """
        return cls(start=0.0, full=1.0, fixed=2.0)

    def tie(self, fraction: float) -> float:
        """Return the share of the way from the weights to the copy that the network uses.

        It equals tau / (1 + tau) for a penalty tau that grows without bound. It rises fast at
        first, when the least important weights go, and slowly at the end.
        """
        x = float(np.clip((fraction - self.start) / (self.full - self.start), 0.0, 1.0))
        return 1 - (1 - x) ** 3


@dataclass(frozen=True)
class Settings:
    """Numbers of the method: one set for all data.

    They were chosen by trials on MNIST, letter, dna, digits and watch_har. No command repeats these
    trials, and the ranges within which the result does not change were not recorded. The commands
    ``bench.minibatch.accuracy_over_time`` (MNIST) and ``bench.tables`` measure the result.

    Parameters
    ----------
    learning_rate : float, default=0.03
        Maximum length of a step, relative to the layer's weights.
    thin_rate : float, default=0.02
        The same in networks with thin layers: there are more layers, and all of them move at once.
    momentum : float, default=0.5
        Share of the previous direction that is kept.
    damping : float, default=0.5
        Ridge of the hidden layers' solves, relative to tr(G^2) / tr(G) of their inputs.
    gain : float, default=1.0
        rho / gamma of the backward targets.
    noise : float, default=0.15
        Standard deviation of the noise added to the whitened inputs if there are at least as many
        weights as rows; see :func:`.schedule.noise_for`.
    noise_rise : float, default=0.1
        Share of a fit over which the noise grows. At first the weights cannot fit single rows yet,
        and noise only hides the structure of the data.
    least_noise : float, default=0.01
        Smaller noise is not added, because its effect is not worth its time.
    smoothing : float, default=0.1
        Share of a class indicator that is spread over all classes.
    weight_decay : float, default=0.0005
        Shrinkage of the weights per step, times the relative step length.
    average : float, default=0.3
        Share of the fit, at its end, whose weights are averaged.
    recent : float, default=0.75
        Share of an epoch after which its weights are averaged, for the network of that epoch.
    refresh : int, default=20
        Steps between two inversions of the small matrices. Fewer inversions save time.
    most_steps : int, default=1500
        Number of steps of a fit with more than 30 epochs.
    warm_up : int, default=20
        Steps over which the step length grows at first.
    smooth : float, default=0.1
        Weight of the newest step in the running step size.
    floor : float, default=0.3
        A step much longer than the running size is shortened to 1 / ``floor`` of the intended
        length.
    gram_every : int, default=2
        Steps between two updates of the running Gram matrices, except those of thin layers.
    gram_rows : int, default=5000
        Number of rows that the running Gram matrices remember.
    thin_batches : int, default=10
        Number of batches that the Gram matrices of thin layers remember. The layers before them
        change faster.
    wide : int, default=2048
        Maximum number of inputs of a hidden layer with a Gram matrix. A wider layer is solved
        against each batch alone. The cost of the matrix sets this number.
    wide_of_thin : int, default=512
        The same in networks of thin layers, where such a matrix costs more than all other products.
    off_limits : float, default=50.0
        A batch loss above this multiple of the loss without a network means that the weights
        diverge.
    watched : int, default=20
        Number of steps whose mean loss must stay below twice that of the start; otherwise they are
        taken back.
    snapshot_every : int, default=100
        Approximate number of steps between two snapshots that a diverging fit returns to.
    most_step_backs : int, default=20
        Maximum number of step-backs; then the fit ends with its last snapshot.
    small_output : float, default=0.1
        Factor of the first weights of the output layer, so that no first output is far off.
    sample_rows : int, default=2000
        Number of rows for the first statistics of the hidden layers.
    hold_out : float, default=0.1
        Share of the rows of a small squared-loss fit that choose the epoch whose network is kept.
    hold_out_below : int, default=20_000
        Number of rows below which a squared-loss fit holds rows out. Nothing else keeps it from
        fitting noise.
    stream_steps : int, default=200
        Number of steps of a stream after which the ties of compressed copies are at half.
    stream_batch : int, default=128
        Maximum number of rows of a step of a stream.
    early_rows : int, default=256
        Number of rows that a stream remembers: first all rows, later a sample of the rows seen.
    window : int, default=50
        Number of steps over which the weights of a stream are averaged.
    prior_rows : float, default=1.0
        Weight, in rows, of the isotropic covariance that a stream assumes before its first row.
    rescale_beyond : float, default=2.0
        The targets of a stream get new units if their spread differs from the assumed one by more
        than this factor.
    thin_copies : CompressionSchedule
        Schedule of the thin layers that stand for factored ones: they are tensor trains from the
        first step to the last. Their steps stay in the tangent space, so a projection every few
        steps is enough.
    """

    learning_rate: float = 0.03
    thin_rate: float = 0.02
    momentum: float = 0.5
    damping: float = 0.5
    gain: float = 1.0
    noise: float = 0.15
    noise_rise: float = 0.1
    least_noise: float = 0.01
    smoothing: float = 0.1
    weight_decay: float = 0.0005
    average: float = 0.3
    recent: float = 0.75
    refresh: int = 20
    most_steps: int = 1500
    warm_up: int = 20
    smooth: float = 0.1
    floor: float = 0.3
    gram_every: int = 2
    gram_rows: int = 5000
    thin_batches: int = 10
    wide: int = 2048
    wide_of_thin: int = 512
    off_limits: float = 50.0
    watched: int = 20
    snapshot_every: int = 100
    most_step_backs: int = 20
    small_output: float = 0.1
    sample_rows: int = 2000
    hold_out: float = 0.1
    hold_out_below: int = 20_000
    stream_steps: int = 200
    stream_batch: int = 128
    early_rows: int = 256
    window: int = 50
    prior_rows: float = 1.0
    rescale_beyond: float = 2.0
    thin_copies: CompressionSchedule = CompressionSchedule(
        start=-2.0, full=-1.0, fixed=0.0, period=5
    )


DEFAULTS = Settings()
"""The settings of a fit that is given none."""
