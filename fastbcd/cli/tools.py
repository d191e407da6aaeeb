"""The commands that need no table: demo, info and warmup."""

from __future__ import annotations

from argparse import Namespace

from fastbcd.cli import demo as demonstration
from fastbcd.utils.info import info as collect_info
from fastbcd.utils.warmup import DTYPES
from fastbcd.utils.warmup import warmup as compile_all


def demo(options: Namespace) -> None:
    """Train networks on the digits and print the table that compares them."""
    print(demonstration.run_demo(options.seed, options.quiet))


def info(options: Namespace) -> None:
    """Print versions, processor, BLAS, threads and cache."""
    print(collect_info())


def warmup(options: Namespace) -> None:
    """Compile every kernel."""
    print(compile_all(options.dtype or DTYPES, n_jobs=options.jobs, verbose=not options.quiet))
