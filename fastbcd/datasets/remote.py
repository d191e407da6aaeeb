"""Download, storage and verification of files from public archives."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO

CHUNK = 1 << 18
TIMEOUT = 30.0
"""Timeout in seconds of each network operation."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Parameters
    ----------
    name : str
        Path of the file relative to the data folder.
    urls : sequence of str
        Addresses of the file, tried in turn.
    digest : str
        ``"sha256:..."``, the SHA-256 of its bytes, or ``"git:..."``, their Git blob hash.
    """

    name: str
    urls: Sequence[str]
    digest: str


def data_home(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the data sets.

    Parameters
    ----------
    path : path, optional
        The folder. The default is the environment variable ``FASTBCD_DATA`` or, if it is not set,
        ``fastbcd`` in the user's cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``).
    """
    if path is not None:
        return Path(path).expanduser()
    if told := os.environ.get("FASTBCD_DATA"):
        return Path(told).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "fastbcd"


def obtain(
    file: RemoteFile,
    folder: str | os.PathLike[str] | None,
    *,
    download_if_missing: bool,
    verify: bool,
    verbose: int,
) -> Path:
    """Return the path of ``file``; download the file if it is not in the folder.

    Raises
    ------
    OSError
        If the file is missing and cannot or must not be downloaded. The message states where to
        put it.
    ValueError
        If the file differs from the published one and ``verify`` is True.
    """
    path = data_home(folder) / file.name
    if path.exists():
        if verify and _digest(path, file.digest) != file.digest:
            raise ValueError(
                f"{path} is not the published file: its digest is {_digest(path, file.digest)} "
                f"instead of {file.digest}. Delete it to download it again, or pass verify=False "
                "if the difference is intended."
            )
        return path
    if not download_if_missing:
        raise OSError(
            f"{path} is missing. Put the file from {file.urls[0]} there, or pass "
            "download_if_missing=True."
        )
    return _download(file, path, verify=verify, verbose=verbose)


def _download(file: RemoteFile, path: Path, *, verify: bool, verbose: int) -> Path:
    """Download ``file`` to a temporary file, verify it, and rename it to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in file.urls:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as sink:
                _copy(url, sink, path.name, verbose)
            found = _digest(part, file.digest)
            if verify and found != file.digest:
                failures.append(f"{url}: its digest is {found} instead of {file.digest}")
                continue
            part.replace(path)
            return path
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {getattr(error, 'reason', error)}")
        finally:
            part.unlink(missing_ok=True)
    raise OSError(
        f"Cannot download {path.name} ({'; '.join(failures)}). Without a network, download it "
        f"elsewhere and put it at {path}, or set data_home to the folder that contains it."
    )


def _copy(url: str, sink: IO[bytes], label: str, verbose: int) -> None:
    """Copy the bytes at ``url``; if ``verbose``, write progress lines to standard error."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as source:
        total = int(source.headers.get("Content-Length") or 0)
        done, last = 0, monotonic()
        while chunk := source.read(CHUNK):
            sink.write(chunk)
            done += len(chunk)
            if verbose and monotonic() - last > 1.0:
                last = monotonic()
                share = f" ({done / total:.0%})" if total else ""
                sys.stderr.write(f"{label}: {done / 1e6:.1f} MB{share}\n")
        if total and done != total:
            raise OSError(f"the connection ended after {done} of {total} bytes")


def _digest(path: Path, like: str) -> str:
    """Return the digest of a file, of the same kind as ``like``: "sha256" or "git"."""
    form = like.split(":")[0]
    if form == "git":
        sha = hashlib.sha1(usedforsecurity=False)
        sha.update(b"blob %d\0" % path.stat().st_size)
    else:
        sha = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            sha.update(chunk)
    return f"{form}:{sha.hexdigest()}"
