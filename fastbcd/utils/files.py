"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from os import PathLike
from pathlib import Path


def write_atomic(path: str | PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path``: after a failure the old file is there, and nothing else.

    The bytes go to a file beside it, reach the disk, and take the name last.

    Parameters
    ----------
    path : str or path
        File to write or to replace. A symbolic link is followed, the mode of an old file is kept.
    data : bytes
        What it will hold.

    Raises
    ------
    OSError
        If it cannot be written: no such folder, no permission, disk full. The error names ``path``.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        if target.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        # Exclusive, so that no other file is overwritten; opened so, it gets the usual mode.
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, beside)
        os.replace(beside, target)
    except OSError as error:
        reason = error.strerror or str(error)
        mend = f"{reason}. Nothing was changed; choose a folder that can be written to, with room"
        raise type(error)(error.errno or 5, mend, os.fspath(path)) from None
    finally:
        # Gone already, unless something failed.
        with contextlib.suppress(OSError):
            beside.unlink()
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
