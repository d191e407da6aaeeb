"""Results of runs that have finished, so that a benchmark that was cut short goes on from there.

One CSV file per benchmark in ``bench/results/minibatch/``, or a folder of one's own, some rows per
run. ``--fresh`` throws them away: do so when the code or the machine has changed.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.report import RESULTS, machine

FOLDER = RESULTS / "minibatch"

Row = tuple[float, ...]


class Kept:
    """The runs of one benchmark.

    Parameters
    ----------
    name : str
        Of the file.
    keys : sequence of str
        What tells one run from another.
    values : sequence of str
        What a run yields, all numbers.
    options : Namespace
        With ``quick``, which keeps nothing, and ``fresh``, which forgets what was kept.
    folder : Path, default=FOLDER
        Where the file lies.
    """

    def __init__(
        self,
        name: str,
        keys: Sequence[str],
        values: Sequence[str],
        options: argparse.Namespace,
        folder: Path = FOLDER,
    ) -> None:
        self.name = name
        self.path: Path | None = None if options.quick else folder / f"{name}.csv"
        self._header = [*keys, *values]
        self._runs: dict[tuple[str, ...], list[Row]] = {}
        if self.path is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not options.fresh:
            with self.path.open(newline="") as file:
                lines = list(csv.reader(file))
                if lines[:1] != [self._header]:
                    raise SystemExit(f"{self.path} has other columns. Forget it: --fresh.")
                for line in lines[1:]:
                    key, row = tuple(line[: len(keys)]), line[len(keys) :]
                    self._runs.setdefault(key, []).append(tuple(map(float, row)))
        else:
            self._write()

    def __contains__(self, key: Sequence[object]) -> bool:
        """Whether the run of this key has finished."""
        return tuple(map(str, key)) in self._runs

    def rows(self, key: Sequence[object], run: Callable[[], list[Row]]) -> list[Row]:
        """Return the rows of the run of this key; call ``run`` if there are none yet."""
        name = tuple(map(str, key))
        if name not in self._runs:
            self._runs[name] = [tuple(map(float, row)) for row in run()]
            self._write()
        return self._runs[name]

    def table(self, text: str) -> None:
        """Print a Markdown table, and keep it beside the rows."""
        text = f"{machine()}\n\n{text}\n"
        print(text)
        if self.path is not None:
            self.path.with_suffix(".md").write_text(text)
            print(f"Kept in {self.path.parent.name}/{self.name}.csv and .md")

    def _write(self) -> None:
        """Write all runs beside the file, then rename: an interruption leaves no half of a run."""
        if self.path is None:
            return
        beside = self.path.with_suffix(f".{os.getpid()}")
        with beside.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(self._header)
            writer.writerows([*name, *row] for name, rows in self._runs.items() for row in rows)
        beside.replace(self.path)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that all these benchmarks have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fresh", action="store_true", help="forget the runs that were kept")
    parser.add_argument(
        "--quick", action="store_true", help="small data: shows that it runs, measures nothing"
    )
    return parser
