"""The command line: ``fastbcd`` or ``python -m fastbcd``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fastbcd._version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        print(_run(options))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace) -> object:
    """Run the command; return what to print."""
    if options.command == "info":
        from fastbcd._info import info

        return info()
    if options.command == "warmup":
        from fastbcd._warmup import DTYPES, warmup

        return warmup(options.dtype or DTYPES, verbose=not options.quiet)
    from fastbcd.demo import run_demo

    return run_demo(options.seed, options.quiet)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastbcd",
        description="Train and compress small neural networks on CPUs, without gradients.",
    )
    parser.add_argument("--version", action="version", version=f"fastbcd {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser(
        "demo",
        help="train on scikit-learn's digits, dense and compressed, and compare",
        description=(
            "Train scikit-learn's MLPClassifier and three BCDClassifiers (dense, pruned, tensor "
            "train) on the digits data, and print accuracy, size and time of each."
        ),
    )
    demo.add_argument("--seed", type=int, default=0, help="seed of split and weights (default 0)")
    demo.add_argument("--quiet", action="store_true", help="print the table only")
    warmup = commands.add_parser(
        "warmup",
        help="compile all kernels now, so that no fit has to wait",
        description="Compile every kernel once and keep the machine code in the cache.",
    )
    warmup.add_argument(
        "--dtype", choices=("float32", "float64"), help="for data of this type only (default both)"
    )
    warmup.add_argument("--quiet", action="store_true", help="show no progress")
    commands.add_parser(
        "info",
        help="print versions, processor, BLAS, threads and cache: for reports of bugs",
        description="Print what a report of a bug should contain.",
    )
    return parser
