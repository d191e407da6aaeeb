"""The command line: ``fastbcd`` or ``python -m fastbcd``."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from fastbcd.cli._parser import make_parser

INTERRUPTED, BROKEN_PIPE = 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0 is success, 1 an error in data, models or files, and 130 an interruption; argparse exits by 2
    for options that it does not understand.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.
    """
    parser = make_parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _show_warning
        try:
            _run(options)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read the output has seen enough; nothing more must be flushed to it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        except (ValueError, TypeError, OSError, ImportError) as error:
            if options.traceback:
                raise
            print(f"fastbcd {options.command}: error: {error}", file=sys.stderr)
            return 1
    return 0


def _run(options: Any) -> None:
    # Imported late: --help is not to load scikit-learn.
    if options.command == "demo":
        from fastbcd.cli.demo import run_demo

        print(run_demo(options.seed, options.quiet))
        return
    if options.command == "info":
        from fastbcd.utils.info import info

        print(info())
        return
    if options.command == "warmup":
        from fastbcd.utils.warmup import DTYPES, warmup

        print(warmup(options.dtype or DTYPES, n_jobs=options.jobs, verbose=not options.quiet))
        return
    from fastbcd.cli import _commands

    commands = {
        "fit": _commands.fit,
        "compress": _commands.compress_model,
        "report": _commands.report,
        "export": _commands.export,
        "predict": _commands.predict,
    }
    commands[options.command](options)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"fastbcd: warning: {message}", file=sys.stderr)
