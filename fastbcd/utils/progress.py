"""Progress of long tasks: a bar in a terminal or notebook, occasional lines in a log."""

from __future__ import annotations

import os
import shutil
import sys
import time
from types import TracebackType
from typing import Self, TextIO

BAR = 24
"""Width of the bar in characters."""

SURE = 0.02
"""Minimum share of a stage before the remaining time is shown."""

DRAW_SECONDS = 0.1
"""Minimum time in seconds between two updates of the bar."""

LOG_SECONDS = 2.0, 15.0
"""Minimum and maximum time in seconds between two lines in a log.

A log gets a line at each quarter of a stage unless the last line is newer than the minimum. It also
gets a line once the maximum has passed."""


class Progress:
    """Shows the progress of a task.

    A task consists of successive stages. In a terminal or notebook, a bar shows the current stage
    and is then overwritten. Elsewhere, progress is written as separate lines.

    Parameters
    ----------
    verbose : int, default=1
        0 writes nothing, 1 shows stages and results, 2 also writes details.
    stream : file, default=sys.stderr
        Where to write the progress.
    """

    def __init__(self, verbose: int = 1, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._verbose = verbose if self._stream is not None else 0  # pythonw has no stderr
        self._rewrites = _rewrites(self._stream)
        self._marks = _marks(self._stream)
        self._shown = 0
        self.stage("", 1)

    def stage(self, title: str, total: float) -> None:
        """Start a stage of ``total`` steps."""
        self._title, self._total = title, max(total, 1)
        self._start = self._written = time.perf_counter()
        self._drawn = -DRAW_SECONDS
        self._quarter = 0
        self._marks_of_time: list[tuple[float, float]] = []

    def update(self, done: float, text: str = "") -> None:
        """Show that ``done`` steps of the stage are complete, followed by ``text``."""
        if not self._verbose:
            return
        now = time.perf_counter()
        share = min(done / self._total, 1.0)
        if share > (self._marks_of_time[-1][0] if self._marks_of_time else 0.0):
            self._marks_of_time.append((share, now))
        if self._rewrites:
            if share < 1 and now - self._drawn < DRAW_SECONDS:
                return
            self._drawn = now
            full, empty = self._marks
            filled = round(BAR * share)
            bar = full * filled + empty * (BAR - filled)
            self._rewrite(f"{self._title} {bar} {self._state(share, now)}  {text}".rstrip())
            return
        silence = now - self._written
        quarter = int(4 * share) > self._quarter
        if (quarter and silence > LOG_SECONDS[0]) or silence > LOG_SECONDS[1]:
            self._quarter, self._written = int(4 * share), now
            line = f"{self._title}: {self._state(share, now)}  {text}"
            self._write(line.rstrip() + "\n")

    def say(self, text: str, *, level: int = 1) -> None:
        """Write a permanent line if ``verbose`` is at least ``level``."""
        if self._verbose >= level:
            self._erase()
            self._write(text + "\n")
            self._written = time.perf_counter()

    def close(self) -> None:
        """Erase the bar."""
        self._erase()

    def __enter__(self) -> Self:
        """Return this object; the bar is erased when the context exits."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Erase the bar."""
        self.close()

    def _state(self, share: float, now: float) -> str:
        elapsed = now - self._start
        state = f"{100 * share:3.0f} %  {duration(elapsed)}"
        left = self._left(share, now)
        return state if left is None else f"{state}, about {duration(left)} left"

    def _left(self, share: float, now: float) -> float | None:
        """Estimate the remaining seconds from the second half of what is done.

        The first steps may compile, so they say little about the others. Before there is a second
        half, nothing is estimated.
        """
        earlier = [mark for mark in self._marks_of_time if mark[0] <= share / 2]
        if not earlier or not SURE <= share < 1:
            return None
        before, then = earlier[-1]
        return (now - then) / (share - before) * (1 - share)

    def _rewrite(self, line: str) -> None:
        """Replace the bar with ``line``, cut to the terminal width so that it never wraps."""
        line = line[: shutil.get_terminal_size().columns - 1]
        self._write("\r" + line.ljust(self._shown))
        self._shown = len(line)

    def _erase(self) -> None:
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")
            self._shown = 0

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def duration(seconds: float) -> str:
    """Return a readable duration: "4.2 s", "130 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _rewrites(stream: TextIO | None) -> bool:
    """Whether a carriage return lets ``stream`` overwrite its current line."""
    if stream is None:
        return False
    notebook = type(stream).__module__.partition(".")[0] == "ipykernel"
    return notebook or (stream.isatty() and os.environ.get("TERM") != "dumb")


def _marks(stream: TextIO | None) -> tuple[str, str]:
    """Return the characters of the bar, filled and empty, that ``stream`` can encode."""
    try:
        "█░".encode(getattr(stream, "encoding", None) or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return "#", "."
    return "█", "░"
