"""The commands that need no table: demo, info and warmup."""

from __future__ import annotations

from argparse import Namespace

from fastbcd.cli import demo as demonstration
from fastbcd.utils import warmup as preparation
from fastbcd.utils.info import info as collect_info


def demo(options: Namespace) -> None:
    """Train networks on the digits and print the table that compares them."""
    print(demonstration.run_demo(options.seed, options.quiet, options.seeds))


def info(options: Namespace) -> None:
    """Print versions, processor, BLAS, threads and cache."""
    print(collect_info())


def warmup(options: Namespace) -> None:
    """Compile every kernel."""
    dtypes = options.dtype or preparation.DTYPES
    print(preparation.warmup(dtypes, n_jobs=options.jobs, verbose=not options.quiet))
