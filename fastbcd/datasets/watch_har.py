"""Smartwatch signals of shoulder exercises, and window features of multichannel signals."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch

from fastbcd.datasets.remote import data_home as folder_of
from fastbcd.utils import validation as check

N_FREQUENCIES = 16
FLOOR = 1e-9
"""Added to standard deviations, to avoid division by zero for constant channels."""


def fetch_watch_har(
    *,
    data_home: str | os.PathLike[str] | None = None,
    window: int = 128,
    hop: int = 64,
) -> Bunch:
    """Load seven shoulder exercises of ten people, recorded by a smartwatch at 50 Hz.

    The data come from the Python package seglearn (BSD licence) and are read from
    ``watch_har.npz``. They cannot be downloaded, because no public archive offers this file. It
    contains ``signals`` (n, 6), all recordings concatenated, and ``lengths``, ``y`` and ``subject``
    with one entry per recording.

    Parameters
    ----------
    data_home : path, optional
        Folder of ``watch_har.npz``. The default is the result of
        :func:`fastbcd.datasets.data_home`.
    window, hop : int, default=128 and 64
        Length of a window (2.56 s by default) and distance between the starts of consecutive
        windows, in samples.

    Returns
    -------
    Bunch
        ``data`` (n_windows, 159), float32, the :func:`window_features` of each window; ``target``,
        the exercise; ``subject``, the person. Split train and test data by person, not by window.

    Raises
    ------
    OSError
        If the file is missing. The message states how to create it.
    ValueError
        If the file lacks an array, its arrays contradict each other or a signal is not finite.

    References
    ----------
    Burns, Leung, Hardisty, Whyne, Henry, McLachlin: Shoulder Physiotherapy Exercise Recognition:
    Machine Learning the Inertial Signals from a Smartwatch. arXiv 1802.01489.
    """
    path = folder_of(data_home) / "watch_har.npz"
    if not path.exists():
        raise OSError(
            f"{path} is missing. Save the recordings of seglearn.datasets.load_watch() there: the "
            "concatenated signals, and lengths, y and subject of each recording."
        )
    with np.load(path, allow_pickle=False) as file:
        names = ("signals", "lengths", "y", "subject")
        if missing := [name for name in names if name not in file.files]:
            raise ValueError(f"{path} lacks the arrays {', '.join(missing)}.")
        signals, lengths, y, subject = (file[name] for name in names)
    ends = np.cumsum(lengths)
    if ends.size == 0 or ends[-1] != len(signals):
        raise ValueError(
            f"{path}: lengths add up to {ends[-1:]}, but signals has {len(signals)} rows."
        )
    features, counts = [], []
    for recording in np.split(signals, ends[:-1]):
        found = window_features(recording, window=window, hop=hop)
        features.append(found)
        counts.append(len(found))
    return Bunch(
        data=np.concatenate(features).astype(np.float32),
        target=np.repeat(y, counts),
        subject=np.repeat(subject, counts),
    )


def window_features(signal: ArrayLike, *, window: int = 128, hop: int = 64) -> NDArray[np.float64]:
    """Cut a multichannel signal into windows and compute features of each window.

    Parameters
    ----------
    signal : (n_times, n_channels) array
        Samples at equal time intervals.
    window, hop : int, default=128 and 64
        Length of a window (at least 32) and distance between the starts of consecutive windows, in
        samples.

    Returns
    -------
    (n_windows, n_features) float64 array
        For each channel: mean, standard deviation, minimum, maximum, first and third quartile, mean
        absolute difference of consecutive samples, and skewness. Then the correlations of all pairs
        of channels, and log(1 + magnitude) of the 16 lowest non-zero frequencies of each channel.
        A signal shorter than one window has no rows.

    Raises
    ------
    ValueError
        If the signal is not two-dimensional or not finite, ``window`` is below 32 or ``hop`` is
        below 1.
    """
    check.check_integer("window", window, 2 * N_FREQUENCIES)
    check.check_integer("hop", hop, 1)
    x = np.asarray(signal, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"signal must have shape (n_times, n_channels); got {x.ndim} dimensions.")
    if not np.isfinite(x).all():
        raise ValueError(
            "signal contains NaN or infinity. Replace these samples or cut the recording."
        )
    n_channels = x.shape[1]
    if len(x) < window:
        return np.empty((0, _n_features(n_channels)))
    w = np.lib.stride_tricks.sliding_window_view(x, window, axis=0)[::hop].transpose(0, 2, 1)
    mean = w.mean(axis=1)
    centred = w - mean[:, None]
    deviation = centred.std(axis=1) + FLOOR
    first, second = np.triu_indices(n_channels, 1)
    z = centred / deviation[:, None]
    spectrum = np.abs(np.fft.rfft(centred, axis=1))[:, 1 : N_FREQUENCIES + 1]
    parts: list[NDArray[Any]] = [
        mean,
        deviation,
        w.min(axis=1),
        w.max(axis=1),
        *np.percentile(w, [25, 75], axis=1),
        np.abs(np.diff(w, axis=1)).mean(axis=1),
        (z**3).mean(axis=1),
        np.einsum("ntc,ntd->ncd", z, z, optimize=True)[:, first, second] / window,
        np.log1p(spectrum).reshape(len(w), -1),
    ]
    return np.concatenate(parts, axis=1)


def _n_features(n_channels: int) -> int:
    return n_channels * (8 + N_FREQUENCIES) + n_channels * (n_channels - 1) // 2
