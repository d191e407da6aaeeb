"""Atomic writing of files."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from os import PathLike
from pathlib import Path


def write_atomic(path: str | PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` atomically: a failure leaves the old file unchanged.

    The bytes are written to a temporary file in the same folder and synced to disk. The temporary
    file is then renamed to ``path``. It is removed if an error occurs.

    Parameters
    ----------
    path : str or path
        File to create or replace. Symbolic links are followed. The mode of an old file is kept.
    data : bytes
        Contents of the file.

    Raises
    ------
    OSError
        If the file cannot be written, for example because the folder does not exist, permission is
        missing or the disk is full. The error names ``path``.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        folder = str(target.parent)
        message = f"The folder {folder!r} does not exist; create it first. No file was changed"
        raise FileNotFoundError(2, message, os.fspath(path))
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        if target.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        # "x" never overwrites another file. open(), unlike mkstemp(), sets the default mode.
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, beside)
        os.replace(beside, target)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{reason}. No file was changed. Choose a writable folder with enough space"
        raise type(error)(error.errno or 5, message, os.fspath(path)) from None
    finally:
        # After a success the temporary file has been renamed.
        with contextlib.suppress(OSError):
            beside.unlink()
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Sync the folder, if the system supports it, so that the rename survives a power failure."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
