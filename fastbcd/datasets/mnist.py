"""MNIST: 70,000 images of handwritten digits with 28 x 28 grey values."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fastbcd.datasets.remote import RemoteFile, obtain
from fastbcd.datasets.remote import data_home as folder_of

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
DIGESTS = {
    "train-images-idx3-ubyte.gz": (
        "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
MAX_BYTES = 1 << 28
"""Maximum number of bytes read from a decompressed file; it exceeds the size of every file."""


def fetch_mnist(
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    verify: bool = True,
    verbose: int = 0,
) -> Bunch:
    """Load MNIST in its published split.

    Parameters
    ----------
    data_home : path, optional
        Folder of the four published ``.gz`` files, or of one ``mnist.npz`` with their arrays
        (``x_train``, ``y_train``, ``x_test``, ``y_test``; case is ignored). The default is the
        result of :func:`fastbcd.datasets.data_home`.
    download_if_missing : bool, default=True
        Whether to download missing files.
    verify : bool, default=True
        Whether to compare the SHA-256 digests of the ``.gz`` files with the published ones.
    verbose : int, default=0
        1 shows the progress of downloads on standard error.

    Returns
    -------
    Bunch
        ``X_train`` (60000, 784) and ``X_test`` (10000, 784), float32 between 0 and 1;
        ``y_train`` and ``y_test``, int64 digits 0 to 9; ``image_shape``, (28, 28, 1).

    Raises
    ------
    OSError
        If a file is missing and cannot be downloaded. The message states where to put it.
    ValueError
        If a file is damaged, or is not the published file.
    """
    packed = folder_of(data_home) / "mnist.npz"
    if packed.exists():
        arrays = _read_npz(packed)
    else:
        arrays = [
            read_idx(
                obtain(
                    RemoteFile(name, [mirror + name for mirror in MIRRORS], digest),
                    data_home,
                    download_if_missing=download_if_missing,
                    verify=verify,
                    verbose=verbose,
                )
            )
            for name, digest in DIGESTS.items()
        ]
    x_train, y_train, x_test, y_test = arrays
    return Bunch(
        X_train=_flat(x_train),
        y_train=y_train.astype(np.int64),
        X_test=_flat(x_test),
        y_test=y_test.astype(np.int64),
        image_shape=(28, 28, 1),
    )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array in a gzipped IDX file of bytes.

    Raises
    ------
    ValueError
        If the file is not a gzipped IDX file of bytes, or is truncated.
    """
    try:
        with gzip.open(path) as source:
            raw = source.read(MAX_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}). Delete it and download it again.") from None
    n_axes = raw[3] if len(raw) > 3 and raw[:3] == b"\0\0\x08" else 0
    shape = np.frombuffer(raw, ">u4", n_axes, offset=4).astype(int) if n_axes else np.zeros(0, int)
    first = 4 + 4 * n_axes
    if n_axes == 0 or len(raw) - first != shape.prod():
        raise ValueError(
            f"{path} is not an IDX file of bytes, or it is cut off. Download it again."
        )
    return np.frombuffer(raw, np.uint8, offset=first).reshape(shape)


def _read_npz(path: Path) -> list[NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        found = {name.lower(): file[name] for name in file.files}
    names = ["x_train", "y_train", "x_test", "y_test"]
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{path} lacks the arrays {', '.join(missing)}.")
    return [found[name] for name in names]


def _flat(images: NDArray[Any]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
