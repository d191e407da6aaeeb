"""The command line: ``fastbcd`` or ``python -m fastbcd``."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from fastbcd.cli.messages import in_options
from fastbcd.cli.parser import make_parser

INTERRUPTED, BROKEN_PIPE = 130, 141

COMMANDS = {
    "fit": "commands.fit",
    "compress": "commands.compress_model",
    "compare": "compare.compare",
    "report": "commands.report",
    "export": "commands.export",
    "predict": "commands.predict",
    "demo": "tools.demo",
    "info": "tools.info",
    "warmup": "tools.warmup",
}
"""Module and function of each command. It is imported when it is run: --help is not to load
scikit-learn."""


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
    module, _, function = COMMANDS[options.command].partition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        # Columns were matched by name when the table was read.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        warnings.showwarning = _show_warning
        try:
            getattr(import_module(f"fastbcd.cli.{module}"), function)(options)
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
            message = in_options(_text(error))
            print(f"fastbcd {options.command}: error: {message}", file=sys.stderr)
            return 1
        except MemoryError as error:
            if options.traceback:
                raise
            print(f"fastbcd {options.command}: error: out of memory. {error}", file=sys.stderr)
            return 1
    return 0


def _text(error: BaseException) -> str:
    """Return the message of an error, without the number of the system's errors."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"fastbcd: warning: {in_options(str(message))}", file=sys.stderr)
