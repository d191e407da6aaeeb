"""Groups of options that several commands share, and the types of their values."""

from __future__ import annotations

import argparse
import textwrap
from argparse import ArgumentTypeError

DATA_HELP = "CSV, .parquet, .npz with X and y, .npy with the features alone, or - for stdin (CSV)"

TARGET_HELP = "column of the targets: name, or number from 0, negative from the end; array of .npz"

TYPES = ("number", "text")

ACTIVATIONS = (
    "relu", "leaky_relu", "hard_tanh", "identity", "logistic", "tanh", "softplus", "silu", "gelu",
)  # fmt: skip

SCHEMES = ("prune", "low-rank", "tensor-train", "quantize")


EXAMPLES = "example"
"""How an epilog of command lines starts, which is not wrapped."""


class Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there are any, and examples as they are written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(EXAMPLES):
            return super()._fill_text(text, width, indent)
        return textwrap.fill(
            text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, 0, argparse.SUPPRESS) or "default" in (
            action.help or ""
        ):
            return action.help
        return super()._get_help_string(action)


def sizes(text: str) -> tuple[int, ...]:
    """Return the widths of hidden layers: "300,100"."""
    try:
        found = tuple(int(size) for size in text.split(",") if size.strip())
    except ValueError:
        found = ()
    if (not found and text.strip()) or any(size < 1 for size in found):
        raise ArgumentTypeError(f"{text!r} must be widths separated by commas, such as 300,100")
    return found


def share(text: str) -> float:
    """Return a number between 0 and 1, neither included."""
    found = number(text)
    if not 0 < found < 1:
        percent = f"; for {found:g} %, write {found / 100:g}" if 1 < found < 100 else ""
        raise ArgumentTypeError(f"{text} must lie between 0 and 1{percent}")
    return found


def drop(text: str) -> float:
    """Return a loss of score, which is not negative."""
    found = number(text)
    if not 0 <= found < 1:
        percent = f"; for {found:g} points of 100, write {found / 100:g}" if found >= 1 else ""
        raise ArgumentTypeError(f"{text} must be a share such as 0.01{percent}")
    return found


def ratio(text: str) -> float:
    """Return how many times smaller: more than 1."""
    found = number(text)
    if not 1 < found < float("inf"):
        raise ArgumentTypeError(f"{text} must be above 1: 10 is a tenth of the bytes")
    return found


def ratios(text: str) -> tuple[float, ...]:
    """Return several ratios: "4,8,16"."""
    return tuple(ratio(part) for part in text.split(",") if part.strip())


def positive(text: str) -> int:
    """Return a whole number above 0."""
    try:
        found = int(text)
    except ValueError:
        found = 0
    if found < 1:
        raise ArgumentTypeError(f"{text!r} must be a whole number above 0")
    return found


def seed(text: str) -> int:
    """Return a seed: a whole number that is not negative."""
    try:
        found = int(text)
    except ValueError:
        found = -1
    if not 0 <= found < 2**32:
        raise ArgumentTypeError(f"{text!r} must be a whole number from 0 to {2**32 - 1}")
    return found


def number(text: str) -> float:
    """Return a number."""
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} must be a number, such as 0.5") from None


def column_type(text: str) -> tuple[str, str]:
    """Return column and type: "zip=text"."""
    column, mark, kind = text.rpartition("=")
    if not mark or not column or kind not in TYPES:
        raise ArgumentTypeError(
            f"{text!r} must be COLUMN=TYPE, with the type {' or '.join(TYPES)}: zip=text"
        )
    return column, kind


def delimiter(text: str) -> str:
    """Return one character; "tab" stands for the tabulator."""
    found = "\t" if text in ("tab", r"\t") else text
    if len(found) != 1 or found in '"\r\n':
        raise ArgumentTypeError(f"{text!r} must be one character, or tab")
    return found


def add_table(command: argparse.ArgumentParser, training: bool = False) -> None:
    """Add how tables are read."""
    group = command.add_argument_group(
        "how to read the table (CSV; the last four also for Parquet)",
        "By default, the first line is a header if it holds no numbers, or text "
        "above numbers. Notes on stderr report every such decision, and "
        "everything that is left out or changed.",
    )
    group.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the first line names the columns (default: detected)",
    )
    group.add_argument(
        "--delimiter", type=delimiter, metavar="CHAR", help="between cells (default: detected)"
    )
    group.add_argument("--encoding", metavar="NAME", help="such as latin-1 (default: utf-8)")
    group.add_argument(
        "--na",
        action="append",
        metavar="TEXT",
        help="text that marks a missing value, instead of the usual ones (default: empty, NA, N/A, "
        "NaN, null, None, ?); may be repeated",
    )
    group.add_argument(
        "--drop",
        action="append",
        metavar="COLUMN",
        help="name or number of a column to ignore (default: none); may be repeated",
    )
    group.add_argument(
        "--dtype",
        action="append",
        type=column_type,
        metavar="COLUMN=TYPE",
        help="read a column as number or text (default: by its cells); may be repeated",
    )
    if training:
        group.add_argument(
            "--one-hot",
            action="append",
            metavar="COLUMN",
            help="turn each text of this column into a 0/1 feature named COLUMN=TEXT; "
            "auto: do so for all text columns (default: text is an error); may be"
            " repeated",
        )


def add_fit(command: argparse.ArgumentParser, hidden: str = "100") -> None:
    """Add what describes a network and its training."""
    command.add_argument("--regression", action="store_true", help="predict numbers, not classes")
    command.add_argument(
        "--hidden", type=sizes, default=hidden, metavar="N,N,...", help="widths of hidden layers"
    )
    command.add_argument(
        "--activation",
        choices=ACTIVATIONS,
        default="relu",
        metavar="NAME",
        help=f"{', '.join(ACTIVATIONS[:-1])} or {ACTIVATIONS[-1]}, in the hidden layers",
    )
    command.add_argument(
        "--ramps",
        choices=("auto", "none"),
        default="auto",
        help="auto: use a piecewise-linear encoding of numeric columns if this clearly"
        " lowers the loss on held-out rows, which makes the network larger; none:"
        " never",
    )
    command.add_argument(
        "--max-iter",
        type=positive,
        metavar="N",
        help="maximum number of passes over the data (default: 1000)",
    )
    command.add_argument(
        "--tol",
        type=number,
        metavar="T",
        help="relative progress per pass below which training ends (default: 3e-06, with "
        "--regression 1e-06)",
    )
    command.add_argument(
        "--double", action="store_true", help="compute in float64 (default: float32)"
    )
    command.add_argument(
        "--standardize",
        action="store_true",
        help="train on features of mean 0 and variance 1; the first layer absorbs the "
        "scaling, so the saved network takes the original table (default: no "
        "scaling)",
    )


def add_epochs(command: argparse.ArgumentParser) -> None:
    """Add the length of the refinement."""
    command.add_argument(
        "--epochs",
        type=number,
        metavar="N",
        help="passes of the refinement; 0 skips it (default: depends on the number of rows)",
    )


def add_validation(command: argparse.ArgumentParser, help: str) -> None:
    """Add rows of a test from the table or from another one."""
    group = command.add_mutually_exclusive_group()
    group.add_argument(
        "--test-size",
        type=share,
        metavar="SHARE",
        help="share of rows to hold out; the score on them is printed (default: none)",
    )
    group.add_argument("--validation", metavar="FILE", help=help)


def add_scheme(command: argparse.ArgumentParser) -> None:
    """Add amounts and kinds of compression."""
    group = command.add_argument_group("compression (options can be combined; default: none)")
    group.add_argument(
        "--sparsity",
        type=share,
        metavar="SHARE",
        help="share of the weights to prune, such as 0.95",
    )
    group.add_argument("--rank", type=positive, metavar="R", help="rank of a low-rank layer")
    group.add_argument("--tt-rank", type=positive, metavar="R", help="rank of a tensor-train layer")
    group.add_argument(
        "--bits", type=positive, metavar="B", help="bits per stored weight, such as 4"
    )
    group.add_argument(
        "--output-bits", type=positive, metavar="B", help="bits per weight of the output layer"
    )
    group.add_argument(
        "--scheme",
        nargs="+",
        choices=SCHEMES,
        metavar="KIND",
        help=f"kinds to choose from for a budget: {', '.join(SCHEMES)}",
    )


def add_running(command: argparse.ArgumentParser) -> None:
    """Add seed and volume."""
    command.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="seed of all random choices (default: 0)"
    )
    group = command.add_mutually_exclusive_group()
    group.add_argument("-v", "--verbose", action="count", default=0, help="show progress on stderr")
    add_quiet(group)


def add_quiet(command: argparse._ActionsContainer) -> None:
    """Add silence."""
    command.add_argument(
        "-q", "--quiet", action="store_true", help="print only warnings and errors"
    )
