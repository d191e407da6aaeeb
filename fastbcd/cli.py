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
    from fastbcd.demo import run_demo

    try:
        print(run_demo(options.seed, options.quiet))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return 0


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
    return parser
