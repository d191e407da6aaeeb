"""What the experiments share: options, finished runs, a table, a figure, and styles.

Everything lies in ``bench/results/paper/``: NAME_runs.csv holds every finished run, which is not
measured again; NAME.csv and NAME.md the table, NAME.png the figure. ``--quick`` uses
``bench/results/paper/quick/`` and starts afresh.
"""

from __future__ import annotations

import argparse
import csv
import os
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from bench.kept import Kept, Row
from bench.kept import arguments as common_arguments
from bench.report import RESULTS, machine

FOLDER = RESULTS / "paper"

TRIAL = "**A trial run on tiny data: these figures mean nothing.**"

Style = dict[str, Any]

Key = tuple[object, ...]
"""What tells a run from all others."""

STYLES: dict[str, Style] = {
    "published steps": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "published steps, overwrite": {"color": "#E69F00", "marker": "D", "linestyle": "-."},
    "fastbcd full": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "fastbcd full, float32": {"color": "#56B4E9", "marker": "P", "linestyle": ":"},
    "fastbcd mini-batch": {"color": "#009E73", "marker": "^", "linestyle": "-"},
    "fastbcd mini-batch, shifts": {"color": "#F0E442", "marker": "<", "linestyle": "-"},
    "Adam, dense": {"color": "#666666", "marker": "v", "linestyle": ":"},
    "Adam, compressed, fine-tuned": {"color": "#CC79A7", "marker": "X", "linestyle": "-."},
}
"""Colours of Okabe and Ito; markers and dashes tell the lines apart without them."""


def arguments(
    description: str | None, seeds: int = 1, parallel: bool = False
) -> argparse.ArgumentParser:
    """Return a parser of the options that all experiments have.

    With ``parallel``, for experiments that do not tell seconds, also of ``--jobs``.
    """
    parser = common_arguments(description)
    parser.set_defaults(seeds=seeds)
    parser.add_argument(
        "--seconds", type=float, help="most seconds of training of a run (default: see above)"
    )
    if parallel:
        parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    return parser


class Experiment:
    """Runs, table and figure of one experiment.

    Parameters
    ----------
    name : str
        Of the files.
    keys, values : sequences of str
        What tells the runs apart, and the numbers in each of their rows.
    options : Namespace
        With ``quick`` and ``fresh``.
    folder : Path, default=FOLDER
        Where the files go.
    """

    def __init__(
        self,
        name: str,
        keys: Sequence[str],
        values: Sequence[str],
        options: Namespace,
        folder: Path = FOLDER,
    ) -> None:
        self.name = name
        self.quick = bool(options.quick)
        self.folder = folder / "quick" if self.quick else folder
        keeping = Namespace(quick=False, fresh=options.fresh or self.quick)
        self._kept = Kept(f"{name}_runs", keys, values, keeping, self.folder)

    def rows(
        self, key: Sequence[object], run: Callable[..., list[Row]], *arguments: Any
    ) -> list[Row]:
        """Return the rows of a run; call ``run(*arguments)`` if that has not been done."""
        label = ", ".join(map(str, key))
        if key in self._kept:
            print(f"{label}: kept", flush=True)
            return self._kept.rows(key, list)
        print(f"{label}: runs ..", flush=True)
        start = perf_counter()
        found = self._kept.rows(key, lambda: run(*arguments))
        print(f"{label}: {perf_counter() - start:.1f} s with its scoring", flush=True)
        return found

    def all_rows(
        self, run: Callable[..., list[Row]], runs: Mapping[Key, Sequence[Any]], jobs: int = 1
    ) -> dict[Key, list[Row]]:
        """Return the rows of each run, ``run(*runs[key])``, several at a time if ``jobs`` > 1.

        Then their seconds mean nothing.
        """
        if jobs > 1:
            missing = [key for key in runs if key not in self._kept]
            calls = (delayed(_keyed)(run, key, runs[key]) for key in missing)
            # Copies instead of read-only maps, of which PyTorch warns.
            pool = Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes=None)
            for key, rows in pool(calls):
                self._kept.rows(key, lambda rows=rows: rows)
                print(f"{', '.join(map(str, key))}: done", flush=True)
        return {key: self.rows(key, run, *arguments) for key, arguments in runs.items()}

    def table(
        self, head: Sequence[str], lines: Sequence[Sequence[object]], notes: str = ""
    ) -> None:
        """Print a table, and keep it as CSV and as Markdown."""
        cells = [[str(cell) for cell in line] for line in lines]
        text = "\n".join(markdown(head, cells))
        parts = [TRIAL] if self.quick else []
        text = "\n\n".join([*parts, machine(), *([notes] if notes else []), text]) + "\n"
        print(f"\n{text}")
        path = self.folder / f"{self.name}.md"
        _replace(path, lambda beside: beside.write_text(text, encoding="utf-8"))
        _replace(path.with_suffix(".csv"), lambda beside: _write_csv(beside, [head, *cells]))
        print(f"Kept in {path.parent.name}/{self.name}.md and .csv")

    def figure(self, draw: Callable[[Any], None], width: float = 7.0, height: float = 4.2) -> None:
        """Keep a figure that ``draw`` draws, if matplotlib is installed."""
        if find_spec("matplotlib") is None:
            print("No figure: matplotlib is not installed.")
            return
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        path = self.folder / f"{self.name}.png"
        _replace(path, lambda beside: figure.savefig(beside, dpi=150, format="png"))
        print(f"Drawn in {path.parent.name}/{path.name}")


def _keyed(run: Callable[..., list[Row]], key: Key, arguments: Sequence[Any]) -> Any:
    return key, run(*arguments)


def limits(options: Namespace) -> str:
    """Return what bounds the runs: runs under other bounds are other runs."""
    return f"{options.sweeps} sweeps" + (f", {options.seconds:g} s" if options.seconds else "")


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; a cell may hold no bar, which would end it."""
    if wrong := [line for line in lines if len(line) != len(head)]:
        raise ValueError(f"{len(head)} columns, but a row of {len(wrong[0])}: {wrong[0]}")
    rule = ["---"] * len(head)
    return [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
        for line in [head, rule, *lines]
    ]


def middle(values: Sequence[float], digits: int = 4) -> str:
    """Return the median of some numbers, and their range if there are several."""
    found = [value for value in values if np.isfinite(value)]
    if not found:
        return "never"
    text = f"{np.median(found):.{digits}f}"
    if len(values) > 1:
        text += f" ({min(found):.{digits}f} to {max(found):.{digits}f})"
    if len(found) < len(values):
        text += f", {len(values) - len(found)} of {len(values)} never"
    return text


def _write_csv(path: Path, lines: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside ``path``, then rename."""
    beside = path.with_suffix(f".{os.getpid()}")
    try:
        write(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
