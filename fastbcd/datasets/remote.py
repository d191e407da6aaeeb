"""A file of a public archive: where it comes from, where it is kept, and how it is checked."""

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
"""Seconds without a byte before a server is given up."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Parameters
    ----------
    name : str
        Its name in the data folder; may name a sub-folder.
    urls : sequence of str
        Where it is published; tried in turn.
    digest : str
        ``"sha256:..."`` of its bytes, or ``"git:..."``, the name that a Git repository gives them.
    """

    name: str
    urls: Sequence[str]
    digest: str


def data_home(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the data sets.

    Parameters
    ----------
    path : path, optional
        The folder, if it is not the usual one: that of the environment variable
        ``FASTBCD_DATA``, else ``fastbcd`` in the user's cache folder (``$XDG_CACHE_HOME`` or
        ``~/.cache``).
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
    """Return the path of ``file``, downloaded if it is not in the folder.

    Raises
    ------
    OSError
        If it is missing and cannot, or must not, be downloaded. The message says where to put it.
    ValueError
        If its bytes are not the published ones.
    """
    path = data_home(folder) / file.name
    if path.exists():
        if verify and _digest(path, file.digest) != file.digest:
            raise ValueError(
                f"{path} is not the published file: its digest is {_digest(path, file.digest)} "
                f"instead of {file.digest}. Remove it to fetch it anew, or pass verify=False "
                "if it is meant to differ."
            )
        return path
    if not download_if_missing:
        raise OSError(
            f"{path} is missing. Put the file from {file.urls[0]} there, or pass "
            "download_if_missing=True."
        )
    return _download(file, path, verify=verify, verbose=verbose)


def _download(file: RemoteFile, path: Path, *, verify: bool, verbose: int) -> Path:
    """Fetch ``file`` beside ``path``, check it, and only then rename it."""
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
        f"Cannot download {path.name} ({'; '.join(failures)}). Without a network, fetch it "
        f"elsewhere and put it at {path}, or pass data_home= the folder that holds it."
    )


def _copy(url: str, sink: IO[bytes], label: str, verbose: int) -> None:
    """Copy the bytes at ``url``, with a line of progress on standard error."""
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
    """Return the digest of a file in the form of ``like``."""
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
