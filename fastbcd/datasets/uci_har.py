"""UCI-HAR: six human activities and 561 features of smartphone signals."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fastbcd.datasets.remote import RemoteFile, obtain
from fastbcd.datasets.remote import data_home as folder_of

ARCHIVE = RemoteFile(
    "human+activity+recognition+using+smartphones.zip",
    [
        "https://archive.ics.uci.edu/static/public/240/"
        "human+activity+recognition+using+smartphones.zip"
    ],
    "sha256:c00b803081a5c797cd5e4b83700a9810b38d53d9d84e01917e090e1fdbc81031",
)
INNER = "UCI HAR Dataset.zip"
ROOT = "UCI HAR Dataset"
CLASSES = (
    "WALKING",
    "WALKING_UPSTAIRS",
    "WALKING_DOWNSTAIRS",
    "SITTING",
    "STANDING",
    "LAYING",
)
MAX_BYTES = 1 << 30
"""Maximum size in bytes of an archive member; it exceeds the size of every published member."""


def fetch_uci_har(
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    verify: bool = True,
    verbose: int = 0,
) -> Bunch:
    """Load Human Activity Recognition Using Smartphones in its published split by subject.

    Parameters
    ----------
    data_home : path, optional
        Folder that contains the published archive or the unpacked folder ``UCI HAR Dataset``. The
        default is the result of :func:`fastbcd.datasets.data_home`.
    download_if_missing : bool, default=True
        Whether to download the archive (61 MB) if it is missing.
    verify : bool, default=True
        Whether to compare the SHA-256 digest of the archive with the published one.
    verbose : int, default=0
        1 shows the progress of downloads on standard error.

    Returns
    -------
    Bunch
        ``X_train`` (7352, 561) and ``X_test`` (2947, 561), float64 in [-1, 1]; ``y_train`` and
        ``y_test``, int64 from 0 to 5; ``subject_train`` and ``subject_test``; ``target_names``.

    Raises
    ------
    OSError
        If the archive is missing and cannot be downloaded. The message states where to put it.
    ValueError
        If the archive is damaged, lacks a member or is not the published one.

    References
    ----------
    Anguita, Ghio, Oneto, Parra, Reyes-Ortiz: A Public Domain Dataset for Human Activity
    Recognition Using Smartphones. ESANN 2013. https://doi.org/10.24432/C54S4K, CC BY 4.0.
    """
    members = [f"{part}/{kind}_{part}.txt" for part in ("train", "test") for kind in _KINDS]
    unpacked = folder_of(data_home) / ROOT
    if unpacked.is_dir():
        texts = _read_folder(unpacked, members)
    else:
        path = obtain(
            ARCHIVE,
            data_home,
            download_if_missing=download_if_missing,
            verify=verify,
            verbose=verbose,
        )
        texts = _read_archive(path, members)
    tables = [_table(text, name) for name, text in zip(members, texts, strict=True)]
    found: dict[str, NDArray[Any]] = dict(
        zip([f"{k}_{p}" for p in ("train", "test") for k in _KINDS], tables, strict=True)
    )
    for part in ("train", "test"):
        if len({len(found[f"{kind}_{part}"]) for kind in _KINDS}) > 1:
            raise ValueError(
                f"The tables of {part}/ have different numbers of rows. Download again."
            )
        found[f"y_{part}"] = found[f"y_{part}"].ravel().astype(np.int64) - 1
        found[f"subject_{part}"] = found[f"subject_{part}"].ravel().astype(np.int64)
    return Bunch(target_names=np.array(CLASSES), **found)


_KINDS = ("X", "y", "subject")


def _read_folder(folder: Path, members: list[str]) -> list[bytes]:
    try:
        return [(folder / name).read_bytes() for name in members]
    except FileNotFoundError as error:
        raise ValueError(f"{folder} lacks {error.filename}. Unpack the archive again.") from None


def _read_archive(path: Path, members: list[str]) -> list[bytes]:
    """Return the contents of ``members``; the archive usually contains a second archive."""
    try:
        with zipfile.ZipFile(path) as outer:
            names = outer.namelist()
            inner = io.BytesIO(_member(outer, INNER)) if INNER in names else path
        with zipfile.ZipFile(inner) as archive:
            return [_member(archive, f"{ROOT}/{name}") for name in members]
    except KeyError as error:
        raise ValueError(f"{path} lacks a member: {error.args[0]} Download it again.") from None
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is damaged ({error}). Delete it and download it again.") from None


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_BYTES:
        raise zipfile.BadZipFile(f"{name} declares a size of more than {MAX_BYTES} bytes")
    return archive.read(name)


def _table(text: bytes, name: str) -> NDArray[np.float64]:
    """Parse a table of numbers separated by white space."""
    try:
        return np.loadtxt(io.BytesIO(text), ndmin=2)
    except ValueError as error:
        raise ValueError(
            f"{name} is not a table of numbers ({error}). Download it again."
        ) from None
